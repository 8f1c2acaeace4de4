"""Where partitions begin and end, where a group has come to, and what may be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.protocol.admin import DeleteRecordsRequest, DescribeGroupsRequest
from aiokafka.protocol.commit import OffsetCommitRequest

from streamflow.errors import LogError, LogUnavailable, OffsetOutOfRange
from streamflow.log.contract import Offsets
from streamflow.log.kafka import codes, wire
from streamflow.log.kafka.client import PATIENCE, Client, Leader, soon
from streamflow.log.kafka.scatter import by_topic, scatter
from streamflow.record import TopicPartition

_LATEST, _EARLIEST = -1, -2
_UNCOMMITTED = 0
"""Recovery has to see what lies behind an open transaction of its own (R2), so the end is that of all records."""
_DURATION_MS = int(PATIENCE * 1000)


class Positions:
    """All of it asked afresh, never remembered."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Offsets]:
        """See `Log.offsets`."""
        starts, ends = await asyncio.gather(self._list(partitions, _EARLIEST), self._list(partitions, _LATEST))
        return {tp: Offsets(starts[tp], ends[tp]) for tp in partitions}

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """See `Log.offset_at`."""
        found = (await self._list([partition], max(timestamp_ms, 0)))[partition]
        return found if found >= 0 else (await self._list([partition], _LATEST))[partition]

    async def _list(self, partitions: Iterable[TopicPartition], timestamp: int) -> dict[TopicPartition, int]:
        def ask(node: int, mine: Mapping[TopicPartition, Leader]) -> Any:
            topics = [
                (topic, [(tp.partition, mine[tp].epoch, timestamp) for tp in tps]) for topic, tps in by_topic(mine)
            ]
            return wire.LIST_OFFSETS(-1, _UNCOMMITTED, topics)

        def read(answer: Any) -> Iterable[tuple[TopicPartition, int, int]]:
            for topic, told in answer.topics:
                for number, code, _, offset, _ in told:
                    yield TopicPartition(topic, number), code, offset

        return await scatter(self._client, partitions, ask, read, what="the offsets")

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """See `Log.delete_records`."""

        def ask(node: int, mine: Mapping[TopicPartition, Leader]) -> Any:
            topics = [(topic, [(tp.partition, before[tp]) for tp in tps]) for topic, tps in by_topic(mine)]
            return DeleteRecordsRequest(topics, _DURATION_MS)

        def read(answer: Any) -> Iterable[tuple[TopicPartition, int, None]]:
            for topic, told, *_ in answer.topics:
                for number, _, code, *_ in told:
                    yield TopicPartition(topic, number), code, None

        def refuse(tp: TopicPartition, code: int) -> Exception | None:
            if code != codes.OFFSET_OUT_OF_RANGE:
                return None
            return OffsetOutOfRange(f"{tp.topic!r} partition {tp.partition} does not reach to offset {before[tp]}")

        await scatter(self._client, before, ask, read, what="deleting records", refuse=refuse)

    async def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See `Log.committed`. Offsets of a transaction that is not decided yet are waited for (require_stable)."""
        topics: list[Any] = [(topic, [tp.partition for tp in tps], {}) for topic, tps in by_topic(partitions)]
        answer = await self._of_coordinator(
            group,
            wire.OFFSET_FETCH(group, topics, True, {}),
            _fetched,
            "the committed offsets",
        )
        return {
            TopicPartition(topic, part[0]): part[1]
            for topic, parts, _ in answer.topics
            for part in parts
            if part[1] >= 0
        }

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """See `Log.set_committed`."""
        await self._client.refresh()
        await self._client.leaders(offsets)  # an unknown topic is told before anything is moved
        answer = await self._of_coordinator(group, DescribeGroupsRequest([group]), _described, "the members")
        if members := answer.groups[0][5]:
            raise LogError(
                f"the group {group!r} has {len(members)} running, and its offsets are moved only while nobody runs; "
                "stop its workers first"
            )
        topics = [(topic, [(tp.partition, offsets[tp], "") for tp in tps]) for topic, tps in by_topic(offsets)]
        await self._of_coordinator(
            group,
            OffsetCommitRequest(group, -1, "", -1, topics),
            _moved,
            "moving the offsets",
        )

    async def _of_coordinator(self, group: str, request: Any, told: Any, what: str) -> Any:
        """Ask the group's coordinator; what it answers for now is asked again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        attempt = 0
        while True:
            why: object
            try:
                node = await self._client.coordinator("group", group)
                answer = await self._client.call(node, request)
                wrong = {code for code in told(answer) if code != codes.OK}
                if not wrong:
                    return answer
                why = ", ".join(map(codes.named, sorted(wrong)))
                if not wrong <= codes.FOR_NOW:
                    raise LogError(f"{self._client.name}: {what} of the group {group!r}: {why}")
                if wrong & codes.NO_COORDINATOR:
                    self._client.forget_coordinator("group", group)
            except LogUnavailable as error:
                self._client.forget_coordinator("group", group)
                why = error
            if loop.time() > deadline:
                raise LogUnavailable(f"{self._client.name}: {what} of the group {group!r}: {why}")
            await soon(attempt)
            attempt += 1


def _fetched(answer: Any) -> list[int]:
    return [answer.error, *(part[4] for _, parts, _ in answer.topics for part in parts)]


def _described(answer: Any) -> list[int]:
    return [answer.groups[0][0]]


def _moved(answer: Any) -> list[int]:
    return [code for _, parts in answer.topics for _, code in parts]
