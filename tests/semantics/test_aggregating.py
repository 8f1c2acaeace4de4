"""Semantics 1.3: counting, reducing and aggregating the records of a key."""

from __future__ import annotations

import pytest

from streamflow import App, KGroupedStream, serdes
from tests.semantics.world import answer, world


def grouped(app: App) -> KGroupedStream[str, str]:
    return app.stream("in", key=str, value=str).group_by_key()


def test_count_drops_null_keys_and_null_values_and_keeps_the_greatest_time() -> None:
    rows = [("a", "1", 5), ("a", None, 6), (None, "x", 7), ("a", "2", 3), ("b", "1", 1)]
    assert answer(lambda app: grouped(app).count(name="n").to_stream().to("out"), *rows) == (
        [("a", 1, 5), ("a", 2, 5), ("b", 1, 1)],
        2,
    )


def test_the_first_value_is_the_first_total_of_a_reduction() -> None:
    asked: list[tuple[str, str]] = []

    def put_together(total: str, value: str) -> str:
        asked.append((total, value))
        return total + value

    found = answer(
        lambda app: grouped(app).reduce(put_together, name="n").to_stream().to("out"), ("a", "1"), ("a", "2")
    )
    assert found == ([("a", "1", 0), ("a", "12", 0)], 0)
    assert asked == [("1", "2")]


def test_a_reducer_may_take_the_key() -> None:
    found = answer(
        lambda app: grouped(app).reduce(lambda k, t, v: k + t + v).to_stream().to("out"), ("a", "1"), ("a", "2")
    )
    assert found[0][-1] == ("a", "a12", 0)


def test_reduce_and_aggregate_drop_null_keys_and_values() -> None:
    rows = [("a", None), (None, "1")]
    for words in (
        lambda app: grouped(app).reduce(lambda t, v: v, name="n"),
        lambda app: grouped(app).aggregate(str, lambda t, v: v, name="n"),
    ):
        assert answer(lambda app, words=words: words(app).to_stream().to("out"), *rows) == ([], 2)


def test_an_aggregate_of_none_deletes_the_row_and_starts_anew() -> None:
    def declare(app: App) -> None:
        grouped(app).aggregate(str, lambda t, v: None if v == "stop" else t + v, value=str, name="n").to_stream().to(
            "out"
        )

    with world(declare) as driver:
        driver.feed("in", ("a", "1"), ("a", "2"), ("a", "stop"), ("a", "3"))
        assert [value for _, value, _ in driver.out()] == ["1", "12", None, "3"]
        assert driver.store("n").get("a") == "3"


def test_an_aggregator_may_change_what_it_is_given() -> None:
    def add(key: str, total: list[str], value: str) -> list[str]:
        total.append(key + value)
        return total

    found, _ = answer(
        lambda app: grouped(app).aggregate(list[str], add, value=list[str], name="n").to_stream().to("out"),
        ("a", "1"), ("a", "2"), ("b", "1"),
    )  # fmt: skip
    assert found == [("a", ["a1"], 0), ("a", ["a1", "a2"], 0), ("b", ["b1"], 0)]


def test_group_by_leaves_out_what_it_gives_no_key() -> None:
    def declare(app: App) -> None:
        stream = app.stream("in", key=str, value=str)
        stream.group_by(lambda v: None if v == "-" else v, key=str).count(name="n").to_stream().to("out")

    assert answer(declare, ("a", "x"), ("a", "-"), ("b", "x"), partitions=3)[0] == [("x", 1, 0), ("x", 2, 0)]


def test_group_by_may_look_at_the_key() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).group_by(lambda k, v: k + v, key=str).count(name="n").to_stream().to("out")

    assert answer(declare, ("a", "x"))[0] == [("ax", 1, 0)]


def test_count_needs_no_value_type_and_sends_only_keys_through_its_topic() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).map_values(lambda v: object()).group_by(lambda v: "all", key=str).count(
            name="n"
        )

    with world(declare) as driver:
        driver.feed("in", ("a", "x" * 1000))
        (record,) = driver.records("app-n-repartition", key=str, value=bytes)
        assert record.key == "all" and len(record.value) == 1


def test_name_and_store_of_an_aggregation_mean_the_same() -> None:
    for how in ({"name": "total"}, {"store": "total"}):
        app = App("app")
        assert grouped(app).count(**how).store == "total"  # type: ignore[arg-type]
        assert list(app.topology.stores) == ["total"] and "total" in app.topology.steps


def test_the_changelog_carries_the_stores_name() -> None:
    with world(lambda app: grouped(app).count(name="word-counts")) as driver:
        driver.feed("in", ("a", "1"))
        assert driver.out("app-word-counts-changelog", key=str, value=int) == [("a", 1, 0)]


def test_headers_of_an_aggregate_are_those_of_its_newest_record() -> None:
    with world(lambda app: grouped(app).count(name="n").to_stream().to("out")) as driver:
        driver.input_topic("in").pipe("a", "1", 0, [("h", b"1")])
        driver.input_topic("in").pipe("a", "1", 0, [("h", b"2")])
        assert [record.headers for record in driver.records()] == [(("h", b"1"),), (("h", b"2"),)]


@pytest.mark.parametrize(("looked_at", "counted"), [(False, 1), (True, 0)])
def test_a_json_null_counts_as_a_value_until_somebody_looks_at_it(looked_at: bool, counted: int) -> None:
    """Only where the type takes anything: any other JSON type refuses the text ``null``."""

    def declare(app: App) -> None:
        stream = app.stream("in", key=str, value=serdes.json())
        stream = stream.filter(lambda value: True) if looked_at else stream
        stream.group_by_key().count(name="n")

    with world(declare) as driver:
        driver.input_topic("in", value=bytes).pipe("a", b"null", 0)
        assert driver.store("n").get("a") == (counted or None)
        assert driver.dropped_records == 1 - counted
