"""The stream side of a stream-table join."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.operators.join import StreamTableJoin
from streamflow.operators.table_source import TableSource
from streamflow.serdes import int64, string
from streamflow.state.spec import StoreSpec
from tests.operators.bench import Bench, function, sink, source, step

ROWS = StoreSpec("rows", "key_value", string, int64)


def joining(left: bool, joiner: Any = lambda value, row: f"{value}-{row}") -> Bench:
    return Bench(
        source(),
        source("table", value=int64),
        step("t", TableSource("rows"), "table"),
        step("join", StreamTableJoin(function(joiner, "joiner"), "rows", left)),
        sink("join"),
        stores=[ROWS],
    )


def test_a_stream_record_meets_the_row_that_is_there_and_keeps_its_own_time() -> None:
    bench = joining(left=False)

    bench.pipe("k", "early", 1)
    bench.pipe("k", 7, 50, topic="table")
    bench.pipe("k", "a", 3)
    bench.pipe("k", 8, 40, topic="table")
    bench.pipe("k", "b", 60)
    bench.pipe("k", None, 70, topic="table")
    bench.pipe("k", "gone", 71)

    assert bench.out() == [("k", "a-7", 3), ("k", "b-8", 60)]
    assert not bench.drops


def test_a_left_join_goes_on_without_a_row() -> None:
    bench = joining(left=True)

    bench.pipe("k", "a", 1)
    bench.pipe(None, "b", 2)

    assert bench.out() == [("k", "a-None", 1), (None, "b-None", 2)] and not bench.drops


def test_an_inner_join_drops_and_counts_a_null_key() -> None:
    bench = joining(left=False)
    bench.pipe(None, "b")
    assert bench.out() == [] and bench.drops == {("join", "null_key"): 1}


@pytest.mark.parametrize("left", [False, True])
def test_a_null_value_is_dropped_and_counted_once(left: bool) -> None:
    bench = joining(left)
    bench.pipe("k", None)
    bench.pipe(None, None)
    assert bench.out() == [] and bench.drops == {("join", "null_value"): 2}


def test_a_joiner_may_look_at_the_key_and_its_none_is_a_value() -> None:
    bench = joining(True, lambda key, value, row: None if value == "x" else key + value)
    bench.pipe("k", "x", 1)
    bench.pipe("k", "y", 2)
    assert bench.out() == [("k", None, 1), ("k", "ky", 2)]
