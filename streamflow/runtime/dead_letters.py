"""Dead letters: what was set aside, and how it is sent again, each once.

A letter is sent again by a transaction that holds two things: the record as it came, for the partition it came from, and
a mark in the topic ``<dead letters>-replayed``. Whoever replays takes the one session there is for it, which ends every
other replay's, and then reads the marks; so two people, two clicks or a crash in the midst never send a letter twice.
A letter that fails again is another letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.errors import LogError, StreamflowError
from streamflow.log.batch import RawRecord, encode, records
from streamflow.log.contract import Commit, Committed, Fenced, Log, Rejected
from streamflow.record import TopicPartition
from streamflow.runtime.refusal import HEADER_PREFIX
from streamflow.topic import NewTopic

BATCH = 500  # letters of one transaction
BATCH_BYTES = 4 << 20
FETCH_BYTES = 1 << 20
TRIES = 5


class Disturbed(StreamflowError):
    """Somebody else replays letters of the same topic at the same time; what was sent by then is marked."""


@dataclass(frozen=True)
class Letter:
    """A record of the dead letter topic: where it lies, the record as it came, and why it is here."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[tuple[str, bytes]]
    reason: dict[str, str]
    replayed: bool = False

    @property
    def source(self) -> TopicPartition | None:
        """Where the record came from; None for something else that lies in the topic."""
        topic, partition = self.reason.get("topic"), self.reason.get("partition", "")
        return TopicPartition(topic, int(partition)) if topic and partition.isdecimal() else None


Wanted = Callable[[Letter], bool]


def marks_of(topic: str) -> str:
    """The topic that tells which letters of a topic were sent again."""
    return f"{topic}-replayed"


def letter(partition: int, record: Any, replayed: bool = False) -> Letter:
    """A record of the dead letter topic apart: its own headers, and the reason for which it is there."""
    own = [(name, data) for name, data in record.headers if not name.startswith(HEADER_PREFIX)]
    reason = {
        name.removeprefix(HEADER_PREFIX): (data or b"").decode(errors="replace")
        for name, data in record.headers
        if name.startswith(HEADER_PREFIX)
    }
    return Letter(partition, record.offset, record.key, record.value, record.timestamp, own, reason, replayed)


async def letters(log: Log, topic: str, wanted: Wanted = lambda _: True) -> AsyncIterator[Letter]:
    """All letters that are wanted, partition by partition, oldest first; each knows whether it was sent again."""
    known = await log.topics()
    if topic not in known:
        return
    done = await _marks(log, topic)
    for partition in range(known[topic].partitions):
        async for record in _committed(log, TopicPartition(topic, partition)):
            found = letter(partition, record, (partition, record.offset) in done)
            if wanted(found):
                yield found


async def replay(log: Log, topic: str, wanted: Wanted) -> list[Letter]:
    """Send the wanted letters again that were not yet; gives them. Raises `Disturbed` and `LogError`."""
    known = await log.topics()
    if topic not in known:
        return []
    # Those that are there now: one that fails again would otherwise be sent for ever.
    bounds = await log.offsets([TopicPartition(topic, p) for p in range(known[topic].partitions)])
    ends = {tp.partition: each.end for tp, each in bounds.items()}

    def here(each: Letter) -> bool:
        return each.offset < ends.get(each.partition, 0) and wanted(each)

    await log.create_topics([NewTopic(marks_of(topic), 1, {"cleanup.policy": "compact"}, True)])
    session = log.session(marks_of(topic), "replay")
    sent: list[Letter] = []
    for _ in range(TRIES):
        await session.init()
        # Read only now: from here on nobody else can add a mark without ending this session.
        batch = await _batch(log, topic, here)
        while batch:
            (outcome,) = await log.commit([_commit(session, topic, batch)])
            if isinstance(outcome, Committed):
                sent += batch
                batch = await _batch(log, topic, here)
            elif isinstance(outcome, Fenced):
                raise Disturbed(f"somebody else replays letters of {topic!r} ({outcome.reason}); try again")
            elif isinstance(outcome, Rejected):
                raise LogError(f"letters of {topic!r} cannot be sent again: {outcome.reason}")
            else:
                break  # nobody knows: begin anew, and see by the marks
        else:
            return sent
    raise LogError(f"nobody knows whether the last letters of {topic!r} were sent again; run it once more to find out")


async def _batch(log: Log, topic: str, wanted: Wanted) -> list[Letter]:
    found: list[Letter] = []
    size = 0
    known = await log.topics()
    async for each in letters(log, topic, wanted):
        if each.replayed or (source := each.source) is None:
            continue
        if source.topic not in known or source.partition >= known[source.topic].partitions:
            raise LogError(
                f"the letter at {topic!r} partition {each.partition} offset {each.offset} came from {source.topic!r} "
                f"partition {source.partition}, which is not there any more"
            )
        found.append(each)
        size += len(each.key or b"") + len(each.value or b"")
        if len(found) >= BATCH or size >= BATCH_BYTES:
            break
    return found


def _commit(session: Any, topic: str, batch: Sequence[Letter]) -> Commit:
    out: dict[TopicPartition, list[RawRecord]] = {}
    for each in batch:
        assert each.source is not None
        out.setdefault(each.source, []).append((each.key, each.value, each.timestamp, each.headers))
    marks: list[RawRecord] = [(b"%d:%d" % (each.partition, each.offset), b"", each.timestamp, []) for each in batch]
    out[TopicPartition(marks_of(topic), 0)] = marks
    return Commit(session, {tp: encode(found) for tp, found in out.items()}, {})


async def _marks(log: Log, topic: str) -> set[tuple[int, int]]:
    if marks_of(topic) not in await log.topics():
        return set()
    found: set[tuple[int, int]] = set()
    async for record in _committed(log, TopicPartition(marks_of(topic), 0)):
        partition, _, offset = record.key.decode().partition(":")
        found.add((int(partition), int(offset)))
    return found


async def _committed(log: Log, at: TopicPartition) -> AsyncIterator[Any]:
    """The records of a partition up to its end as it is now."""
    position, end = (await log.offsets([at]))[at]
    while position < end:
        got = (await log.fetch({at: position}, max_bytes=FETCH_BYTES, max_wait=0.5)).get(at)
        if got is None or got.next_offset <= position:
            raise LogError(f"{at.topic!r} partition {at.partition} has records that are not committed yet; try again")
        for batch in got.batches:
            for record in records(batch):
                if position <= record.offset < end:
                    yield record
            await asyncio.sleep(0)
        position = got.next_offset
