"""One question about many partitions: each asked of the broker that leads it, again where leadership has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, TypeVar

from streamflow.errors import LogError, LogUnavailable
from streamflow.log.kafka import codes
from streamflow.log.kafka.client import PATIENCE, Client, Leader, soon
from streamflow.record import TopicPartition

T = TypeVar("T")

Ask = Callable[[int, Mapping[TopicPartition, Leader]], Any]
"""``(broker, the partitions that it leads) -> request``"""
Read = Callable[[Any], Iterable[tuple[TopicPartition, int, T]]]
"""``answer -> (partition, error code, what was told of it)``"""


async def scatter(
    client: Client,
    partitions: Iterable[TopicPartition],
    ask: Ask,
    read: Read[T],
    *,
    what: str,
    refuse: Callable[[TopicPartition, int], Exception | None] = lambda tp, code: None,
    timeout: float = PATIENCE,
) -> dict[TopicPartition, T]:
    """What each partition's leader told, all of it. ``refuse`` turns a code into an error that ends the asking.

    Raises `UnknownTopic` for what does not exist, `LogUnavailable` when the time is over.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    found: dict[TopicPartition, T] = {}
    missing: list[TopicPartition] = list(dict.fromkeys(partitions))
    why: object = ""
    attempt = 0
    while missing:
        if attempt:
            if loop.time() > deadline:
                raise LogUnavailable(f"{what} of {client.name}: {why}")
            await soon(attempt)
            await client.refresh()
        attempt += 1
        by_node: dict[int, dict[TopicPartition, Leader]] = {}
        for tp, leader in (await client.leaders(missing)).items():
            by_node.setdefault(leader.node, {})[tp] = leader
        asked = [client.call(node, ask(node, mine), deadline - loop.time()) for node, mine in by_node.items()]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, LogUnavailable):
                why = answer
                continue
            if isinstance(answer, BaseException):
                raise answer
            for tp, code, told in read(answer):
                if code == codes.OK:
                    found[tp] = told
                elif (error := refuse(tp, code)) is not None:
                    raise error
                elif code not in codes.FOR_NOW:
                    raise LogError(f"{what}: {tp.topic!r} partition {tp.partition}: {codes.named(code)}")
                else:
                    why = f"{tp.topic!r} partition {tp.partition}: {codes.named(code)}"
        missing = [tp for tp in missing if tp not in found]
    return found


def by_topic(partitions: Iterable[TopicPartition]) -> list[tuple[str, list[TopicPartition]]]:
    """Partitions as requests list them: topic by topic.

    >>> by_topic([TopicPartition("a", 1), TopicPartition("b", 0), TopicPartition("a", 0)])[0][0]
    'a'
    """
    return [(topic, list(mine)) for topic, mine in groupby(sorted(partitions), key=lambda tp: tp.topic)]
