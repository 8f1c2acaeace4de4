"""What lies in the topics of an application: where they begin and end, and their committed records."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

from streamflow.errors import LogError, OffsetOutOfRange
from streamflow.http.asked import Asked, Refused
from streamflow.http.catalogue import KnownTopic
from streamflow.http.events import OURS
from streamflow.http.text import as_json, key_bytes
from streamflow.log.batch import records
from streamflow.log.contract import Log, Offsets
from streamflow.query import Unavailable, WrongQuestion
from streamflow.record import TopicPartition
from streamflow.serdes import Serde

LOOK_BACK = 20_000  # offsets of a partition in which last records, or those of a key, are looked for
MOST_BYTES = 8 << 20  # of one answer
FETCH_BYTES = 1 << 20

__all__ = ["OURS", "Topics", "headers_of", "shown"]


class Topics:
    """Reads topics as they are in the log, whichever worker processes them."""

    def __init__(self, topics: dict[str, KnownTopic], log: Log, group: str) -> None:
        self._topics = topics
        self._log = log
        self._group = group

    async def listing(self) -> dict[str, Any]:
        """The answer to ``/topics``."""
        places = [TopicPartition(topic.name, p) for topic in self._topics.values() for p in range(topic.partitions)]
        try:
            bounds = await self._log.offsets(places)
            committed = await self._log.committed(self._group, places)
        except LogError as error:
            raise Unavailable(f"the log cannot be asked: {error}") from error
        return {"topics": [_listed(topic, bounds, committed) for topic in self._topics.values()]}

    def known(self, name: str) -> KnownTopic:
        """A topic of the application. Raises `Refused`."""
        if (topic := self._topics.get(name)) is None:
            raise Refused(
                404, f"the application has no topic {name[:100]!r}; known are: {', '.join(sorted(self._topics))}"
            )
        return topic

    async def page(self, asked: Asked) -> dict[str, Any]:
        """The answer to ``/topics/{topic}/records``."""
        topic = self.known(asked.path["topic"].decode("utf-8", "backslashreplace"))
        given = asked.parameters
        partition, start, limit = given["partition"], given["from"], given["limit"]
        if partition is not None and partition >= topic.partitions:
            raise WrongQuestion(
                f"partition is {partition}; {topic.name!r} has the partitions 0 to {topic.partitions - 1}"
            )
        if start is not None and partition is None:
            raise WrongQuestion("from is an offset of one partition; say which with partition")
        key = None if given["key"] is None else key_bytes(topic.key, given["key"])
        parts = range(topic.partitions) if partition is None else [partition]
        found, nexts = await self.read(topic.name, list(parts), start, limit, key)
        return {
            "records": [shown(topic, p, record) for p, record in found],
            "next": {str(p): offset for p, offset in nexts.items()},
        }

    async def read(
        self, topic: str, partitions: list[int], start: int | None, limit: int, key: bytes | None = None
    ) -> tuple[list[tuple[int, Any]], dict[int, int]]:
        """Records with their partitions, oldest first, and where to go on. Raises `Unavailable`, `WrongQuestion`."""
        found: list[tuple[int, Any]] = []
        nexts: dict[int, int] = {}
        try:
            bounds = await self._log.offsets([TopicPartition(topic, p) for p in partitions])
            for p in partitions:
                at = TopicPartition(topic, p)
                if start is not None:
                    got, nexts[p] = await self._forward(at, bounds[at], start, limit, key)
                else:
                    got, nexts[p] = await self._last(at, bounds[at], limit, key)
                found.extend((p, record) for record in got)
        except OffsetOutOfRange as error:
            raise WrongQuestion(f"from lies outside of the partition: {error}") from error
        except LogError as error:
            raise Unavailable(f"the log cannot be asked: {error}") from error
        found.sort(key=lambda pair: (pair[1].timestamp, pair[0], pair[1].offset))
        return (found[:limit] if start is not None else found[-limit:]), nexts

    async def _forward(
        self, at: TopicPartition, bounds: Offsets, start: int, limit: int, key: bytes | None
    ) -> tuple[list[Any], int]:
        if start > bounds.end:
            raise WrongQuestion(f"from is {start}; {at.topic!r} partition {at.partition} ends at {bounds.end}")
        found: list[Any] = []
        position, room = max(start, bounds.start), MOST_BYTES
        last = position + LOOK_BACK if key is not None else bounds.end
        while position < min(last, bounds.end) and len(found) < limit and room > 0:
            got, following = await self._some(at, position)
            for record in got:
                if key is not None and record.key != key:
                    continue
                if len(found) == limit or room <= 0:
                    return found, record.offset
                found.append(record)
                room -= _bytes(record)
            if following <= position:
                break
            position = following
            await asyncio.sleep(0)
        return found, position

    async def _last(self, at: TopicPartition, bounds: Offsets, limit: int, key: bytes | None) -> tuple[list[Any], int]:
        """The last records: from a little before the end, then from further back, since offsets have gaps."""
        back = limit if key is None else LOOK_BACK
        while True:
            first = position = max(bounds.start, bounds.end - back)
            found: list[Any] = []
            while position < bounds.end:
                got, following = await self._some(at, position)
                found.extend(record for record in got if key is None or record.key == key)
                del found[:-limit]
                if following <= position:
                    break
                position = following
                await asyncio.sleep(0)
            if len(found) >= limit or first == bounds.start or back >= LOOK_BACK:
                return _within(found), position
            back = min(LOOK_BACK, back * 8)

    async def _some(self, at: TopicPartition, position: int) -> tuple[list[Any], int]:
        fetched = await self._log.fetch({at: position}, max_bytes=FETCH_BYTES, max_wait=0.2)
        if at not in fetched:
            return [], position
        got = [record for batch in fetched[at].batches for record in records(batch) if record.offset >= position]
        return got, fetched[at].next_offset


def _within(found: list[Any]) -> list[Any]:
    """The last records that an answer has room for."""
    room = MOST_BYTES
    for n in range(len(found) - 1, -1, -1):
        room -= _bytes(found[n])
        if room < 0:
            return found[n + 1 :] or found[-1:]
    return found


def _bytes(record: Any) -> int:
    return len(record.key or b"") + len(record.value or b"") + sum(len(data or b"") for _, data in record.headers) + 64


def _listed(
    topic: KnownTopic, bounds: dict[TopicPartition, Offsets], committed: dict[TopicPartition, int]
) -> dict[str, Any]:
    read = "source" in topic.roles or "repartition" in topic.roles
    parts: list[dict[str, Any]] = []
    for p in range(topic.partitions):
        start, end = bounds[at := TopicPartition(topic.name, p)]
        done = committed.get(at) if read else None
        lag = max(0, end - max(done or 0, start)) if read else None
        parts.append({"partition": p, "start": start, "end": end, "committed": done, "lag": lag})
    return {
        "name": topic.name,
        "roles": topic.roles,
        "key": topic.key.name,
        "value": topic.value.name,
        "takes_events": topic.takes_events,
        "partitions": parts,
        "lag": sum(part["lag"] for part in parts) if read else None,
    }


def shown(topic: KnownTopic, partition: int, record: Any) -> dict[str, Any]:
    """One record as JSON: by the topic's serdes, bytes these cannot read as base64."""
    key, key_encoding = _field(topic.key, record.key)
    value, encoding = _field(topic.value, record.value)
    found: dict[str, Any] = {
        "topic": topic.name,
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": key,
        "value": value,
        "headers": headers_of(record.headers),
    }
    if key_encoding is not None:
        found["key_encoding"] = key_encoding
    if encoding is not None:
        found["encoding"] = encoding
    return found


def _field(serde: Serde[Any], data: bytes | None) -> tuple[Any, str | None]:
    return (None, None) if data is None else as_json(serde, data)


def headers_of(headers: Any) -> dict[str, Any]:
    """Names and values; a name that comes several times has a list, bytes that are no text are ``{"base64": ...}``."""
    several: dict[str, list[Any]] = {}
    for name, data in headers:
        several.setdefault(name, []).append(None if data is None else _text(data))
    return {name: values[0] if len(values) == 1 else values for name, values in several.items()}


def _text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
