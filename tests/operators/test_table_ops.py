"""Filters and mappers of tables, with a store and without."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.operators.table_ops import TableFilter, TableMapValues
from streamflow.operators.table_source import TableSource
from streamflow.serdes import int64, string
from streamflow.state.spec import StoreSpec
from tests.operators.bench import Bench, OldAndNew, function, source, step

ROWS = StoreSpec("rows", "key_value", string, int64)
KEPT = StoreSpec("kept", "key_value", string, int64)
EVEN = function(lambda value: value % 2 == 0, "predicate")


def changes_of(operator: Any, values: list[Any], *, sends_old: bool = False) -> list[Any]:
    seen: list[Any] = []
    bench = Bench(
        source(value=int64),
        step("t", TableSource("rows"), sends_old=sends_old),
        step("op", operator, "t", sends_old=sends_old),
        step("see", OldAndNew(seen), "op"),
        stores=[ROWS, KEPT],
    )
    for value in values:
        bench.pipe("k", value)
    return [(new, old) for _, new, old in seen]


def test_without_old_values_every_failing_update_is_a_tombstone() -> None:
    assert changes_of(TableFilter(EVEN), [1, 2, 3, 5, None]) == [
        (None, None),
        (2, None),
        (None, None),
        (None, None),
        (None, None),
    ]


@pytest.mark.parametrize("store", [None, "kept"])
def test_with_old_values_only_a_row_that_had_passed_gets_a_tombstone(store: str | None) -> None:
    found = changes_of(TableFilter(EVEN, store=store), [1, 2, 4, 3, 5, None, 6, None], sends_old=True)

    assert found == [(2, None), (4, 2), (None, 4), (6, None), (None, 6)]


def test_a_filter_that_keeps_its_rows_suppresses_needless_tombstones_though_nobody_asked_for_old_values() -> None:
    assert changes_of(TableFilter(EVEN, store="kept"), [1, 2, 3, 5]) == [(2, None), (None, None)]


def test_a_negated_filter_keeps_the_rest_and_a_null_is_no_row_either_way() -> None:
    assert changes_of(TableFilter(EVEN, negate=True), [1, 2, None]) == [(1, None), (None, None), (None, None)]


def test_a_predicate_may_look_at_the_key() -> None:
    by_key = function(lambda key, value: key == "k" and value > 1, "predicate")
    assert changes_of(TableFilter(by_key), [1, 2]) == [(None, None), (2, None)]


@pytest.mark.parametrize("store", [None, "kept"])
@pytest.mark.parametrize("sends_old", [False, True])
def test_map_values_maps_rows_and_lets_tombstones_pass_unasked(store: str | None, sends_old: bool) -> None:
    ten = function(lambda value: value * 10)
    olds = [None, 10, 20, None] if sends_old else [None] * 4

    found = changes_of(TableMapValues(ten, store), [1, 2, None, 3], sends_old=sends_old)

    assert found == list(zip([10, 20, None, 30], olds, strict=True))


def test_a_mapper_that_gives_none_deletes_the_row() -> None:
    nothing = function(lambda key, value: None if value == 2 else value)
    assert changes_of(TableMapValues(nothing, "kept"), [1, 2], sends_old=True) == [(1, None), (None, 1)]


def test_what_a_step_keeps_is_what_it_emitted() -> None:
    bench = Bench(
        source(value=int64),
        step("t", TableSource(None)),
        step("op", TableMapValues(function(lambda value: value * 10), "kept"), "t"),
        stores=[KEPT],
    )
    bench.pipe("k", 4, 7)
    assert bench.rows("kept").get_pair("k") == (40, 7)
