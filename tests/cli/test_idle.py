"""When `--until-idle` stops: decided from committed offsets and ends, whoever does the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from streamflow import App
from streamflow.log.batch import encode
from streamflow.log.contract import Log
from streamflow.log.open import open_log
from streamflow.plan import Plan
from streamflow.record import TopicPartition
from streamflow.run.idle import Idle
from streamflow.runtime.prepare import prepare


def word_count(reset: str = "earliest") -> App:
    app = App("wc", topic_partitions=2)
    stream = app.stream("lines", key=str, value=str, offset_reset=reset)  # type: ignore[call-overload]
    stream.group_by(lambda word: word, key=str).count(name="n").to_stream().to("out")
    return app


LINES, INSIDE = "lines", "wc-n-repartition"


@asynccontextmanager
async def opened(folder: Path, app: App) -> AsyncIterator[tuple[Log, Plan]]:
    log = open_log(f"embedded://{folder}/log")
    await log.start()
    try:
        yield log, await prepare(app.id, app.topology, app.settings, log, create=True)
    finally:
        await log.close()


async def append(log: Log, topic: str, partition: int, count: int = 3) -> None:
    await log.append({TopicPartition(topic, partition): encode([(b"k", b"v", 0, [])] * count)})


async def commit(log: Log, topic: str, partition: int, offset: int) -> None:
    await log.set_committed("wc", {TopicPartition(topic, partition): offset})


class Enough(Exception):
    """So many readings without an end."""


async def is_idle(idle: Idle, readings: int = 5) -> bool:
    """Whether it comes to an end by itself within some readings."""
    seen = 0

    def count(total: int, left: int) -> None:
        nonlocal seen
        seen += 1
        if seen == readings:
            raise Enough

    try:
        await idle.wait(count)
    except Enough:
        return False
    return True


async def started(plan: Plan, log: Log) -> Idle:
    idle = Idle(plan, log)
    await idle.start()
    return idle


def test_empty_topics_are_idle(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path, word_count()) as (log, plan):
            assert await is_idle(await started(plan, log))

    asyncio.run(work())


def test_not_idle_before_every_input_is_committed_to_its_end(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path, word_count()) as (log, plan):
            await append(log, LINES, 0)
            await append(log, LINES, 1)
            idle = await started(plan, log)
            await commit(log, LINES, 0, 3)
            await commit(log, LINES, 1, 2)
            assert not await is_idle(idle)
            assert (idle.total, idle.left) == (6, 1)
            await commit(log, LINES, 1, 3)
            assert await is_idle(idle)

    asyncio.run(work())


def test_not_idle_before_repartition_topics_are_drained(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path, word_count()) as (log, plan):
            await append(log, LINES, 0)
            idle = await started(plan, log)
            await commit(log, LINES, 0, 3)
            await append(log, INSIDE, 1)
            assert not await is_idle(idle)
            await commit(log, INSIDE, 1, 3)
            await log.delete_records({TopicPartition(INSIDE, 1): 3})
            assert await is_idle(idle)

    asyncio.run(work())


def test_what_comes_after_the_start_is_not_waited_for(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path, word_count()) as (log, plan):
            idle = await started(plan, log)
            await append(log, LINES, 0)
            assert await is_idle(idle)

    asyncio.run(work())


def test_a_new_group_that_reads_from_the_end_has_nothing_to_wait_for(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path, word_count("latest")) as (log, plan):
            await append(log, LINES, 0)
            assert await is_idle(await started(plan, log))
            await commit(log, LINES, 0, 1)  # now it has a place to go on from
            assert not await is_idle(await started(plan, log))

    asyncio.run(work())


class Moving:
    """A log in which one more record is appended and committed before each look at what is committed."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.moves = 0
        self.moving = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if self.moving:
            self.moves += 1
            await append(self._log, LINES, 0, 1)
            await commit(self._log, LINES, 0, self.moves)
        return await self._log.committed(group, partitions)


def test_not_idle_while_something_moves(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path, word_count()) as (log, plan):
            moving = Moving(log)
            idle = await started(plan, moving)
            assert not await is_idle(idle)
            moving.moving = False
            assert await is_idle(idle)

    asyncio.run(work())
