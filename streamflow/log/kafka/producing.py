"""Sending record batches, one per partition at a time, and appending outside of any task.

Sequence numbers make repeating safe: a batch that the broker has already is
answered like one that it had not. So an answer that was lost is asked for again
with the very same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from aiokafka.protocol.transaction import InitProducerIdRequest

from streamflow.errors import LogError, LogUnavailable
from streamflow.log.batch import check
from streamflow.log.kafka import codes, wire
from streamflow.log.kafka.client import PATIENCE, Client, soon
from streamflow.log.kafka.scatter import by_topic
from streamflow.log.kafka.stamp import Stamp, count, following, stamped
from streamflow.record import TopicPartition

_TAGS: tuple[Any, ...] = ({},)
_UNTAGGED: tuple[Any, ...] = ()
_ALL = -1  # acknowledged by every replica that is in sync
_STRANGER = frozenset({codes.OUT_OF_ORDER_SEQUENCE, codes.UNKNOWN_PRODUCER_ID, *codes.FENCED})


class Written(NamedTuple):
    """A broker's answer about one batch: its code, the offset of the first record, and the broker's own words."""

    code: int
    offset: int
    message: str


async def send(
    client: Client,
    batches: Mapping[TopicPartition, bytes],
    *,
    transactional_id: str | None = None,
    v2: bool = False,
    timeout: float = PATIENCE,
) -> dict[TopicPartition, Written]:
    """Send each batch to its leader, all at once. What got no answer is missing from the result.

    Raises `UnknownTopic`, and `LogUnavailable` when nobody leads a partition.
    """
    leaders = await client.leaders(batches)
    by_node: dict[int, list[TopicPartition]] = {}
    for tp in batches:
        by_node.setdefault(leaders[tp].node, []).append(tp)
    api, tags = (wire.PRODUCE_V2, _TAGS) if v2 else (wire.PRODUCE, _UNTAGGED)

    async def ask(node: int, mine: Sequence[TopicPartition]) -> Any:
        topics: list[Any] = [
            (topic, [(tp.partition, batches[tp], *tags) for tp in tps], *tags) for topic, tps in by_topic(mine)
        ]
        return await client.call(node, api(transactional_id, _ALL, int(timeout * 1000), topics, *tags), timeout)

    found: dict[TopicPartition, Written] = {}
    answers = await asyncio.gather(*(ask(node, mine) for node, mine in by_node.items()), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, LogUnavailable):
            continue
        if isinstance(answer, BaseException):
            raise answer
        for topic, parts, *_ in answer.topics:
            for number, code, offset, _, _, records, message, *_ in parts:
                words = message or "; ".join(text for _, text, *_ in records or () if text)
                found[TopicPartition(topic, number)] = Written(code, offset, words)
    return found


def rounds(batches: Mapping[TopicPartition, Sequence[bytes]]) -> list[dict[TopicPartition, bytes]]:
    """The batches in their order, such that no partition is met twice in a round.

    >>> rounds({TopicPartition("a", 0): [b"1", b"2"], TopicPartition("a", 1): [b"3"]})[1]
    {TopicPartition(topic='a', partition=0): b'2'}
    """
    return [
        {tp: batch for tp, batch in zip(batches, each, strict=True) if batch is not None}
        for each in zip_longest(*batches.values())
    ]


class Appending:
    """Appends as one idempotent producer, one call at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stamp: Stamp | None = None
        self._sequences: dict[TopicPartition, int] = {}
        self._lock = asyncio.Lock()

    async def append(self, batches: Mapping[TopicPartition, Sequence[bytes]]) -> dict[TopicPartition, int]:
        """See `Log.append`."""
        for tp, mine in batches.items():
            for batch in mine:
                check(batch, f"{tp.topic!r} partition {tp.partition}")
        firsts: dict[TopicPartition, int] = {}
        async with self._lock:
            await self._client.leaders(batches)  # an unknown topic is told before anything is written
            for each in rounds({tp: mine for tp, mine in batches.items() if mine}):
                for tp, offset in (await self._round(each)).items():
                    firsts.setdefault(tp, offset)
        return firsts

    async def _round(self, batches: dict[TopicPartition, bytes]) -> dict[TopicPartition, int]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        attempt = 0
        offsets: dict[TopicPartition, int] = {}
        pending = dict(batches)
        in_doubt: set[TopicPartition] = set()
        while pending:
            stamp = self._stamp = self._stamp or await self._introduce()
            ready = {tp: stamped(batch, stamp, self._sequences.get(tp, 0)) for tp, batch in pending.items()}
            answers = await send(self._client, ready, timeout=max(0.1, deadline - loop.time()))
            why = "no answer"
            for tp in list(pending):
                if (answer := answers.get(tp)) is None:
                    in_doubt.add(tp)
                elif answer.code == codes.OK:
                    offsets[tp] = answer.offset
                    self._sequences[tp] = following(self._sequences.get(tp, 0), count(pending.pop(tp)))
                elif answer.code in _STRANGER and tp not in in_doubt:
                    # The broker does not know this producer any more; as another one, everything is new.
                    self._stamp, why = None, codes.named(answer.code)
                    self._sequences.clear()
                elif answer.code in codes.FOR_NOW:
                    why = codes.named(answer.code)
                else:
                    self._stamp = None
                    self._sequences.clear()
                    raise LogError(
                        f"{tp.topic!r} partition {tp.partition} of {self._client.name} took no record: "
                        f"{answer.message or codes.named(answer.code)}"
                    )
            if not pending:
                break
            if loop.time() > deadline:
                self._stamp = None
                self._sequences.clear()
                raise LogUnavailable(f"appending to {self._client.name}: {why}")
            await soon(attempt)
            attempt += 1
            await self._client.refresh()
        return offsets

    async def _introduce(self) -> Stamp:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        attempt = 0
        while True:
            nobody: Any = None  # no transactional id: an idempotent producer, no more
            answer = await self._client.ask_anybody(InitProducerIdRequest(nobody, 0))
            if answer.error_code == codes.OK:
                self._sequences.clear()
                return Stamp(answer.producer_id, answer.producer_epoch, False)
            why = f"{self._client.name} gives no producer id: {codes.named(answer.error_code)}"
            if answer.error_code not in codes.FOR_NOW:
                raise LogError(why)
            if loop.time() > deadline:
                raise LogUnavailable(why)
            await soon(attempt)
            attempt += 1
