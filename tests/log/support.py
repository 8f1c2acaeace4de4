"""What the tests of the log share: records, waiting for a state, and the transports the contract is run on."""

from __future__ import annotations

import asyncio
import functools
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiokafka.protocol.admin import DeleteGroupsRequest, ListGroupsRequest

from streamflow.clock import SystemClock
from streamflow.log.batch import encode, records
from streamflow.log.contract import Fetched, Log
from streamflow.log.embedded import EmbeddedLog
from streamflow.log.kafka import KafkaLog
from streamflow.record import TopicPartition

DEADLINE = 10.0
GROUP = "group"

Row = tuple[int, bytes | None, bytes | None, int]
"""Offset, key, value, timestamp."""


def at(topic: str, partition: int = 0) -> TopicPartition:
    return TopicPartition(topic, partition)


def batch(*values: str, key: str | None = "k", timestamp: int = 1) -> bytes:
    """One batch with these values."""
    [made] = encode([(key.encode() if key else None, value.encode(), timestamp, ()) for value in values])
    return made


def pairs(*items: tuple[str, str | None], timestamp: int = 1) -> bytes:
    """One batch with these keys and values; None is a tombstone."""
    [made] = encode(
        [(key.encode(), value.encode() if value is not None else None, timestamp, ()) for key, value in items]
    )
    return made


def rows(batches: Iterable[bytes], position: int = 0) -> list[Row]:
    """The records of fetched batches from a position on."""
    found = [(r.offset, r.key, r.value, r.timestamp) for one in batches for r in records(one)]
    return [row for row in found if row[0] >= position]


async def read(log: Log, partition: TopicPartition, position: int | None = None, end: int | None = None) -> list[Row]:
    """All records of a partition from ``position`` (its start) to ``end`` (its end now)."""
    told = (await log.offsets([partition]))[partition]
    place = told.start if position is None else position
    stop = told.end if end is None else end
    found: list[Row] = []
    while place < stop:
        fetched = await fetch_one(log, partition, place)
        found += rows(fetched.batches, place)
        assert fetched.next_offset > place
        place = fetched.next_offset
    return found


async def values(log: Log, partition: TopicPartition) -> list[str]:
    """The values of a partition, as text."""
    return [(value or b"").decode() for _, _, value, _ in await read(log, partition)]


async def fetch_one(log: Log, partition: TopicPartition, position: int, max_bytes: int = 1 << 20) -> Fetched:
    """What lies at a position; waits until something does."""
    found = await log.fetch({partition: position}, max_bytes=max_bytes, max_wait=DEADLINE)
    assert partition in found, f"nothing came at {position} of {partition} within {DEADLINE} s"
    return found[partition]


async def until(state: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a state, up to the deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE
    while not await state():
        assert loop.time() < deadline, f"not within {DEADLINE} s: {what}"
        await asyncio.sleep(0.005)


def seeded() -> random.Random:
    """A random source whose seed is printed and can be given back as ``STREAMFLOW_SEED``."""
    seed = int(os.environ.get("STREAMFLOW_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"STREAMFLOW_SEED={seed}")
    return random.Random(seed)


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own; what its transport opened is closed afterwards."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def whole() -> None:
            try:
                await test(*args, **kwargs)
            finally:
                for given in (*args, *kwargs.values()):
                    if hasattr(given, "close_all"):
                        await given.close_all()

        asyncio.run(whole())

    return run


class Transport(Protocol):
    """A log to be tested, as several clients see it."""

    async def client(self) -> Log:
        """Another client of the same log, started; as good as another process."""
        ...

    async def kill(self, log: Log) -> None:
        """What kill -9 does to a client's process."""
        ...

    def pass_time(self, milliseconds: int) -> None:
        """Let the log's clock move on, for retention."""
        ...

    async def tidy(self, log: Log) -> None:
        """Have retention and compaction done now."""
        ...

    async def close_all(self) -> None: ...


class MovedClock(SystemClock):
    """The machine's clock, and an offset that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead


class Embedded:
    """The embedded log in a folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.clock = MovedClock()
        self._options = options
        self._open: list[EmbeddedLog] = []

    async def client(self, **options: Any) -> EmbeddedLog:
        log = EmbeddedLog(self.folder, clock=self.clock, **{**self._options, **options})
        await log.start()
        self._open.append(log)
        return log

    async def kill(self, log: Log) -> None:
        assert isinstance(log, EmbeddedLog)
        self._open.remove(log)
        log.abandon()

    def pass_time(self, milliseconds: int) -> None:
        self.clock.ahead += milliseconds

    async def tidy(self, log: Log) -> None:
        assert isinstance(log, EmbeddedLog)
        await log.tidy()

    async def close_all(self) -> None:
        for log in self._open:
            await log.close()


class Kafka:
    """A Kafka cluster that other tests have used before; `fresh` takes away what they left."""

    def __init__(self, bootstrap: str) -> None:
        host, _, port = bootstrap.partition(",")[0].rpartition(":")
        self._servers = [(host, int(port))]
        self._open: list[KafkaLog] = []

    async def fresh(self) -> None:
        """Without topics and groups, but for those of the cluster itself."""
        log = KafkaLog(self._servers)
        client = log._client
        await client.refresh()
        for name in [name for name in client.metadata.topics if not name.startswith("__")]:
            await log.delete_topic(name)
        for node in list(client.metadata.brokers):
            for _ in range(100):  # a member that was killed is in its group until its session is over
                groups = [group for group, _ in (await client.call(node, ListGroupsRequest())).groups]
                if not groups:
                    break
                await client.call(node, DeleteGroupsRequest(groups))
                await asyncio.sleep(0.1)
        await log.close()

    async def client(self) -> KafkaLog:
        log = KafkaLog(self._servers, session_timeout=6.0)
        await log.start()
        self._open.append(log)
        return log

    async def kill(self, log: Log) -> None:
        assert isinstance(log, KafkaLog)
        self._open.remove(log)
        log.abandon()
        living = await self.client()  # as the supervisor does, or the session would have to be waited for
        for membership in log._memberships:
            await living.put_out(membership._group, membership.member_id)

    def pass_time(self, milliseconds: int) -> None:
        pytest.skip("NOT ON KAFKA: a broker's clock cannot be moved")

    async def tidy(self, log: Log) -> None:
        pytest.skip("NOT ON KAFKA: a broker tidies up when it likes")

    async def close_all(self) -> None:
        for log in self._open:
            for membership in log._memberships:
                await membership.leave()  # or the next test would wait for the end of its session
            await log.close()
