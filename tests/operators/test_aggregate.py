"""Count, reduce, aggregate without windows."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.operators.aggregate import Aggregate, Count, Reduce
from streamflow.operators.table_ops import ToStream
from streamflow.serdes import Serde, int64, json, string
from streamflow.state.spec import StoreSpec
from tests.operators.bench import Bench, OldAndNew, Raw, function, sink, source, step


def bench_of(operator: Any, value: Serde[Any] = int64, **more: Any) -> Bench:
    spec = StoreSpec("totals", "key_value", string, value)
    steps = [source(), step("agg", operator), step("out-of", ToStream(), "agg"), sink("out-of", value=value)]
    return Bench(*steps, stores=[spec], **more)


def test_count_counts_the_records_of_each_key() -> None:
    bench = bench_of(Count("totals"))

    for key in ("a", "b", "a"):
        bench.pipe(key, "x")

    assert bench.out() == [("a", 1, 0), ("b", 1, 0), ("a", 2, 0)]


def test_a_result_is_never_older_than_what_it_was_made_of() -> None:
    for operator, value in (
        (Count("totals"), int64),
        (Reduce("totals", function(lambda a, b: a + b, "reducer")), string),
        (Aggregate("totals", function(str, "initializer"), function(lambda a, b: a + b, "aggregator")), string),
    ):
        bench = bench_of(operator, value)
        for time in (5, 3, 9):
            bench.pipe("k", "x", time)
        assert [time for _, _, time in bench.out()] == [5, 5, 9]


@pytest.mark.parametrize(
    "operator",
    [
        Count("totals"),
        Reduce("totals", function(lambda a, b: b, "reducer")),
        Aggregate("totals", function(int, "initializer"), function(lambda a, b: a, "aggregator")),
    ],
)
def test_null_keys_and_null_values_are_dropped_and_counted(operator: Any) -> None:
    bench = bench_of(operator)

    bench.pipe(None, "x")
    bench.pipe("k", None)
    bench.pipe("k", None)

    assert bench.out() == []
    assert bench.drops == {("agg", "null_key"): 1, ("agg", "null_value"): 2}


def test_the_first_value_is_the_first_total_of_a_reduce() -> None:
    bench = bench_of(Reduce("totals", function(lambda total, value: f"({total}+{value})", "reducer")), string)

    for value in ("a", "b", "c"):
        bench.pipe("k", value)

    assert [value for _, value, _ in bench.out()] == ["a", "(a+b)", "((a+b)+c)"]


def test_aggregate_starts_from_its_initializer_and_may_see_the_key() -> None:
    fold = function(lambda key, total, value: f"{total}{key}{value}", "aggregator")
    bench = bench_of(Aggregate("totals", function(lambda: "0", "initializer"), fold), string)

    bench.pipe("k", "1")
    bench.pipe("k", "2")

    assert [value for _, value, _ in bench.out()] == ["0k1", "0k1k2"]


def test_a_total_of_none_deletes_the_row_and_the_next_record_starts_anew() -> None:
    fold = function(lambda total, value: None if value == "!" else total + value, "aggregator")
    bench = bench_of(Aggregate("totals", function(lambda: "0", "initializer"), fold), string)

    for time, value in enumerate("ab!c"):
        bench.pipe("k", value, time)

    assert bench.out() == [("k", "0a", 0), ("k", "0ab", 1), ("k", None, 2), ("k", "0c", 3)]
    assert bench.rows("totals").get("k") == "0c"


def test_a_function_may_change_the_total_it_is_given() -> None:
    def add(total: list[str], value: str) -> list[str]:
        total.append(value)
        return total

    lists: Serde[Any] = json(list)
    seen: list[Any] = []
    agg = step("agg", Aggregate("totals", function(list, "initializer"), function(add, "aggregator")), sends_old=True)
    bench = Bench(
        source(), agg, step("see", OldAndNew(seen), "agg"), stores=[StoreSpec("totals", "key_value", string, lists)]
    )

    for value in "abc":
        bench.pipe("k", value)

    assert seen == [("k", ["a"], None), ("k", ["a", "b"], ["a"]), ("k", ["a", "b", "c"], ["a", "b"])]


@pytest.mark.parametrize("sends_old", [False, True])
def test_old_values_are_sent_only_where_somebody_asked(sends_old: bool) -> None:
    seen: list[Any] = []
    bench = Bench(
        source(),
        step("agg", Count("totals"), sends_old=sends_old),
        step("see", OldAndNew(seen), "agg"),
        stores=[StoreSpec("totals", "key_value", string, int64)],
    )

    bench.pipe("k", "x")
    bench.pipe("k", "x")

    assert seen == [("k", 1, None), ("k", 2, 1 if sends_old else None)]


def test_counting_reads_neither_keys_nor_values() -> None:
    def refuse(data: Any) -> Any:
        raise AssertionError("decoded")

    never = Serde(refuse, refuse, "never")
    bench = Bench(
        source(key=never, value=never),
        step("agg", Count("totals")),
        step("out-of", ToStream(), "agg"),
        sink("out-of", key=never, value=int64),
        stores=[StoreSpec("totals", "key_value", never, int64)],
    )

    bench.feed(Raw(b"\xff", b"\xfe", 4))
    bench.feed(Raw(b"\xff", None, 4))

    assert bench.raw_out() == [(b"\xff", int64.serialize(1), 4, ())]
    assert bench.drops == {("agg", "null_value"): 1}
