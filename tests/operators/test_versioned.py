"""Versioned tables: each record meets the row of its own time, and late updates are history, not the row of now."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App
from streamflow.errors import TopologyError
from streamflow.processor import Processor, ProcessorContext, Record, Versioned, VersionedStore
from streamflow.testing import TopologyTestDriver
from tests.log.support import seeded

STORES = ("memory", "rocksdb")


def rates(word: str = "join", grace: str | None = None, history: str = "100ms", **settings: Any) -> App:
    app = App("app", **settings)
    table = app.table("rates", key=str, value=int, history=history, name="rates-kept")
    how = {} if grace is None else {"grace": grace}
    join = getattr(app.stream("sales", key=str, value=int), word)
    join(table, lambda amount, rate: f"{amount}x{rate}", value=str, name="priced", **how).to("out")
    return app


def rows(driver: TopologyTestDriver) -> list[tuple[Any, Any, int]]:
    return [(r.key, r.value, r.timestamp) for r in driver.output_topic("out").read_records()]


@pytest.mark.parametrize("stores", STORES)
def test_a_record_meets_the_row_of_its_own_time_whenever_it_comes(stores: Any) -> None:
    with TopologyTestDriver(rates(), stores=stores) as driver:
        driver.input_topic("rates").pipe_many([("eur", 1, 10), ("eur", 3, 30), ("eur", 2, 20), ("eur", None, 40)])
        driver.crash()
        driver.input_topic("sales").pipe_many([("eur", 7, at) for at in (45, 5, 10, 19, 20, 39, 40)])
        assert rows(driver) == [("eur", "7x1", 10), ("eur", "7x1", 19), ("eur", "7x2", 20), ("eur", "7x3", 39)]


def test_what_is_older_than_the_history_is_neither_put_nor_met() -> None:
    with TopologyTestDriver(rates("left_join")) as driver:
        driver.input_topic("rates").pipe_many([("eur", 1, 10), ("eur", 2, 200), ("eur", 9, 99), ("eur", 3, 100)])
        assert driver.dropped_records == 1
        driver.input_topic("sales").pipe_many([("eur", 7, at) for at in (99, 100, 199, 200)])
        assert [value for _, value, _ in rows(driver)] == ["7xNone", "7x3", "7x3", "7x2"]


def test_the_history_and_its_time_are_rebuilt_from_the_changelog_alone() -> None:
    with TopologyTestDriver(rates()) as driver:
        driver.input_topic("rates").pipe_many([("eur", 1, 10), ("eur", 2, 20), ("usd", 5, 115)])
        driver._bases.clear()
        driver.crash()
        driver.input_topic("rates").pipe("eur", 9, 14)
        assert driver.dropped_records == 1
        driver.input_topic("sales").pipe_many([("eur", 7, 19), ("eur", 7, 25)])
        assert rows(driver) == [("eur", "7x1", 19), ("eur", "7x2", 25)]


@pytest.mark.parametrize("stores", STORES)
def test_with_grace_a_record_waits_for_rows_that_come_late(stores: Any) -> None:
    with TopologyTestDriver(rates(grace="10ms"), stores=stores) as driver:
        rate, sales = driver.input_topic("rates"), driver.input_topic("sales")
        rate.pipe("eur", 1, 0)
        sales.pipe("eur", 7, 12, [("id", b"1")])
        sales.pipe("eur", 8, 11)
        driver.crash()
        rate.pipe("eur", 2, 11)  # late, and still met
        assert rows(driver) == []
        sales.pipe("eur", 9, 22)
        assert rows(driver) == [("eur", "8x2", 11), ("eur", "7x2", 12)]
        assert [list(r.headers) for r in driver.output_topic("out").read_records()] == [[], [("id", b"1")]]
        sales.pipe("eur", 5, 3)  # later than the grace: joined at once
        assert rows(driver)[2:] == [("eur", "5x1", 3)]


def test_joins_and_groups_of_versioned_tables_take_only_the_rows_of_now() -> None:
    app = App("app")
    table = app.table("in", key=str, value=int, history="1h")
    table.group_by(lambda key, value: ("all", value), key=str, value=int).reduce(
        lambda a, b: a + b, lambda a, b: a - b, name="sum"
    )
    other = app.table("other", key=str, value=int)
    table.join(other, lambda one, two: one * two, value=int, name="product").to_stream().to("out")
    table.filter(lambda value: value > 1, name="large")
    table.to_stream().to("all")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("other").pipe("a", 10, 0)
        driver.input_topic("in").pipe_many([("a", 5, 50), ("a", 7, 20), ("b", 1, 30), ("b", 4, 10)])
        assert driver.store("sum").get("all") == 6
        assert dict(driver.store("product").all()) == {"a": 50}
        assert dict(driver.store("large").all()) == {"a": 5}
        assert len(driver.output_topic("all").read_records()) == 4


def test_any_order_of_updates_ends_in_the_same_history() -> None:
    choice = seeded()
    updates = [
        ("k", None if choice.random() < 0.2 else n, time) for n, time in enumerate(choice.sample(range(1_000), 60))
    ]
    with TopologyTestDriver(rates(history="1h"), stores=choice.choice(STORES)) as driver:
        for update in updates:
            driver.input_topic("rates").pipe(*update)
            if choice.random() < 0.1:
                driver.crash()
        store = driver.store("rates-kept")
        newest_first = sorted(updates, key=lambda update: -update[2])
        for at in range(0, 1_000, 7):
            expected = next((value for _, value, time in newest_first if time <= at), None)
            found = store.get("k", at)
            assert (None if found is None else found.value) == expected, at


def test_a_processor_keeps_versions_of_its_own() -> None:
    class Keeping(Processor[str, int, str, str]):
        def init(self, context: ProcessorContext[str, str]) -> None:
            self.context, self.kept = context, context.store("kept")

        def process(self, record: Record[str, int]) -> None:
            self.kept.put(record.key, record.value, record.timestamp)
            found = [tuple(version) for version in self.kept.history(record.key, 0, 100)]
            self.context.forward(Record(record.key, str(found), record.timestamp))

    app = App("app")
    app.add_store(VersionedStore("kept", key=str, value=int, history="1h"))
    app.stream("in", key=str, value=int).process(Keeping, stores=["kept"], key=str, value=str).to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("in").pipe_many([("a", 1, 10), ("a", 2, 5)])
        assert rows(driver)[-1][1] == "[(2, 5, 10), (1, 10, None)]"
        assert driver.store("kept").get("a") == Versioned(1, 10, None)


def test_rows_that_were_only_deleted_are_forgotten_after_the_history() -> None:
    with TopologyTestDriver(rates()) as driver:
        for n in range(50):
            driver.input_topic("rates").pipe(f"k{n}", n, n)
            driver.input_topic("rates").pipe(f"k{n}", None, n + 1)
        driver.input_topic("rates").pipe("now", 1, 1_000)
        driver.input_topic("rates").pipe("now", 1, 1_001)
        rows_left = driver._running["sales_0"][0].stores["rates-kept"].view()._rows  # type: ignore[union-attr]
        assert [key for key, _ in rows_left.all()] == ["now"]


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda: rates(history="0s"), "it must be at least 1 ms"),
        (lambda: rates(grace="1h"), "no longer than the table's history of 100 ms"),
        (
            lambda: App("a").stream("s", key=str, value=int).join(  # another app on purpose: told first
                App("b").table("t", key=str, value=int), lambda a, b: a, grace="1s"
            ),
            "two apps",
        ),
    ],
)  # fmt: skip
def test_what_cannot_wait_or_remember_is_refused(declare: Any, says: str) -> None:
    with pytest.raises(TopologyError, match=says):
        declare()


def test_a_join_that_waits_needs_a_table_that_remembers() -> None:
    app = App("app")
    stream, table = app.stream("s", key=str, value=int), app.table("t", key=str, value=int)
    with pytest.raises(TopologyError, match="give the table history="):
        stream.join(table, lambda a, b: a, grace="1s", value=int)
