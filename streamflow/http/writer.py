"""Events that come in over HTTP, written in batches, and once each where the sender gives them an id.

Requests that arrive while an append is under way share the next one, so a commit is paid for by many of them.

**Once.** A record with an id carries it in the header `ID_HEADER`. Before such a record is written, what stands in its
partition since the last look is read, `SPAN` offsets back at first; if the id is there nothing is written, and the
sender is told where the record lies. What was found is kept in memory, but the log is what is believed: so it holds
after a restart, on another worker, and when nobody knows whether the first try was written. It does not hold between
two workers that are given the same id at the same moment, nor for an id that lies more than `SPAN` offsets back.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from streamflow.errors import LogError, OffsetOutOfRange
from streamflow.log.batch import RawRecord, encode, records
from streamflow.log.contract import Log
from streamflow.query import Unavailable, WrongQuestion
from streamflow.record import TopicPartition

ID_HEADER = "streamflow.idempotency-key"
SPAN = 10_000  # offsets of a partition in which an id is looked for
REMEMBERED = 20_000  # ids of a partition in memory
BATCH_BYTES = 900_000  # of one partition in one append: a Kafka broker takes a megabyte unless told otherwise
WAITING = 10_000  # records that may wait to be written
FETCH_BYTES = 1 << 20


@dataclass(frozen=True)
class Written:
    """Where a record lies; ``again``: it lay there before, and was not written once more."""

    offset: int
    again: bool = False


@dataclass
class _Waiting:
    record: RawRecord
    id: bytes | None
    done: asyncio.Future[Written]

    @property
    def size(self) -> int:
        return _size(self.record)


@dataclass
class Ids:
    """The ids in one partition: offset and digest of the record with each; read up to ``position``."""

    position: int = -1
    known: OrderedDict[bytes, tuple[int, bytes]] = field(default_factory=OrderedDict[bytes, tuple[int, bytes]])

    def note(self, id: bytes, offset: int, digest: bytes) -> None:
        self.known.setdefault(id, (offset, digest))
        while len(self.known) > REMEMBERED:
            self.known.popitem(last=False)


class Writer:
    """Appends to a log, for the requests of one worker."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._ids: dict[TopicPartition, Ids] = {}
        self._waiting: dict[TopicPartition, list[_Waiting]] = {}
        self._count = 0
        self._turning: asyncio.Task[None] | None = None

    async def write(self, to: TopicPartition, record: RawRecord, id: bytes | None = None) -> Written:
        """Durable on return. Raises `Unavailable`, and `WrongQuestion` for an id that another record has."""
        if self._count >= WAITING:
            raise Unavailable(f"{WAITING:,} records wait to be written already; send again in a moment")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Written] = loop.create_future()
        if id is not None:
            key, value, timestamp, headers = record
            record = key, value, timestamp, [*headers, (ID_HEADER, id)]
        self._waiting.setdefault(to, []).append(_Waiting(record, id, done))
        self._count += 1
        if self._turning is None or self._turning.done():
            self._turning = loop.create_task(self._turn())
        return await done

    async def close(self) -> None:
        """Let what waits be written."""
        if self._turning is not None:
            await asyncio.gather(self._turning, return_exceptions=True)

    async def ids_of(self, at: TopicPartition) -> Ids:
        """The ids in a partition up to its end as it is now."""
        ids = self._ids.setdefault(at, Ids())
        bounds = (await self._log.offsets([at]))[at]
        if not bounds.start <= ids.position <= bounds.end:
            ids.position = max(bounds.start, bounds.end - SPAN)
        while ids.position < bounds.end:
            try:
                found = await self._log.fetch({at: ids.position}, max_bytes=FETCH_BYTES, max_wait=0.5)
            except OffsetOutOfRange:  # forgotten meanwhile
                ids.position = (await self._log.offsets([at]))[at].start
                continue
            if at not in found or found[at].next_offset <= ids.position:
                raise Unavailable(f"{at.topic!r} partition {at.partition} has records that are not committed yet")
            for batch in found[at].batches:
                for record in records(batch):
                    for name, data in record.headers:
                        if name == ID_HEADER and data is not None:
                            ids.note(data, record.offset, digest(record.key, record.value))
            ids.position = found[at].next_offset
            await asyncio.sleep(0)
        return ids

    async def _turn(self) -> None:
        """Write until nothing waits."""
        while self._waiting:
            round = {at: self._take(at) for at in list(self._waiting)}
            try:
                await self._append(round)
            except LogError as error:
                self._fail(round, Unavailable(f"nobody knows whether it was written: {error}"))
            except Exception as error:
                self._fail(round, error)

    def _take(self, at: TopicPartition) -> list[_Waiting]:
        """The first records for a partition, as many as one batch has room for."""
        waiting = self._waiting.pop(at)
        count, room = 1, BATCH_BYTES - waiting[0].size
        while count < len(waiting) and waiting[count].size <= room:
            room -= waiting[count].size
            count += 1
        if waiting[count:]:
            self._waiting[at] = waiting[count:]
        self._count -= count
        return waiting[:count]

    def _fail(self, round: dict[TopicPartition, list[_Waiting]], error: Exception) -> None:
        for each in (each for all_of in round.values() for each in all_of):
            if not each.done.done():
                each.done.set_exception(error)

    async def _append(self, round: dict[TopicPartition, list[_Waiting]]) -> None:
        new = {at: await self._not_there(at, of) for at, of in round.items()}
        batches = {
            at: encode([of.record for of in each], target_bytes=1 << 30)  # one batch: its offsets follow each other
            for at, each in new.items()
            if each
        }
        firsts = await self._log.append(batches) if batches else {}
        for at, each in new.items():
            ids = self._ids.get(at)
            for offset, waiting in enumerate(each, firsts.get(at, 0)):
                if waiting.id is not None and ids is not None:
                    ids.note(waiting.id, offset, digest(*waiting.record[:2]))
                if not waiting.done.done():
                    waiting.done.set_result(Written(offset))
            if ids is not None and each and ids.position == firsts[at]:
                ids.position += len(each)
        for at, each in round.items():  # the copies of what has just been written for the first time
            for waiting in each:
                if not waiting.done.done():
                    self._answer(self._ids[at], waiting)

    async def _not_there(self, at: TopicPartition, of: list[_Waiting]) -> list[_Waiting]:
        """Those that are to be written; the others are answered, or will be when their first copy is written."""
        if all(each.id is None for each in of):
            return of
        ids = await self.ids_of(at)
        new: list[_Waiting] = []
        taken: set[bytes] = set()
        for each in of:
            if each.id is None:
                new.append(each)
            elif each.id in ids.known:
                self._answer(ids, each)
            elif each.id not in taken:
                taken.add(each.id)
                new.append(each)
        return new

    def _answer(self, ids: Ids, each: _Waiting) -> None:
        assert each.id is not None
        if each.done.done():
            return  # who asked is gone
        offset, first = ids.known[each.id]
        if first == digest(*each.record[:2]):
            each.done.set_result(Written(offset, again=True))
        else:
            each.done.set_exception(
                WrongQuestion(
                    f"Idempotency-Key {each.id.decode()[:60]!r} came before with another key or value (offset {offset}); "
                    "an id belongs to one event"
                )
            )


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """What tells two records apart."""
    parts = [b"-" if part is None else b"%d:" % len(part) + part for part in (key, value)]
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


def _size(record: RawRecord) -> int:
    key, value, _, headers = record
    return len(key or b"") + len(value or b"") + sum(len(name) + len(data or b"") + 8 for name, data in headers) + 32
