"""Windowed aggregations: which window takes which record, what is emitted when, and what a restart keeps."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from streamflow.operators import closing
from streamflow.operators.contract import StreamTime
from streamflow.operators.map import MapValues
from streamflow.operators.table_ops import ToStream
from streamflow.operators.window_aggregate import EmitPolicy, WindowAggregate, WindowCount, WindowReduce
from streamflow.record import Windowed
from streamflow.serdes import Serde, int64, json, string
from streamflow.serdes.compound import windowed_by_size
from streamflow.state.layers import rollback
from streamflow.state.spec import StoreSpec
from streamflow.windows import TimeWindow, hopping, tumbling
from tests.operators.bench import Bench, OldAndNew, function, sink, source, step


def spec_of(
    window: TimeWindow, value: Serde[Any] = int64, key: Serde[Any] = string, *, kept_longer: int = 0
) -> StoreSpec:
    retention = window.size_ms + window.grace_ms + kept_longer
    return StoreSpec("windows", "window", key, value, retention_ms=retention, window_ms=window.size_ms)


def bench_of(operator: Any, value: Serde[Any] = int64, *, kept_longer: int = 0, **more: Any) -> Bench:
    key = windowed_by_size(string, operator.window.size_ms)
    steps = [source(), step("agg", operator), step("read", ToStream(), "agg"), sink("read", key=key, value=value)]
    return Bench(*steps, stores=[spec_of(operator.window, value, kept_longer=kept_longer)], **more)


def counting(window: TimeWindow, emit: EmitPolicy = "on_update", **more: Any) -> Bench:
    return bench_of(WindowCount("windows", window, emit), **more)


def rows(bench: Bench) -> list[tuple[Any, int, Any, int]]:
    """What was emitted, as (key, window start, value, timestamp)."""
    return [(key.key, key.start, value, at) for key, value, at in bench.out()]


def test_a_window_takes_its_start_and_not_its_end() -> None:
    bench = counting(tumbling("10ms", grace="1s"))

    for time in (0, 9, 10, 20):
        bench.pipe("k", "x", time)

    assert rows(bench) == [("k", 0, 1, 0), ("k", 0, 2, 9), ("k", 10, 1, 10), ("k", 20, 1, 20)]


def test_a_record_is_in_every_hopping_window_that_holds_it_oldest_first() -> None:
    bench = counting(hopping("10ms", "4ms"))

    bench.pipe("k", "x", 11)

    assert rows(bench) == [("k", 4, 1, 11), ("k", 8, 1, 11)]


def test_the_key_says_start_and_end() -> None:
    bench = counting(tumbling("10ms"))
    bench.pipe("k", "x", 25)
    assert bench.out() == [(Windowed("k", 20, 30), 1, 25)]


def test_a_window_closes_when_stream_time_passes_its_end_and_grace() -> None:
    bench = counting(tumbling("10ms", grace="5ms"))

    for time in (14, 9, 15, 9):
        bench.pipe("k", "x", time)

    assert rows(bench) == [("k", 10, 1, 14), ("k", 0, 1, 9), ("k", 10, 2, 15)]
    assert bench.drops == {("agg", "late"): 1}


def test_a_late_record_enters_the_newer_windows_and_misses_the_older() -> None:
    bench = counting(hopping("10ms", "5ms"))
    bench.pipe("other", "x", 19)
    bench.out()

    bench.pipe("k", "x", 12)

    assert rows(bench) == [("k", 10, 1, 12)]
    assert bench.drops == {("agg", "late"): 1}


def test_the_record_in_hand_counts_for_stream_time() -> None:
    bench = counting(hopping("10ms", "5ms"))

    bench.pipe("other", "x", 3)
    bench.pipe("k", "x", 14)

    assert rows(bench)[1:] == [("k", 5, 1, 14), ("k", 10, 1, 14)] and not bench.drops


@pytest.mark.parametrize("emit", ["on_update", "on_close"])
def test_null_keys_and_null_values_are_dropped_and_do_not_move_time(emit: EmitPolicy) -> None:
    bench = counting(tumbling("10ms"), emit)

    bench.pipe("k", "x", 1)
    bench.pipe(None, "x", 100)
    bench.pipe("k", None, 100)
    bench.pipe("k", "x", 2)

    assert bench.drops == {("agg", "null_key"): 1, ("agg", "null_value"): 1}
    assert rows(bench) == ([("k", 0, 1, 1), ("k", 0, 2, 2)] if emit == "on_update" else [])


def test_the_result_carries_the_greatest_time_of_its_window() -> None:
    bench = counting(tumbling("10ms"))
    for time in (7, 3, 5):
        bench.pipe("k", "x", time)
    assert [at for *_, at in rows(bench)] == [7, 7, 7]


def test_reduce_and_aggregate_fold_the_values_of_a_window() -> None:
    window = tumbling("10ms")
    reducing = bench_of(WindowReduce("windows", window, function(lambda a, b: a + b, "reducer")), string)
    fold = function(lambda key, total, value: total + key + value, "aggregator")
    aggregating = bench_of(WindowAggregate("windows", window, function(lambda: "0", "initializer"), fold), string)

    for bench in (reducing, aggregating):
        for time, value in ((1, "a"), (2, "b"), (11, "c")):
            bench.pipe("k", value, time)

    assert [value for _, _, value, _ in rows(reducing)] == ["a", "ab", "c"]
    assert [value for _, _, value, _ in rows(aggregating)] == ["0ka", "0kakb", "0kc"]


def test_old_values_are_sent_where_somebody_asked_even_if_the_function_changes_its_total() -> None:
    def add(total: list[str], value: str) -> list[str]:
        total.append(value)
        return total

    operator = WindowAggregate("windows", tumbling("10ms"), function(list, "initializer"), function(add, "aggregator"))
    seen: list[Any] = []
    bench = Bench(
        source(),
        step("agg", operator, sends_old=True),
        step("see", OldAndNew(seen), "agg"),
        stores=[spec_of(operator.window, json(list))],
    )

    bench.pipe("k", "a")
    bench.pipe("k", "b")

    assert seen == [(Windowed("k", 0, 10), ["a"], None), (Windowed("k", 0, 10), ["a", "b"], ["a"])]


def test_on_close_emits_final_rows_by_start_then_key() -> None:
    bench = counting(hopping("10ms", "5ms", grace="5ms"), "on_close")
    for key, time in (("b", 7), ("a", 6), ("b", 11), ("c", 19)):
        bench.pipe(key, "x", time)
    before = rows(bench)

    bench.pipe("z", "x", 20)

    assert before == [("a", 0, 1, 6), ("b", 0, 1, 7)]
    assert rows(bench) == [("a", 5, 1, 6), ("b", 5, 2, 11)]


def test_on_close_emits_as_soon_as_stream_time_reaches_the_end_and_grace() -> None:
    bench = counting(tumbling("10ms", grace="3ms"), "on_close")

    emitted = []
    for time in (0, 12, 13):
        bench.pipe("k", "x", time)
        emitted.append(rows(bench))

    assert emitted == [[], [], [("k", 0, 1, 0)]]


@pytest.mark.parametrize("most", [0, 10, 1000])
def test_a_jump_in_time_loses_no_closed_window(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "MOST_REMEMBERED", most)
    bench = counting(hopping("10ms", "5ms", grace="100ms"), "on_close")
    for time in range(0, 100, 5):
        bench.pipe("b", "x", time)
        bench.pipe("a", "x", time)
    assert rows(bench) == []

    bench.pipe("k", "x", 10_000_000)

    closed = rows(bench)
    assert [(start, key) for key, start, _, _ in closed] == [(start, k) for start in range(0, 100, 5) for k in "ab"]
    assert [count for _, _, count, _ in closed] == [2] * 38 + [1] * 2


@pytest.mark.parametrize("most", [0, 1000])
def test_a_window_is_emitted_once_though_its_row_is_kept_for_longer(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "MOST_REMEMBERED", most)
    bench = counting(tumbling("10ms"), "on_close", kept_longer=1000)

    for time in (5, 10, 11, 15, 20, 21, 500):
        bench.pipe("k", "x", time)

    assert [start for _, start, _, _ in rows(bench)] == [0, 10, 20]
    assert bench.rows("windows").get_pair("k", 0) == (1, 5)


@pytest.mark.parametrize(("most", "expected"), [(100, 0), (1, 1)])
def test_a_store_is_scanned_only_when_too_many_rows_are_open_and_a_window_has_closed(
    most: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "MOST_REMEMBERED", most)
    first = counting(tumbling("10ms"), "on_close")
    scans: list[Any] = []
    layers = first.store("windows")._layers
    scan = layers.scan

    def noted(*bounds: Any) -> Any:
        scans.append(bounds)
        return scan(*bounds)

    monkeypatch.setattr(layers, "scan", noted)
    bench = counting(tumbling("10ms"), "on_close", kept=first.stores)

    for time in (0, 5, 9, 3):
        bench.pipe(f"k{time}", "x", time)
    assert not scans

    bench.pipe("k", "x", 10)
    assert len(scans) == expected
    assert rows(bench) == [("k0", 0, 1, 0), ("k3", 0, 1, 3), ("k5", 0, 1, 5), ("k9", 0, 1, 9)]


def test_final_rows_come_in_the_order_of_their_key_bytes_even_where_keys_are_objects_without_an_order() -> None:
    keys: Serde[Any] = json(dict)
    fold = function(lambda key, total, value: total + len(key), "aggregator")
    operator = WindowAggregate("windows", tumbling("10ms"), function(int, "initializer"), fold, "on_close")
    seen: list[Any] = []
    bench = Bench(
        source(key=keys),
        step("agg", operator),
        step("see", OldAndNew(seen), "agg"),
        stores=[spec_of(operator.window, int64, keys)],
    )

    for key in ({"b": 1}, {"a": 2}, {"a": 10, "z": 0}, {"b": 1}):
        bench.pipe(key, "x")
    bench.pipe({}, "x", 10)

    assert [(key.key, total) for key, total, _ in seen] == [({"a": 10, "z": 0}, 2), ({"a": 2}, 1), ({"b": 1}, 2)]


def test_stream_time_and_what_was_closed_outlive_a_restart() -> None:
    window = tumbling("10ms")
    first = counting(window, "on_close")
    for time in (5, 11):
        first.pipe("k", "x", time)
    assert rows(first) == [("k", 0, 1, 5)]

    second = counting(window, "on_close", kept=first.stores, times=first.times)
    second.pipe("k", "x", 9)
    second.pipe("k", "x", 20)

    assert second.drops == {("agg", "late"): 1}
    assert rows(second) == [("k", 10, 1, 11)]


def test_a_shorter_grace_after_a_restart_closes_what_it_leaves_behind() -> None:
    first = counting(tumbling("10ms", grace="1s"), "on_close")
    first.pipe("k", "x", 5)
    first.pipe("k", "x", 40)
    assert rows(first) == []

    second = counting(tumbling("10ms"), "on_close", kept=first.stores, times=first.times)
    second.pipe("k", "x", 41)

    assert rows(second) == [("k", 0, 1, 5)]


def test_a_refused_record_takes_back_the_time_it_moved_and_the_windows_it_closed() -> None:
    window, undo = tumbling("10ms"), list[Any]()

    def fold(total: str, value: str) -> str:
        if value == "bad":
            raise ValueError(value)
        return total + value

    operator = WindowAggregate(
        "windows", window, function(str, "initializer"), function(fold, "aggregator"), "on_close"
    )
    bench = bench_of(operator, string, undo=undo)
    bench.pipe("k", "a", 5)
    undo.clear()

    with pytest.raises(ValueError, match="bad"):
        bench.pipe("k", "bad", 100)
    rollback(undo)

    assert rows(bench) == []
    assert bench.times["agg", ""].now == 5
    bench.pipe("k", "b", 6)
    bench.pipe("k", "c", 10)
    assert rows(bench) == [("k", 0, "ab", 6)]


@pytest.mark.parametrize("emit", ["on_update", "on_close"])
def test_keys_that_are_looked_at_only_downstream_come_as_windowed_keys(emit: EmitPolicy) -> None:
    window = tumbling("10ms")
    seen: list[Any] = []
    bench = Bench(
        source(),
        step("agg", WindowCount("windows", window, emit)),
        step("read", ToStream(), "agg"),
        step("look", MapValues(function(lambda key, value: seen.append(key))), "read"),
        stores=[spec_of(window)],
    )

    bench.pipe("k", "x", 5)
    bench.pipe("k", "x", 15)

    assert seen == [Windowed("k", 0, 10), Windowed("k", 10, 20)][: 1 if emit == "on_close" else 2]


def model(window: TimeWindow, emit: str, records: list[tuple[str, int]]) -> tuple[list[Any], int]:
    """The same in the plainest way: all rows ever, scanned whole after each record."""
    counts: dict[tuple[int, str], tuple[int, int]] = {}
    out: list[Any] = []
    final: set[int] = set()
    late, now = 0, -1
    for key, time in records:
        now = max(now, time)
        closed = now - window.grace_ms
        for start in range(0, time + 1, window.advance_ms):
            if not start <= time < start + window.size_ms:
                continue
            if start + window.size_ms <= closed:
                late += 1
                continue
            count, at = counts.get((start, key), (0, 0))
            counts[start, key] = count + 1, max(at, time)
            if emit == "on_update":
                out.append((key, start, *counts[start, key]))
        if emit == "on_close":
            due = sorted(row for row in counts if row[0] + window.size_ms <= closed and row[0] not in final)
            out.extend((key, start, *counts[start, key]) for start, key in due)
            final.update(start for start, _ in due)
    return out, late


@given(
    st.builds(
        lambda advance, times, grace: TimeWindow(advance * times, advance, grace),
        st.integers(1, 7),
        st.integers(1, 4),
        st.integers(0, 20),
    ),
    st.sampled_from(["on_update", "on_close"]),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60) | st.sampled_from([90_000, 120_007])), max_size=30),
    st.integers(0, 30),
    st.sampled_from([0, 2, 5, 1000]),
    st.sampled_from([0, 10, 100_000]),
)
def test_windows_agree_with_a_plain_model_over_restarts(
    window: TimeWindow,
    emit: EmitPolicy,
    records: list[tuple[str, int]],
    restart: int,
    most_remembered: int,
    kept_longer: int,
) -> None:
    with patch.object(closing, "MOST_REMEMBERED", most_remembered):
        found, late = emitted(window, emit, records, restart, kept_longer)
    note(f"{found}")
    assert (found, late) == model(window, emit, records)


def emitted(
    window: TimeWindow, emit: EmitPolicy, records: list[tuple[str, int]], restart: int, kept_longer: int
) -> tuple[list[Any], int]:
    """What is emitted and how many windows were late, with a restart before one of the records."""
    bench = counting(window, emit, kept_longer=kept_longer)
    out = []
    late = 0
    for at, (key, time) in enumerate(records):
        if at == restart:
            late += bench.drops["agg", "late"]
            times = {name: StreamTime(kept.now) for name, kept in bench.times.items()}
            bench = counting(window, emit, kept=bench.stores, times=times)
        bench.pipe(key, "x", time)
        out += rows(bench)
    return out, late + bench.drops["agg", "late"]
