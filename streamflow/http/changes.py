"""A store's changes as they are committed, as server-sent events.

They are read from the store's changelog, read committed: so any worker tells those of all partitions, whoever runs the
tasks, through a rebalance and on either log. Nothing is kept for a reader. Each has its positions and reads on when the
log has more, as fast as it takes what is sent; the log is the buffer.

The id of an event is where to go on: ``LIFE-partition:position.partition:position``, with the life of the changelog's
topic. A reader that comes again with it (``Last-Event-ID``) goes on there; where that cannot be, because the changelog
begins later now or is another one, it is told so by an event ``reset``, and should read the store anew.

Source: HTML Living Standard, 9.2 Server-sent events.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
from aiohttp import web

from streamflow.errors import LogError, OffsetOutOfRange
from streamflow.http.asked import Asked
from streamflow.http.ends import Ends
from streamflow.http.text import key_bytes, shown_key, shown_value
from streamflow.log.batch import records
from streamflow.log.contract import Log
from streamflow.query import Site, Unavailable, WrongQuestion
from streamflow.record import TopicPartition
from streamflow.state.keys import META_KEY, unescape
from streamflow.state.versioned import newest

MOST = 64
"""Streams of one worker."""
HEARTBEAT = 10.0
"""Seconds of silence; then the position is told, which also finds out who is gone."""
FETCH_BYTES = 256 << 10
EVENTS_BYTES = 64 << 10  # sent in one piece
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
_ID = re.compile(r"([0-9a-f]{8})-((?:[0-9]{1,9}:[0-9]{1,18}\.?)+)", re.ASCII)
_JSON = msgspec.json.Encoder()


@dataclass
class _Reader:
    """One stream: what it reads, how far it is, and how a record is told (None: it is not)."""

    life: str
    positions: dict[TopicPartition, int]
    tell: Callable[[TopicPartition, Any], dict[str, Any] | None]

    @property
    def id(self) -> str:
        """Where it would go on."""
        return f"{self.life}-" + ".".join(f"{tp.partition}:{at}" for tp, at in self.positions.items())


class Changes:
    """The streams of one worker."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._ends = Ends(log)
        self._closing = asyncio.Event()
        self.open = 0

    def close(self) -> None:
        """End every stream, so that readers go to another worker."""
        self._closing.set()

    async def stream(self, site: Site, asked: Asked, request: web.BaseRequest) -> web.StreamResponse:
        """Send changes until the reader is gone. Raises `Unavailable` and `WrongQuestion` before the first byte."""
        given: bytes | None = asked.parameters["key"]
        key = None if given is None else key_bytes(site.spec.key, given)
        places = [TopicPartition(_changelog(site), p) for p in (site.partitions if key is None else site.holding(key))]
        if self.open >= MOST:
            raise Unavailable(f"{MOST} readers follow changes at this worker already; ask another")
        self.open += 1
        try:
            reader, why = await self._begin(places, request.headers.get("Last-Event-ID"), _teller(site, key))
            response = web.StreamResponse(headers=_HEADERS | {"Content-Type": "text/event-stream"})
            await response.prepare(request)
            if request.method != "HEAD":
                with contextlib.suppress(ConnectionError):  # the reader is gone
                    await response.write(b"retry: 1000\n" + (_at(reader) if why is None else _reset(reader, why)))
                    await self._follow(reader, response)
            return response
        except LogError as error:
            raise Unavailable(f"the log cannot be asked: {error}") from error
        finally:
            self.open -= 1

    async def _begin(
        self, places: list[TopicPartition], id: str | None, tell: Callable[[TopicPartition, Any], dict[str, Any] | None]
    ) -> tuple[_Reader, str | None]:
        """A reader where the id says, or at the end, and why it is not where the id says."""
        topic = (await self._log.topics()).get(places[0].topic)
        if topic is None:
            raise Unavailable(f"topic {places[0].topic!r} is not there yet")
        bounds = await self._log.offsets(places)
        reader = _Reader(blake2b(topic.id.encode(), digest_size=4).hexdigest(), {}, tell)
        reader.positions = {tp: bounds[tp].end for tp in places}
        if not id:
            return reader, None
        life, wanted = _positions(id, places[0].topic)
        if life != reader.life:
            return reader, "this id is of another changelog"
        if set(wanted) != set(places):
            return reader, "this id is of other partitions"
        if any(not bounds[tp].start <= at <= bounds[tp].end for tp, at in wanted.items()):
            return reader, "the changelog does not hold what came after this id any more"
        reader.positions = {tp: wanted[tp] for tp in places}
        return reader, None

    async def _follow(self, reader: _Reader, response: web.StreamResponse) -> None:
        with self._ends.watching(reader.positions):
            while not self._closing.is_set():
                more = await self._ends.beyond(reader.positions, HEARTBEAT, self._closing)
                if not more:
                    await response.write(_at(reader))
                    continue
                try:
                    await self._some(reader, more, response)
                except OffsetOutOfRange:
                    bounds = await self._log.offsets(list(reader.positions))
                    reader.positions.update({tp: bounds[tp].end for tp in reader.positions})
                    await response.write(_reset(reader, "the changelog does not hold what comes next any more"))
                except LogError as error:
                    # It may be there again when the reader comes again, which it does with where it was.
                    await response.write(b"event: error\ndata: " + _JSON.encode({"error": str(error)}) + b"\n\n")
                    return

    async def _some(self, reader: _Reader, more: list[TopicPartition], response: web.StreamResponse) -> None:
        wanted = {tp: reader.positions[tp] for tp in more}
        # It does not wait: on Kafka a request that does holds up the ones behind it, those of the tasks among them.
        fetched = await self._log.fetch(wanted, max_bytes=FETCH_BYTES, max_wait=0.0)
        if not fetched:
            await asyncio.sleep(0.05)
        pieces = bytearray()
        for tp, got in fetched.items():
            for batch in got.batches:
                for record in records(batch):
                    if record.offset < reader.positions[tp]:
                        continue
                    reader.positions[tp] = record.offset + 1
                    if (told := reader.tell(tp, record)) is not None:
                        pieces += b"id: %b\ndata: %b\n\n" % (reader.id.encode(), _JSON.encode(told))
                    if len(pieces) > EVENTS_BYTES:
                        await response.write(bytes(pieces))
                        pieces.clear()
                await asyncio.sleep(0)
            reader.positions[tp] = max(reader.positions[tp], got.next_offset)
        if pieces:
            await response.write(bytes(pieces))


def _changelog(site: Site) -> str:
    """The topic that tells a store's changes."""
    sub, name = site.sub, site.spec.name
    if site.everywhere and not sub.steps:
        return next(topic for topics in sub.topics.values() for topic in topics)
    if topic := sub.changelogs.get(name) or sub.reused.get(name):
        return topic
    raise WrongQuestion(f"store {name!r} has no changelog, so its changes are not told anywhere")


def _positions(id: str, topic: str) -> tuple[str, Mapping[TopicPartition, int]]:
    found = _ID.fullmatch(id)
    if found is None:
        return "", {}
    pairs = (piece.split(":") for piece in found[2].split(".") if piece)
    return found[1], {TopicPartition(topic, int(partition)): int(at) for partition, at in pairs}


def _at(reader: _Reader) -> bytes:
    """An id without an event: a reader takes note of it, and tells nobody."""
    return f"id: {reader.id}\n\n".encode()


def _reset(reader: _Reader, why: str) -> bytes:
    told = _JSON.encode({"error": f"{why}; read the store anew, changes follow from here"})
    return b"event: reset\nid: %b\ndata: %b\n\n" % (reader.id.encode(), told)


def _teller(site: Site, wanted: bytes | None) -> Callable[[TopicPartition, Any], dict[str, Any] | None]:
    """How records of the changelog are told; `state/keys.py` has their formats."""
    spec, own = site.spec, site.spec.name in site.sub.changelogs
    tail = spec.tail if spec.segmented else 0

    def tell(tp: TopicPartition, record: Any) -> dict[str, Any] | None:
        row: bytes | None = record.key
        if row is None:
            return None
        if own and row == META_KEY:
            return None
        row = unescape(row) if own else row
        key = row[: len(row) - tail]
        if wanted is not None and key != wanted:
            return None
        value, timestamp = _value(record.value, record.timestamp)
        found: dict[str, Any] = shown_key(spec.key, key)
        if tail:
            found |= _times(row[-tail:])
        found |= {"value": None} if value is None else shown_value(spec.value, value)
        return found | {"timestamp": timestamp if spec.timestamped else None, "partition": tp.partition}

    def _value(data: bytes | None, timestamp: int) -> tuple[bytes | None, int]:
        if data is None or spec.kind == "key_value":
            return data, timestamp
        if spec.kind == "versioned":
            last, value = newest(data, spec.name)
            return value, last
        return (data[8:], int.from_bytes(data[:8], "big", signed=True)) if spec.timestamped else (data, timestamp)

    def _times(behind: bytes) -> dict[str, int]:
        numbers = [int.from_bytes(behind[at : at + 8], "big") for at in range(0, len(behind) // 8 * 8, 8)]
        if spec.kind == "session":
            return {"start": numbers[1], "end": numbers[0]}
        return {"start": numbers[0], "end": spec.end(numbers[0])}

    return tell
