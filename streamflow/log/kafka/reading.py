"""Reading committed records: whole batches, as they lie at the broker.

A broker that is asked for committed data only (isolation level 1) tells nothing
behind the first open transaction, but still sends the batches of transactions
that were aborted, with a list of whose they are. They are left out here, and so
are the markers that end a transaction; both take offsets, which is why positions
and not record offsets say how far a reader is.

One fetch is one request to each broker that leads something asked for, all at
once; it is over when the first has something to tell. A request that is still
waiting at its broker then is left to end by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from streamflow.errors import LogCorrupt, LogError, LogUnavailable, OffsetOutOfRange
from streamflow.log.batch import HEADER, header
from streamflow.log.contract import Fetched
from streamflow.log.kafka import codes, wire
from streamflow.log.kafka.client import PATIENCE, Client, Leader, soon
from streamflow.log.kafka.stamp import CONTROL, TRANSACTIONAL
from streamflow.record import TopicPartition

_COMMITTED = 1
_NO_SESSION, _SESSIONLESS_EPOCH = 0, -1
_LARGE = 1 << 20
_SHARE = 256 << 10  # of a large fetch, what one partition may take at least: a hot one is not held up by many idle ones
_ABORT = 0

Told = dict[TopicPartition, tuple[int, Fetched]]
"""Error code and what was told, per partition."""


class Reading:
    """Fetches for one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turn = 0

    async def fetch(
        self, positions: Mapping[TopicPartition, int], *, max_bytes: int, max_wait: float
    ) -> dict[TopicPartition, Fetched]:
        """See `Log.fetch`."""
        if not positions:
            if max_wait:
                await asyncio.sleep(max_wait)
            return {}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max_wait
        patience = loop.time() + max_wait + PATIENCE
        attempt = 0
        while True:
            told = await self._round(positions, max_bytes, max(0.0, deadline - loop.time()))
            found = {
                tp: fetched
                for tp, (code, fetched) in told.items()
                if code == codes.OK
                and (fetched.batches or max(fetched.next_offset, fetched.end_offset) > positions[tp])
            }
            for tp, (code, fetched) in told.items():
                self._refuse(tp, code, positions[tp], fetched)
            wrong = [
                f"{tp.topic!r} partition {tp.partition}: {codes.named(code)}" for tp, (code, _) in told.items() if code
            ]
            if found or (not wrong and loop.time() >= deadline):
                return found
            if wrong or not told:
                if loop.time() > patience:
                    raise LogUnavailable(
                        f"reading from {self._client.name}: {wrong[0] if wrong else 'no broker answers'}"
                    )
                await soon(attempt)
                attempt += 1
                await self._client.refresh()

    async def _round(self, positions: Mapping[TopicPartition, int], max_bytes: int, max_wait: float) -> Told:
        """Ask all leaders at once, until the first has something to tell; nothing if none of them answers."""
        leaders = await self._client.leaders(positions)
        self._turn += 1
        by_node: dict[int, list[TopicPartition]] = {}
        for tp in _turned(sorted(positions), self._turn):
            by_node.setdefault(leaders[tp].node, []).append(tp)
        asked = [
            asyncio.ensure_future(self._ask(node, mine, positions, leaders, max_bytes, max_wait, len(positions)))
            for node, mine in by_node.items()
        ]
        told: Told = {}
        try:
            waiting: set[asyncio.Future[Told]] = set(asked)
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    if isinstance(error := each.exception(), LogUnavailable):
                        self._client.refresh_later()
                        continue
                    if error is not None:
                        raise error
                    told |= each.result()
                if any(
                    code or fetched.batches or fetched.next_offset > positions[tp]
                    for tp, (code, fetched) in told.items()
                ):
                    break
        finally:
            for each in asked:
                each.cancel()
        return told

    async def _ask(
        self,
        node: int,
        mine: Sequence[TopicPartition],
        positions: Mapping[TopicPartition, int],
        leaders: Mapping[TopicPartition, Leader],
        max_bytes: int,
        max_wait: float,
        among: int,
    ) -> Told:
        share = max(1, max_bytes // among)
        if max_bytes >= _LARGE:
            share = max(share, _SHARE)
        topics = [
            (topic, [(tp.partition, leaders[tp].epoch, positions[tp], -1, share) for tp in tps])
            for topic, tps in groupby(mine, key=lambda tp: tp.topic)
        ]
        request = wire.FETCH(
            -1, int(max_wait * 1000), 1, max_bytes, _COMMITTED, _NO_SESSION, _SESSIONLESS_EPOCH, topics, [], ""
        )
        answer = await self._client.call(node, request, max_wait + PATIENCE, lane="fetch")
        if answer.error not in (codes.OK, *codes.FOR_NOW):
            raise LogError(f"reading from {self._client.name}: {codes.named(answer.error)}")
        told: Told = {}
        for topic, parts in answer.topics:
            for number, code, _, stable, start, aborted, _, records in parts:
                tp = TopicPartition(topic, number)
                told[tp] = code, _fetched(tp, records, aborted or (), positions[tp], stable, start)
        return told

    def _refuse(self, tp: TopicPartition, code: int, position: int, fetched: Fetched) -> None:
        if code == codes.OFFSET_OUT_OF_RANGE:
            raise OffsetOutOfRange(
                f"{tp.topic!r} partition {tp.partition} has no offset {position} on {self._client.name}"
            )
        if code and code not in codes.FOR_NOW:
            raise LogError(f"reading {tp.topic!r} partition {tp.partition} of {self._client.name}: {codes.named(code)}")


def _turned(partitions: list[TopicPartition], turn: int) -> list[TopicPartition]:
    """The partitions beginning with another each time: the first ones fill the answer."""
    at = turn % len(partitions)
    return partitions[at:] + partitions[:at]


def _fetched(
    tp: TopicPartition, data: bytes, aborted: Sequence[tuple[int, int]], position: int, stable: int, start: int
) -> Fetched:
    """The committed batches in a broker's answer, and the position behind all of them, the left out ones too."""
    batches: list[bytes] = []
    after = position
    upcoming = sorted(aborted, key=lambda each: -each[1])
    active: set[int] = set()
    for batch in _split(data, tp):
        head = header(batch)
        while upcoming and upcoming[-1][1] <= head.next_offset - 1:
            active.add(upcoming.pop()[0])
        if head.attributes & CONTROL:
            if _marker(batch) == _ABORT:
                active.discard(head.producer_id)
        elif not (head.attributes & TRANSACTIONAL and head.producer_id in active) and head.next_offset > position:
            batches.append(batch)
        after = max(after, head.next_offset)
    return Fetched(batches, after, max(stable, after) if stable < 0 else stable, max(start, 0))


def _split(data: bytes, tp: TopicPartition) -> Iterator[bytes]:
    """The whole batches in an answer; the last one may be cut off."""
    at, end = 0, len(data)
    while at + HEADER <= end:
        length = 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        if data[at + 16] != 2:
            raise LogCorrupt(f"{tp.topic!r} partition {tp.partition} holds a batch of the old format {data[at + 16]}")
        if at + length > end:
            return
        yield data[at : at + length]
        at += length


def _marker(batch: bytes) -> int:
    """What a control batch says: its one record's key is a version and a type, 0 for an abort and 1 for a commit."""
    # Behind the header: length, attributes (one byte), timestamp delta, offset delta and key length, all else varints.
    at = _skipped(batch, HEADER) + 1
    for _ in range(3):
        at = _skipped(batch, at)
    return int.from_bytes(batch[at + 2 : at + 4], "big")


def _skipped(data: bytes, at: int) -> int:
    """Behind the varint at ``at``."""
    while data[at] & 0x80:
        at += 1
    return at + 1
