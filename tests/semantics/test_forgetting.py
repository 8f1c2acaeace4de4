"""Stores that forget: rows older than their TTL, and rows beyond the most there may be."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App
from streamflow.errors import TopologyError
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record
from streamflow.testing import TopologyTestDriver

STORES = ("memory", "rocksdb")


class Keeping(Processor[str, str, str, str]):
    """Puts each record; a value of "?" asks, "!" fails after a put."""

    def init(self, context: ProcessorContext[str, str]) -> None:
        self.context, self.kept = context, context.store("kept")

    def process(self, record: Record[str, str]) -> None:
        if record.value == "?":
            self.context.forward(record.replace(value=str(self.kept.get(record.key))))
            return
        self.kept.put(record.key, record.value)
        if record.value == "!":
            raise ValueError("no")


def keeping(**how: Any) -> App:
    app = App("app", on_process_error="skip")
    app.add_store(KeyValueStore("kept", key=str, value=str, **how))
    app.stream("in", key=str, value=str).process_values(Keeping, stores=["kept"], value=str, name="k").to("out")
    return app


def asked(driver: TopologyTestDriver) -> list[str]:
    return [value for _, value in driver.output_topic("out").read_key_values()]


@pytest.mark.parametrize("stores", STORES)
def test_a_row_is_there_for_its_ttl_and_no_longer(stores: Any) -> None:
    with TopologyTestDriver(keeping(ttl="10ms"), stores=stores) as driver:
        driver.input_topic("in").pipe_many([("a", "x", 0), ("b", "y", 10), ("a", "?", 0)])
        driver.crash()
        driver.input_topic("in").pipe_many([("c", "z", 11), ("a", "?", 0), ("b", "?", 0)])
        assert asked(driver) == ["x", "None", "y"]
        assert [key for key, _ in driver.store("kept").all()] == ["b", "c"]
        driver.input_topic("in").pipe_many([("late", "old", 0), ("late", "?", 0)])
        assert asked(driver)[-1] == "None"


def test_what_has_expired_is_deleted_in_the_changelog_too() -> None:
    with TopologyTestDriver(keeping(ttl="10ms")) as driver:
        for n in range(2_000):
            driver.input_topic("in").pipe(f"k{n}", "v", n)
        rows = driver.output_topic("app-kept-changelog", key=str, value=bytes).read_table()
        assert len(rows) < 600
        assert len(list(driver.store("kept").all())) == 11


def test_a_table_forgets_rows_and_joins_find_them_no_more() -> None:
    app = App("app")
    table = app.table("rows", key=str, value=str, ttl="1s", name="rows-kept")
    app.stream("in", key=str, value=str).left_join(table, lambda a, b: f"{a}{b}", value=str).to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("rows").pipe_many([("a", "1", 0), ("b", "2", 1_001)])
        driver.input_topic("in").pipe_many([("a", "x", 1_001), ("b", "x", 1_001)])
        assert asked(driver) == ["xNone", "x2"]


def test_beyond_the_most_the_row_that_was_used_longest_ago_goes() -> None:
    with TopologyTestDriver(keeping(kind="memory", max_entries=2)) as driver:
        driver.input_topic("in").pipe_many([("a", "1", 0), ("b", "2", 1), ("a", "?", 2), ("c", "3", 3)])
        assert dict(driver.store("kept").all()) == {"a": "1", "c": "3"}
        assert driver.output_topic("app-kept-changelog", key=str, value=str).read_table() == {"a": "1", "c": "3"}
        driver.input_topic("in").pipe("d", "!", 4)  # taken back, with the row that had to go for it
        assert dict(driver.store("kept").all()) == {"a": "1", "c": "3"}
        driver.crash()
        driver.input_topic("in").pipe_many([("e", "5", 5), ("f", "6", 6)])
        assert dict(driver.store("kept").all()) == {"e": "5", "f": "6"}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"max_entries": 3}, 'goes with kind="memory"'),
        ({"max_entries": 0, "kind": "memory"}, "whole number of at least 1"),
        ({"max_entries": 3, "kind": "memory", "ttl": "1s"}, "has both"),
        ({"ttl": "0s"}, "it must be at least 1 ms"),
    ],
)
def test_what_cannot_be_is_refused(how: dict[str, Any], says: str) -> None:
    with pytest.raises(TopologyError, match=says):
        keeping(**how)
