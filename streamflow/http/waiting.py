"""Answers that wait: until a key has a row, or until a record that was written is processed and committed.

The worker that runs the task waits, so what it sees in the end is what it tells. A record is named by its topic and
offset, as the answer to its ``POST`` gave them, and lies in the partition that its key is in; when the commit that
took it in is over, a read sees its effect (read-your-writes). That can be told of topics that the store's own task
reads. Behind a repartition topic it cannot: there a question without ``after`` waits for the row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.clock import milliseconds
from streamflow.errors import StreamflowError
from streamflow.http.asked import Refused
from streamflow.query import Local, Site, Unavailable, WrongQuestion
from streamflow.record import TopicPartition

LONGEST = 25.0
"""Seconds that a question may wait: less than the server gives an answer."""
STEP = 0.01  # seconds between two looks
Read = Callable[[Sequence[int]], Awaitable[list[Any]]]


@dataclass(frozen=True)
class Patience:
    """How long an answer is waited for, and for which record: the one at ``after`` of ``topic``, if given."""

    seconds: float
    after: int | None
    topic: str | None

    @staticmethod
    def of(parameters: dict[str, Any]) -> Patience | None:
        """What a request says of it; None if nothing. Raises `Refused`."""
        wait, after, topic = parameters["wait"], parameters["after"], parameters["topic"]
        if wait is None and after is None:
            if topic is not None:
                raise Refused(400, "topic says of which topic an offset is; write after=OFFSET, too")
            return None
        try:
            seconds = 0.0 if wait is None else milliseconds(wait, "wait") / 1000
        except StreamflowError as error:
            raise Refused(400, str(error)) from None
        if not 0 <= seconds <= LONGEST:
            raise Refused(400, f"wait is {wait!r}; {LONGEST:.0f}s is the longest")
        return Patience(seconds, after, topic)

    def reader(self, local: Local, site: Site, read: Read) -> Read:
        """``read`` that waits, for the worker that runs the task. Raises `WrongQuestion` where ``after`` means nothing."""
        topic = None if self.after is None else _topic(site, self.topic)

        async def patiently(partitions: Sequence[int]) -> list[Any]:
            if topic is not None and len(partitions) > 1:
                raise WrongQuestion(
                    "this key may lie in any partition, so no offset tells when it is there; use wait only"
                )
            loop = asyncio.get_running_loop()
            until = loop.time() + self.seconds
            while True:
                lacks = "" if topic is None else self._lacks(local, site, TopicPartition(topic, partitions[0]))
                rows = [] if lacks else await read(partitions)
                if rows or (topic is not None and not lacks):
                    return rows
                if loop.time() >= until:
                    if lacks:
                        raise Unavailable(lacks)
                    return rows
                await asyncio.sleep(STEP)

        return patiently

    def _lacks(self, local: Local, site: Site, at: TopicPartition) -> str:
        committed = local.committed(site, at)
        if self.after is None or committed > self.after:
            return ""
        return (
            f"the record at offset {self.after} of {at.topic!r} partition {at.partition} is not committed yet: "
            f"task {site.task(at.partition)} is at {committed}; wait longer with wait=5s"
        )


def _topic(site: Site, named: str | None) -> str:
    if site.everywhere:
        raise WrongQuestion(f"{site.spec.name!r} is a table that every worker has; leave after away")
    steps = {step.name: step.meaning for step in site.sub.steps}
    read = {topic for step, topics in site.sub.topics.items() for topic in topics if not _internal(steps[step])}
    if named is None and len(read) == 1:
        return next(iter(read))
    if named in read:
        return str(named)
    known = f"; its task reads {', '.join(sorted(read))}" if read else ""
    if named is None:
        why = "say of which topic the offset is with topic=" if read else "what comes to it goes through another topic"
        raise WrongQuestion(f"{why}, or leave after away{known}")
    raise WrongQuestion(
        f"{named!r} comes to {site.spec.name!r} through another topic, or not at all; leave after away{known}"
    )


def _internal(source: Any) -> bool:
    return source.repartition is not None
