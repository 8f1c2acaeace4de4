"""Tables grouped anew: rows come and go, totals follow."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamflow.operators.table_group import TableAggregate, TableCount, TableReduce, TableSelect
from streamflow.operators.table_ops import ToStream
from streamflow.operators.table_source import TableSource
from streamflow.record import Change
from streamflow.serdes import Serde, change_serde, int64, string
from streamflow.state.spec import StoreSpec
from tests.operators.bench import Bench, OldAndNew, function, sink, source, step

ROWS = StoreSpec("rows", "key_value", string, string)
CHANGES = change_serde(string)


def selecting(select: Any) -> Bench:
    return Bench(
        source(),
        step("t", TableSource("rows"), sends_old=True),
        step("select", TableSelect(function(select)), "t"),
        sink("select", value=CHANGES),
        stores=[ROWS],
    )


def grouping(operator: Any, value: Serde[Any], *, sends_old: bool = False, seen: list[Any] | None = None) -> Bench:
    end = [step("read", ToStream(), "agg"), sink("read", value=value)]
    if seen is not None:
        end = [step("see", OldAndNew(seen), "agg")]
    steps = [source(value=CHANGES), step("agg", operator, sends_old=sends_old), *end]
    return Bench(*steps, stores=[StoreSpec("totals", "key_value", string, value)])


def test_a_row_that_moves_to_another_group_is_taken_away_first() -> None:
    bench = selecting(lambda key, value: (value[0], value))

    for time, value in enumerate(["a1", "a2", "b3", None]):
        bench.pipe("k", value, time)

    assert bench.out() == [
        ("a", Change("a1", None), 0),
        ("a", Change("a2", "a1"), 1),
        ("a", Change(None, "a2"), 2),
        ("b", Change("b3", None), 2),
        ("b", Change(None, "b3"), 3),
    ]


def test_a_row_without_group_or_value_is_in_no_group() -> None:
    groups = {"1": None, "2": (None, "x"), "3": ("g", None), "4": ("g", "x")}
    bench = selecting(groups.__getitem__)

    for value in "1234321":
        bench.pipe("k", value)

    assert [change for _, change, _ in bench.out()] == [Change("x", None), Change(None, "x")]


def test_a_count_follows_rows_and_stays_when_it_is_zero() -> None:
    bench = grouping(TableCount("totals"), int64)

    for change in (Change("a", None), Change("b", None), Change("c", "b"), Change(None, "a"), Change(None, "c")):
        bench.pipe("g", change)

    assert [count for _, count, _ in bench.out()] == [1, 2, 2, 1, 0]


def test_reduce_takes_the_old_value_away_and_then_adds_the_new_one() -> None:
    adder = function(lambda total, value: f"{total}+{value}", "adder")
    subtractor = function(lambda total, value: f"{total}-{value}", "subtractor")
    bench = grouping(TableReduce("totals", adder, subtractor), string)

    for change in (Change("a", None), Change("b", "a"), Change(None, "b"), Change("c", None)):
        bench.pipe("g", change)

    assert [value for _, value, _ in bench.out()] == ["a", "a-a+b", "a-a+b-b", "a-a+b-b+c"]


def test_aggregate_starts_from_its_initializer_and_may_see_the_group() -> None:
    operator = TableAggregate(
        "totals",
        function(lambda: "0", "initializer"),
        function(lambda key, total, value: f"{total}+{key}{value}", "adder"),
        function(lambda total, value: f"{total}-{value}", "subtractor"),
    )
    bench = grouping(operator, string)

    for time, change in ((5, Change("a", None)), (3, Change("b", "a"))):
        bench.pipe("g", change, time)

    assert bench.out() == [("g", "0+ga", 5), ("g", "0+ga-a+gb", 5)]


def test_a_total_of_none_deletes_the_row() -> None:
    operator = TableAggregate(
        "totals",
        function(int, "initializer"),
        function(lambda total, value: total + 1, "adder"),
        function(lambda total, value: total - 1 or None, "subtractor"),
    )
    seen: list[Any] = []
    bench = grouping(operator, int64, sends_old=True, seen=seen)

    for change in (Change("a", None), Change(None, "a"), Change(None, "ghost"), Change("b", None)):
        bench.pipe("g", change)

    assert seen == [("g", 1, None), ("g", None, 1), ("g", None, None), ("g", 1, None)]


def test_a_null_group_is_dropped_and_counted() -> None:
    bench = grouping(TableCount("totals"), int64)
    bench.pipe(None, Change("a", None))
    assert bench.out() == [] and bench.drops == {("agg", "null_key"): 1}


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.none() | st.sampled_from(["a1", "a2", "b1", "c1"]))))
def test_counts_and_reductions_agree_with_the_rows_as_they_stand(updates: list[tuple[str, str | None]]) -> None:
    select = selecting(lambda value: (value[0], value))
    count = grouping(TableCount("totals"), int64)
    rows: dict[str, str] = {}
    latest: dict[str, int] = {}
    for key, value in updates:
        select.pipe(key, value)
        for group, change, _ in select.out():
            count.pipe(group, change)
        latest.update({group: number for group, number, _ in count.out()})
        rows = {**rows, key: value} if value is not None else {k: v for k, v in rows.items() if k != key}
        assert {group: number for group, number in latest.items() if number} == Counter(v[0] for v in rows.values())
