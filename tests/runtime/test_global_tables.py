"""Global tables and stores in real workers: whole before anything runs, shared, kept fresh, kept on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from streamflow import App
from streamflow.clock import SystemClock
from streamflow.errors import LogUnavailable, OffsetOutOfRange, RecordError, StoreStalled
from streamflow.log.embedded import EmbeddedLog
from streamflow.log.kafka import KafkaLog
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record
from streamflow.runtime.global_tables import GlobalTables
from streamflow.runtime.prepare import prepare
from streamflow.runtime.rules import Rules
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import DiskStores
from tests.kafka.conftest import bootstrap as bootstrap
from tests.log.support import Kafka

from .faulty import FailingLog
from .world import PARTITIONS, Connect, World, run


@pytest.fixture(params=["embedded", "kafka"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Connect:
    """How a worker comes by its log."""
    if request.param == "embedded":
        return lambda **options: EmbeddedLog(tmp_path / "log", **options)
    servers = request.getfixturevalue("bootstrap")
    kafka = Kafka(servers)
    asyncio.run(kafka.fresh())
    return lambda **_: cast(EmbeddedLog, KafkaLog(kafka._servers, session_timeout=6.0))


def lookups() -> App:
    app = App("ask", topic_partitions=PARTITIONS)
    names = app.global_table("names", key=str, value=str)
    asks = app.stream("asks", key=str, value=str)
    asks.left_join(names, lambda ask, name: f"{ask}={name}", on=lambda ask: ask, value=str).to("answers")
    return app


async def answers(world: World) -> list[str]:
    return sorted(record.value.decode() for record in await world.read("answers"))


def test_two_workers_have_the_whole_table_before_they_answer_anything(tmp_path: Path, connect: Connect) -> None:
    names = [(f"n{n}", f"N{n}") for n in range(3_000)]
    asks = [(f"k{n}", f"n{n}") for n in range(200)]

    async def story(world: World) -> None:
        await world.write("names", names)
        await world.write("asks", asks)
        one, two = await world.start(lookups(), state="one"), await world.start(lookups(), state="two")
        expected = sorted(f"n{n}=N{n}" for n in range(200))

        async def answered() -> bool:
            return await answers(world) == expected

        await world.until(answered, "every ask to be answered with its row")
        await world.until(lambda: one.settled and two.settled and one.tasks and two.tasks, "both to have tasks")

        await world.write("names", [("n1", "changed")])
        await world.until(
            lambda: all(
                (row := cell.worker.tables.rows("names-table")("n1")) and row[0] == "changed" for cell in (one, two)
            ),
            "the change to be everywhere",
        )
        await world.write("asks", [(f"later{n}", "n1") for n in range(PARTITIONS * 3)])
        expected = sorted([*expected, *["n1=changed"] * PARTITIONS * 3])
        await world.until(answered, "later asks to be answered with the new row")

    run(tmp_path, story, connect)


def test_a_table_on_disk_is_read_on_from_where_it_was(tmp_path: Path, connect: Connect) -> None:
    async def story(world: World) -> None:
        await world.write("names", [(f"n{n}", f"N{n}") for n in range(2_000)])
        await world.write("asks", [("k", "n1")])
        first = await world.start(lookups())
        await world.until(lambda: first.settled and first.tasks, "the first to run")
        await first.stop()
        await world.write("names", [("n1", "new"), ("n2", None)])
        again = await world.start(lookups())
        await world.until(lambda: again.worker.tables.whole, "the table to be whole")

        read = sum(copy.place.progress.restored for copy in again.worker.tables.copies.copies.values())
        assert read == 2
        find = again.worker.tables.rows("names-table")
        assert [find(key) and find(key)[0] for key in ("n1", "n2", "n3")] == ["new", None, "N3"]  # type: ignore[index]

    run(tmp_path, story, connect)


class Tally(Processor[str, str, str, str]):
    """How many keys there are for a value."""

    def init(self, context: ProcessorContext[str, str]) -> None:
        self.tally = context.store("tally")

    def process(self, record: Record[str, str]) -> None:
        if record.value == "bad":
            raise ValueError("a bad value")
        self.tally.put(record.value, (self.tally.get(record.value) or 0) + 1)


class Tell(Processor[str, str, str, str]):
    def init(self, context: ProcessorContext[str, str]) -> None:
        self.context, self.tally = context, context.store("tally")

    def process(self, record: Record[str, str]) -> None:
        self.context.forward(record.replace(value=f"{record.value}={self.tally.get(record.value)}"))


def tallied() -> App:
    app = App("tallied", topic_partitions=PARTITIONS)
    app.add_global_store(KeyValueStore("tally", key=str, value=int), "facts", Tally, key=str, value=str)
    app.stream("asks", key=str, value=str).process(Tell, key=str, value=str).to("answers")
    return app


def test_a_store_that_a_processor_fills_is_whole_and_fresh_in_each_worker_and_after_a_kill(
    tmp_path: Path, connect: Connect
) -> None:
    async def story(world: World) -> None:
        await world.write("facts", [(f"f{n}", "even" if n % 2 == 0 else "odd") for n in range(6_000)])
        await world.write("asks", [("k", "even")])
        one, two = await world.start(tallied(), state="one"), await world.start(tallied(), state="two")

        async def answered(*expected: str) -> bool:
            return await answers(world) == sorted(expected)

        await world.until(lambda: answered("even=3000"), "the ask to be answered from the whole store")
        await world.write("facts", [("late", "odd")])
        await world.until(
            lambda: all(
                cell.worker.tables.whole and cell.worker.tables.rows("tally")("odd")[0] == 3001  # type: ignore[index]
                for cell in (one, two)
            ),
            "the late fact to be everywhere",
        )
        await one.kill()
        await two.kill()
        await world.start(tallied(), state="one")
        await world.write("asks", [("k", "odd")])
        await world.until(lambda: answered("even=3000", "odd=3001"), "nothing to be doubled or lost")

    run(tmp_path, story, connect)


def test_a_worker_ends_with_the_record_that_its_global_store_refuses(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.write("facts", [("f", "good")])
        await world.write("asks", [("k", "good")])
        one = await world.start(tallied())
        await world.until(lambda: one.settled and one.tasks, "it to run")
        await world.write("facts", [("f", "bad")])
        error = await one.failure()
        assert isinstance(error, RecordError)
        assert "'facts'" in str(error) and "a bad value" in str(error)

    run(tmp_path, story, lambda **options: EmbeddedLog(tmp_path / "log", **options))


@pytest.mark.parametrize("error", [LogUnavailable("gone"), OffsetOutOfRange("cut off"), StoreStalled("full")], ids=str)
def test_what_a_global_store_can_get_over_neither_doubles_nor_loses_a_record(tmp_path: Path, error: Exception) -> None:
    async def story(world: World) -> None:
        await world.write("facts", [(f"f{n}", "fact") for n in range(6_000)])
        await world.write("asks", [])
        app = tallied()
        plan = await prepare(app.id, app.topology, app.settings, world.log, create=True)
        raised = 0

        def fails(name: str) -> BaseException | None:
            nonlocal raised
            if name == "fetch" and (raised := raised + 1) in (2, 4, 7):
                return error
            return None

        log, clock = cast(EmbeddedLog, FailingLog(world.log, fails)), SystemClock()
        stores = DiskStores(tmp_path / "state", app.id, clock, Stats())
        tables = GlobalTables(plan, log, clock, stores, Rules(), lambda: None)
        await tables.begin()
        try:
            for more in range(1, 4):
                await world.write("facts", [(f"more{more}", "fact")])
                await world.until(lambda more=more: counted(tables) == 6_000 + more, "all facts to be counted once")  # type: ignore[misc]
            await world.until(lambda: raised > 7, "every failure to have happened")
            await world.until(lambda: counted(tables) == 6_003, "the count to stay what it is")
            tables.check()
        finally:
            await tables.close()

    def counted(tables: GlobalTables) -> int | None:
        found = tables.rows("tally")("fact") if tables.whole else None
        return None if found is None else int(found[0])

    run(tmp_path, story, lambda **options: EmbeddedLog(tmp_path / "log", **options))
