"""Streams and global tables: every worker has the whole table, and a record says which row it asks for."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App
from streamflow.errors import RecordError, TopologyError
from streamflow.testing import TopologyTestDriver

STORES = ("memory", "rocksdb")


def build(word: str = "join", **settings: Any) -> App:
    app = App("app", **settings)
    countries = app.global_table("countries", key=str, value=str)
    orders = app.stream("orders", key=int, value=dict)
    join = getattr(orders, word)
    join(countries, lambda order, name: f"{order['n']} to {name}", on=lambda order: order.get("to"), value=str).to(
        "out"
    )
    return app


def rows(driver: TopologyTestDriver) -> list[tuple[Any, Any, int]]:
    return [(r.key, r.value, r.timestamp) for r in driver.output_topic("out").read_records()]


@pytest.mark.parametrize("stores", STORES)
@pytest.mark.parametrize("partitions", [1, 4])
def test_each_record_finds_its_row_in_whatever_partition_it_lies(stores: Any, partitions: int) -> None:
    with TopologyTestDriver(build(), stores=stores, partitions=partitions) as driver:
        countries, orders = driver.input_topic("countries"), driver.input_topic("orders")
        countries.pipe_many([("de", "Germany", 0), ("fr", "France", 0)])
        for n in range(4):
            orders.pipe(n, {"n": n, "to": "de"}, n, partition=n % partitions)
        driver.crash()
        orders.pipe(9, {"n": 9, "to": "fr"}, 9)
        assert sorted(rows(driver)) == [*((n, f"{n} to Germany", n) for n in range(4)), (9, "9 to France", 9)]
        assert driver.store("countries-table").get("fr") == "France"


def test_a_row_that_a_partitioner_of_others_placed_is_found() -> None:
    with TopologyTestDriver(build(), partitions=4) as driver:
        for partition, name in enumerate(("aa", "bb", "cc", "dd")):
            driver.input_topic("countries").pipe(name, name.upper(), 0, partition=partition)
        for n, name in enumerate(("aa", "bb", "cc", "dd")):
            driver.input_topic("orders").pipe(n, {"n": n, "to": name}, 1)
        assert sorted(value for _, value, _ in rows(driver)) == ["0 to AA", "1 to BB", "2 to CC", "3 to DD"]


def test_updates_and_deletions_of_the_table_count_for_later_records_only() -> None:
    with TopologyTestDriver(build("left_join")) as driver:
        countries, orders = driver.input_topic("countries"), driver.input_topic("orders")
        orders.pipe(1, {"n": 1, "to": "de"}, 5)
        countries.pipe("de", "Germany", 6)
        orders.pipe(2, {"n": 2, "to": "de"}, 1)
        countries.pipe("de", None, 7)
        orders.pipe(3, {"n": 3, "to": "de"}, 8)
        assert rows(driver) == [(1, "1 to None", 5), (2, "2 to Germany", 1), (3, "3 to None", 8)]


def test_a_record_that_asks_for_no_row_is_dropped_and_counted() -> None:
    for word, kept in (("join", []), ("left_join", [(None, "2 to None", 0)])):
        with TopologyTestDriver(build(word)) as driver:
            driver.input_topic("orders").pipe_many([(1, {"n": 1}, 0), (None, {"n": 2}, 0), (3, None, 0)])
            assert rows(driver) == kept
            assert driver.dropped_records == 3 - len(kept)


def test_there_is_no_changelog_for_the_topic_is_one() -> None:
    with TopologyTestDriver(build()) as driver:
        driver.input_topic("countries").pipe("de", "Germany", 0)
        driver.input_topic("orders").pipe(1, {"n": 1, "to": "de"}, 0)
        assert driver.produced_topics == {"out"}


def test_a_row_that_cannot_be_read_stops_the_record_that_asks_for_it() -> None:
    app = App("app")
    table = app.global_table("numbers", key=str, value=int)
    app.stream("asks", key=str, value=str).join(table, lambda ask, n: n, on=lambda ask: ask, value=int).to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("numbers", value=bytes).pipe("a", b"xyz", 0)
        with pytest.raises(RecordError, match=r"'asks-join'.*expected int"):
            driver.input_topic("asks").pipe("k", "a", 0)


def test_what_a_global_table_cannot_do_is_refused_when_it_is_declared() -> None:
    app = App("app")
    stream, table = app.stream("s", key=str, value=str), app.table("t", key=str, value=str)
    whole: Any = app.global_table("g", key=str, value=str)
    with pytest.raises(TopologyError, match="must know which row a record asks for: add on="):
        stream.join(whole, lambda a, b: a)
    with pytest.raises(TopologyError, match="on= is for a global table"):
        stream.join(table, lambda a, b: a, on=str.lower)  # type: ignore[call-overload]
    with pytest.raises(TopologyError, match="takes no within=, grace= or store="):
        stream.join(whole, lambda a, b: a, on=str.lower, within="1s")
    with pytest.raises(TopologyError, match="needs both key= and value="):
        app.global_table("h")  # type: ignore[call-overload]
    with pytest.raises(TopologyError, match="two stores are named"):
        app.global_table("other", key=str, value=str, store="g-table")
