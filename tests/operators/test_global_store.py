"""Global stores: a processor fills a store from all partitions of a topic, for every worker to look into."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App
from streamflow.errors import RecordError, StreamflowError, TopologyError
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record, WindowStore
from streamflow.runtime.global_stores import FLUSH_ROWS
from streamflow.testing import TopologyTestDriver

STORES = ("memory", "rocksdb")


class Totals(Processor[str, int, str, int]):
    """Adds up values by the first letter of their keys, which many partitions share; a null value ends a letter."""

    def init(self, context: ProcessorContext[str, int]) -> None:
        self.totals = context.store("totals")

    def process(self, record: Record[str, int]) -> None:
        letter = record.key[0]
        if record.value is None:
            self.totals.delete(letter)
        elif record.value < 0:
            self.totals.put(letter, 999)
            raise ValueError("negative")
        else:
            self.totals.put(letter, (self.totals.get(letter) or 0) + record.value)


class Asking(Processor[str, str, str, str]):
    def init(self, context: ProcessorContext[str, str]) -> None:
        self.context, self.totals = context, context.store("totals")

    def process(self, record: Record[str, str]) -> None:
        self.context.forward(record.replace(value=f"{record.value}={self.totals.get(record.value)}"))


def build(filler: Any = Totals, **settings: Any) -> App:
    app = App("app", **settings)
    app.add_global_store(KeyValueStore("totals", key=str, value=int), "numbers", filler, key=str, value=int)
    app.stream("asks", key=str, value=str).process(Asking, key=str, value=str).to("out")
    return app


def answers(driver: TopologyTestDriver) -> list[Any]:
    return [record.value for record in driver.output_topic("out").read_records()]


@pytest.mark.parametrize("stores", STORES)
@pytest.mark.parametrize("partitions", [1, 4])
def test_one_store_holds_what_the_records_of_all_partitions_made(stores: Any, partitions: int) -> None:
    with TopologyTestDriver(build(), stores=stores, partitions=partitions) as driver:
        for n in range(20):
            driver.input_topic("numbers").pipe(f"a{n}", n, n, partition=n % partitions)
        driver.input_topic("asks").pipe("k", "a", 0)
        assert answers(driver) == ["a=190"]
        assert driver.store("totals").get_with_timestamp("a") == (190, 19)


@pytest.mark.parametrize("stores", STORES)
def test_a_crash_after_every_record_neither_doubles_nor_loses_a_put(stores: Any) -> None:
    with TopologyTestDriver(build(), stores=stores, partitions=3) as driver:
        expected = []
        for n in range(1, 9):
            driver.input_topic("numbers").pipe(f"a{n}", n, 100 - n, partition=n % 3)
            driver.crash()
            driver.input_topic("asks").pipe("k", "a", n)
            expected.append(f"a={n * (n + 1) // 2}")
        assert answers(driver) == expected


@pytest.mark.parametrize("stores", STORES)
def test_what_the_processor_deletes_stays_deleted_after_a_crash(stores: Any) -> None:
    with TopologyTestDriver(build(), stores=stores) as driver:
        driver.input_topic("numbers").pipe_many([("a1", 5, 0), ("b1", 7, 1), ("a2", None, 2)])
        driver.crash()
        assert list(driver.store("totals").all()) == [("b", 7)]


@pytest.mark.parametrize("stores", STORES)
def test_more_rows_than_wait_in_memory_are_all_there(stores: Any) -> None:
    class Copying(Processor[str, int, str, int]):
        def init(self, context: ProcessorContext[str, int]) -> None:
            self.totals = context.store("totals")

        def process(self, record: Record[str, int]) -> None:
            self.totals.put(record.key, record.value)

    with TopologyTestDriver(build(Copying), stores=stores, partitions=2) as driver:
        driver.input_topic("numbers").pipe_many([(f"k{n:05}", n, n) for n in range(12_000)])
        assert sum(value for _, value in driver.store("totals").all()) == sum(range(12_000))


@pytest.mark.parametrize("stores", STORES)
def test_rows_that_were_written_down_before_a_crash_are_not_added_to_again(stores: Any) -> None:
    class Counting(Processor[str, int, str, int]):
        def init(self, context: ProcessorContext[str, int]) -> None:
            self.totals = context.store("totals")

        def process(self, record: Record[str, int]) -> None:
            self.totals.put(record.key, (self.totals.get(record.key) or 0) + 1)

    with TopologyTestDriver(build(Counting), stores=stores, partitions=2) as driver:
        driver.input_topic("numbers").pipe_many([(f"k{n % FLUSH_ROWS:05}", n, n) for n in range(2 * FLUSH_ROWS)])
        driver.crash()
        driver.crash()
        assert {value for _, value in driver.store("totals").all()} == {2}


def test_it_has_no_changelog_and_the_description_says_what_it_is() -> None:
    app = build()
    with TopologyTestDriver(app) as driver:
        driver.input_topic("numbers").pipe("a", 1, 0)
        driver.input_topic("asks").pipe("k", "a", 0)
        assert driver.produced_topics == {"out"}
    assert "Sub-topology: 1 for global store (will not generate tasks)" in app.topology.describe()


def test_a_record_that_makes_the_processor_raise_stops_with_its_place() -> None:
    with (
        TopologyTestDriver(build()) as driver,
        pytest.raises(RecordError, match=r"'numbers' partition 0 offset 0 .*'totals'.*negative"),
    ):
        driver.input_topic("numbers").pipe("a", -1, 0)


@pytest.mark.parametrize("stores", STORES)
def test_a_skipped_record_is_counted_and_what_it_put_is_taken_back(stores: Any) -> None:
    with TopologyTestDriver(build(on_process_error="skip"), stores=stores) as driver:
        driver.input_topic("numbers").pipe_many([("a", 2, 0), ("a", -1, 1), ("a", 3, 2)])
        assert driver.store("totals").get("a") == 5
        assert driver.dropped_records == 1
        driver.crash()
        assert driver.store("totals").get("a") == 5
        assert driver.dropped_records == 1


def test_a_record_for_the_dead_letters_stops_instead_for_each_worker_would_write_it() -> None:
    with (
        TopologyTestDriver(build(on_process_error="dead_letter")) as driver,
        pytest.raises(RecordError, match="negative"),
    ):
        driver.input_topic("numbers").pipe("a", -1, 0)


def test_a_processor_that_schedules_is_refused() -> None:
    class Clocked(Totals):
        def init(self, context: ProcessorContext[str, int]) -> None:
            super().init(context)
            context.schedule("1s", "wall_clock", print)

    with pytest.raises(StreamflowError, match="'totals' has called schedule"), TopologyTestDriver(build(Clocked)):
        pass


def test_what_cannot_be_a_global_store_is_refused_when_it_is_declared() -> None:
    app, kept = App("app"), KeyValueStore("totals", key=str, value=int)
    windows: Any = WindowStore("w", key=str, value=int, size="1s", retention="1s")
    factory: Any = "Totals"
    with pytest.raises(TopologyError, match="is a KeyValueStore of"):
        app.add_global_store(windows, "numbers", Totals, key=str, value=int)
    with pytest.raises(TopologyError, match="leave out ttl="):
        app.add_global_store(KeyValueStore("t", key=str, value=int, ttl="1s"), "numbers", Totals, key=str, value=int)
    with pytest.raises(TopologyError, match="needs a processor class"):
        app.add_global_store(kept, "numbers", factory, key=str, value=int)
    with pytest.raises(TopologyError, match="needs both key= and value="):
        app.add_global_store(kept, "numbers", Totals)  # type: ignore[call-overload]
    app.add_global_store(kept, "numbers", Totals, key=str, value=int)
    with pytest.raises(TopologyError, match="two stores are named 'totals'"):
        app.add_store(kept)
