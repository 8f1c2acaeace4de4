"""Dead letters over HTTP: what they are, why, and sending them again."""

from __future__ import annotations

import re
from typing import Any

from streamflow.errors import LogError
from streamflow.http.asked import Asked, Refused
from streamflow.http.catalogue import KnownTopic
from streamflow.http.topics import shown
from streamflow.log.contract import Log
from streamflow.query import Unavailable, WrongQuestion
from streamflow.runtime.dead_letters import Disturbed, Letter, letters, replay
from streamflow.serdes import raw

MOST_BYTES = 8 << 20
_PLACE = r"[0-9]{1,7}:[0-9]{1,19}"
_PLACES = re.compile(f"{_PLACE}(,{_PLACE})*")


class Letters:
    """The dead letters of one application. ``topic`` is where they lie."""

    def __init__(self, topics: dict[str, KnownTopic], topic: str, log: Log) -> None:
        self._topics = topics
        self._topic = topic
        self._log = log

    async def listing(self, asked: Asked) -> dict[str, Any]:
        """The answer to ``GET /dead-letters``: the newest ones of each partition that fit, oldest first."""
        limit: int = asked.parameters["limit"]
        found: list[Letter] = []
        count = 0
        try:
            async for each in letters(self._log, self._topic, _wanted(asked)):
                count += 1
                found.append(each)
                if len(found) >= 2 * limit:
                    found = _newest(found, limit)
        except LogError as error:
            raise Unavailable(f"the log cannot be asked: {error}") from error
        found = _newest(found, limit)
        size = 0
        for n in range(len(found) - 1, -1, -1):
            size += len(found[n].key or b"") + len(found[n].value or b"")
            if size > MOST_BYTES:
                found = found[n + 1 :]
                break
        return {"topic": self._topic, "count": count, "letters": [self._shown(each) for each in found]}

    async def again(self, asked: Asked) -> dict[str, Any]:
        """The answer to ``POST /dead-letters/replay``."""
        given = asked.parameters
        if not given["all"] and all(given[name] is None for name in ("topic", "step", "partition", "letters")):
            raise WrongQuestion(
                "say which: topic=, step=, letters=, or partition= with offset=; all=1 for every letter"
            )
        if (given["offset"] is None) != (given["partition"] is None):
            raise WrongQuestion("a letter is named by partition= and offset=, its place in the dead letter topic")
        try:
            sent = await replay(self._log, self._topic, _wanted(asked))
        except Disturbed as error:
            raise Refused(409, str(error)) from error
        except LogError as error:
            raise Unavailable(str(error)) from error
        return {"replayed": [{"partition": each.partition, "offset": each.offset} for each in sent]}

    def _shown(self, each: Letter) -> dict[str, Any]:
        """By the serdes of the topic it came from; what these cannot read, as it is."""
        source = each.source
        known = None if source is None else self._topics.get(source.topic)
        found = shown(known or KnownTopic(self._topic, (), raw, raw, 0), each.partition, each)
        del found["topic"]
        return found | {"reason": each.reason, "replayed": each.replayed}


def _newest(found: list[Letter], limit: int) -> list[Letter]:
    return sorted(found, key=lambda each: (each.timestamp, each.partition, each.offset))[-limit:]


def _wanted(asked: Asked) -> Any:
    given = asked.parameters
    pending = given.get("pending", False)
    places = None if given.get("letters") is None else _places(given["letters"])

    def wanted(each: Letter) -> bool:
        return (
            given["topic"] in (None, each.reason.get("topic"))
            and given["step"] in (None, each.reason.get("step"))
            and given.get("partition") in (None, each.partition)
            and given.get("offset") in (None, each.offset)
            and (places is None or (each.partition, each.offset) in places)
            and not (pending and each.replayed)
        )

    return wanted


def _places(text: str) -> frozenset[tuple[int, int]]:
    """Partitions and offsets.

    >>> sorted(_places("0:17,1:4"))
    [(0, 17), (1, 4)]
    """
    if not _PLACES.fullmatch(text):
        raise WrongQuestion(f"letters is {text[:60]!r}; write partition:offset with commas between, such as 0:17,1:4")
    pairs = (each.split(":") for each in text.split(","))
    return frozenset((int(partition), int(offset)) for partition, offset in pairs)
