"""Workers in one process on one folder: an embedded log object and a state directory each, as two processes have.

Every wait is for a state, with a deadline; nothing sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from streamflow import App
from streamflow.clock import SystemClock
from streamflow.log.batch import encode, records
from streamflow.log.embedded import EmbeddedLog
from streamflow.log.partitioner import partition_of
from streamflow.record import TopicPartition
from streamflow.runtime.prepare import maker, prepare
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import DiskStores
from streamflow.runtime.task import Rules
from streamflow.runtime.worker import Pace, Worker
from streamflow.topic import NewTopic

from .faulty import FailingLog

T = TypeVar("T")
DEADLINE = 30.0
PARTITIONS = 4
Connect = Callable[..., EmbeddedLog]
FAST = Pace(commit_interval=0.02, write_behind=0.1)


def word_count(**settings: Any) -> App:
    """Lines are split into words, which go through a repartition topic and are counted: two sub-topologies."""
    app = App("wc", topic_partitions=PARTITIONS, **settings)
    words = app.stream("lines", key=str, value=str).flat_map_values(str.split, value=str)
    words.group_by(lambda word: word, key=str, name="by-word").count(name="n").to_stream().to("counts")
    return app


@dataclass
class Cell:
    """One worker and all that is its own."""

    app: App
    log: EmbeddedLog
    stores: DiskStores
    worker: Worker
    running: asyncio.Task[None]

    @property
    def tasks(self) -> set[str]:
        """What runs here."""
        return {task.name for _, task, _ in self.worker.roster.running()}

    @property
    def settled(self) -> bool:
        """Everything that is meant for this worker runs."""
        assignment = self.worker.membership.assignment()
        return self.tasks == set(assignment.tasks) and not self.worker.roster.restoring()

    async def stop(self) -> None:
        """An orderly end."""
        self.worker.stop()
        await self.running
        await self.log.close()

    async def failure(self) -> BaseException:
        """What the worker ended with; it has to end."""
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(Exception):
                await self.running
        error = self.running.exception()
        assert error is not None, "the worker ended well"
        await self.log.close()
        return error

    async def kill(self) -> None:
        """No more of it reaches the log, as after a `kill -9`."""
        self.log.abandon()
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@dataclass
class World:
    """A folder with a log, and a bystander who writes inputs and reads outputs. ``connect`` gives another log object."""

    folder: Path
    log: EmbeddedLog
    connect: Connect
    cells: list[Cell] = field(default_factory=list[Cell])

    async def start(
        self,
        app: App,
        *,
        state: str = "state",
        pace: Pace = FAST,
        fails: Callable[[str], BaseException | None] | None = None,
        **options: Any,
    ) -> Cell:
        """A worker of ``app`` with its state in the folder ``state``; ``options`` are those of its log.

        ``fails(name)`` is asked before each call of the log whether it fails (`faulty.py`).
        """
        log = self.connect(**options)
        await log.start()
        plan = await prepare(app.id, app.topology, app.settings, log, create=True)
        clock, stats = SystemClock(), Stats()
        stores = DiskStores(self.folder / state, app.id, clock, stats)
        worker = Worker(
            plan,
            cast(EmbeddedLog, FailingLog(log, fails)) if fails else log,
            clock,
            stores,
            stats=stats,
            rules=Rules.of(app.id, app.settings),
            pace=pace,
            holding=stores.holding(),
            standby_replicas=app.settings.standby_replicas,
            home=stores.home,
            create_topic=maker(plan, app.topology, app.settings, log, create=True),
        )
        cell = Cell(app, log, stores, worker, asyncio.get_running_loop().create_task(worker.run()))
        self.cells.append(cell)
        return cell

    async def write(self, topic: str, rows: Iterable[tuple[Any, ...]], partitions: int = PARTITIONS) -> None:
        """Append ``(key, value)`` or ``(key, value, timestamp)``, placed by key; texts are encoded."""
        if topic not in await self.log.topics():
            await self.log.create_topics([NewTopic(topic, partitions)])
        placed: dict[TopicPartition, list[Any]] = {}
        for row in rows:
            key, value = (part.encode() if isinstance(part, str) else part for part in row[:2])
            at = TopicPartition(topic, partition_of(key, partitions) if key is not None else 0)
            placed.setdefault(at, []).append((key, value, row[2] if len(row) > 2 else 1_000, []))
        await self.log.append({at: encode(some) for at, some in placed.items()})

    async def read(self, topic: str) -> list[Any]:
        """All committed records, partition after partition; none if there is no such topic."""
        info = (await self.log.topics()).get(topic)
        found: list[Any] = []
        for partition in range(info.partitions if info else 0):
            found += await self.read_partition(TopicPartition(topic, partition))
        return found

    async def read_partition(self, at: TopicPartition) -> list[Any]:
        """All committed records of one partition."""
        found: list[Any] = []
        start, end = (await self.log.offsets([at]))[at]
        while start < end:
            got = (await self.log.fetch({at: start}, max_bytes=1 << 24, max_wait=1.0))[at]
            found += [record for batch in got.batches for record in records(batch) if record.offset >= start]
            start = got.next_offset
        return found

    async def until(self, state: Callable[[], Any], what: str = "the state waited for") -> None:
        """Wait for a state, given by a function that may be asynchronous; a worker that fails is told at once."""
        async with asyncio.timeout(DEADLINE):
            while not (await found if asyncio.iscoroutine(found := state()) else found):
                for cell in self.cells:
                    if cell.running.done() and not cell.running.cancelled() and (error := cell.running.exception()):
                        raise AssertionError(f"waiting for {what}, but a worker ended: {error}") from error
                await asyncio.sleep(0.005)

    async def until_counted(self, expected: Counter[str]) -> None:
        """Until the word count is ``expected``; each word's counts must have been 1, 2, 3, ..."""

        async def done() -> bool:
            seen = Counter[str]()
            for record in await self.read("counts"):
                word, count = record.key.decode(), int.from_bytes(record.value, "big")
                seen[word] += 1
                assert count == seen[word], f"{word!r} was counted to {count} after {seen[word] - 1}: lost or doubled"
            assert all(seen[word] <= expected[word] for word in seen), seen - expected
            return seen == expected

        await self.until(done, "all words to be counted")


@contextlib.asynccontextmanager
async def opened(folder: Path, connect: Connect | None = None) -> AsyncIterator[World]:
    """A world, all of whose workers are stopped in the end; on an embedded log if not said otherwise."""
    connect = connect or (lambda **options: EmbeddedLog(folder / "log", **options))
    log = connect()
    await log.start()
    world = World(folder, log, connect)
    try:
        yield world
    finally:
        for cell in world.cells:
            if not cell.running.done():
                cell.worker.stop()
        await asyncio.gather(*(cell.running for cell in world.cells), return_exceptions=True)
        for cell in world.cells:
            await cell.log.close()
        await log.close()


def run(folder: Path, story: Callable[[World], Coroutine[Any, Any, T]], connect: Connect | None = None) -> T:
    """Run a story in a world of its own."""

    async def told() -> T:
        async with opened(folder, connect) as world:
            return await story(world)

    return asyncio.run(told())
