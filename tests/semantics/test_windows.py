"""Semantics 1.5: tumbling and hopping windows, grace, emitting and keeping."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from streamflow import App, ConfigError, TimeWindow, TopologyError, Windowed, hopping, serdes, tumbling
from tests.semantics.world import answer, world

MINUTE = 60_000


def counting(window: TimeWindow, **how: Any) -> Any:
    def declare(app: App) -> None:
        windows = app.stream("in", key=str, value=str).group_by_key().windowed_by(window)
        windows.count(name="n", **how).to_stream().to("out")

    return declare


def at(*times: int, key: str = "a") -> list[tuple[str, str, int]]:
    return [(key, "v", time) for time in times]


def starts(found: list[Any]) -> list[tuple[int, int]]:
    return [(key.start, value) for key, value, _ in found]


def test_tumbling_windows_are_aligned_to_the_epoch_and_their_end_is_exclusive() -> None:
    found, dropped = answer(counting(tumbling("1m")), *at(0, 59_999, 60_000, 119_999))
    assert [key for key, _, _ in found] == [Windowed("a", 0, MINUTE)] * 2 + [Windowed("a", MINUTE, 2 * MINUTE)] * 2
    assert [value for _, value, _ in found] == [1, 2, 1, 2] and dropped == 0


def test_hopping_windows_of_a_record_come_by_ascending_start() -> None:
    found, _ = answer(counting(hopping("60s", "20s")), *at(65_000))
    assert starts(found) == [(20_000, 1), (40_000, 1), (60_000, 1)]


def test_no_window_begins_before_the_epoch() -> None:
    assert starts(answer(counting(hopping("60s", "20s")), *at(5_000))[0]) == [(0, 1)]


def test_the_result_bears_the_greatest_time_in_its_window() -> None:
    assert [time for _, _, time in answer(counting(tumbling("1m")), *at(10, 30, 20))[0]] == [10, 30, 30]


def test_a_late_record_is_taken_while_its_windows_end_is_after_stream_time_less_grace() -> None:
    last_moment = [*at(69_999), *at(1)]  # 60,000 > 69,999 - 10,000
    too_late = [*at(70_000), *at(1)]
    window = tumbling("1m", grace="10s")
    assert (starts(answer(counting(window), *last_moment)[0])[-1], answer(counting(window), *last_moment)[1]) == (
        (0, 1),
        0,
    )
    assert answer(counting(window), *too_late)[1] == 1


def test_each_window_of_a_late_record_is_judged_and_counted_alone() -> None:
    found, dropped = answer(counting(hopping("60s", "20s")), *at(130_000), *at(65_000))
    assert starts(found)[3:] == []  # those that start at 20,000, 40,000 and 60,000 end by 120,000
    assert dropped == 3
    found, dropped = answer(counting(hopping("60s", "20s")), *at(110_000), *at(65_000))
    assert starts(found)[3:] == [(60_000, 2)] and dropped == 2


def test_time_is_that_of_all_keys_of_the_task() -> None:
    assert answer(counting(tumbling("1m")), *at(60_000, key="b"), *at(0, key="a"))[1] == 1


def test_null_keys_and_null_values_are_dropped_and_do_not_move_time() -> None:
    found, dropped = answer(counting(tumbling("1m")), (None, "v", 500_000), ("a", None, 500_000), ("a", "v", 1))
    assert (starts(found), dropped) == ([(0, 1)], 2)


def test_reduce_and_aggregate_per_window() -> None:
    def declare(app: App) -> None:
        windows = app.stream("in", key=str, value=str).group_by_key().windowed_by(tumbling("1m"))
        windows.reduce(lambda t, v: t + v, name="r").to_stream().to("reduced")
        windows.aggregate(int, lambda k, t, v: t + len(v), name="s").to_stream().to("summed")

    with world(declare) as driver:
        driver.feed("in", ("a", "x", 0), ("a", "yy", 1), ("a", "z", MINUTE))
        assert starts(driver.out("reduced")) == [(0, "x"), (0, "xyy"), (MINUTE, "z")]
        assert starts(driver.out("summed")) == [(0, 1), (0, 3), (MINUTE, 1)]


def test_on_close_gives_one_final_row_per_window_ordered_by_start_then_key() -> None:
    rows = [*at(0, key="b"), *at(1, key="a"), *at(2, key="a"), *at(70_000), *at(200_000)]
    found, _ = answer(counting(tumbling("1m", grace="10s"), emit="on_close"), *rows)
    assert [(key.key, key.start, value, time) for key, value, time in found] == [
        ("a", 0, 2, 2), ("b", 0, 1, 0), ("a", MINUTE, 1, 70_000),
    ]  # fmt: skip


def test_on_close_waits_for_the_grace() -> None:
    declare = counting(tumbling("1m", grace="10s"), emit="on_close")
    assert answer(declare, *at(0, 69_999))[0] == []
    assert starts(answer(declare, *at(0, 70_000))[0]) == [(0, 1)]


def test_on_close_loses_no_window_to_a_jump_in_time_or_a_crash() -> None:
    with world(counting(tumbling("1s"), emit="on_close")) as driver:
        for second in range(5):
            driver.feed("in", *at(second * 1000))
            driver.crash()
        driver.feed("in", *at(10_000_000))
        driver.crash()
        assert starts(driver.out()) == [(second * 1000, 1) for second in range(5)]


def test_windows_are_kept_for_their_retention_and_then_forgotten() -> None:
    with world(counting(tumbling("1m"), retention="10m")) as driver:
        driver.feed("in", *at(0, 9 * MINUTE))
        assert driver.store("n").fetch("a", 0) == 1
        driver.feed("in", *at(11 * MINUTE))
        assert driver.store("n").fetch("a", 0) is None


def test_a_windowed_key_can_be_read_again_by_another_step() -> None:
    def declare(app: App) -> None:
        counts = app.stream("in", key=str, value=str).group_by_key().windowed_by(tumbling("1m")).count(name="n")
        counts.to_stream().select_key(lambda window, count: window.start, key=int).to("out")
        per_window = counts.group_by(lambda w, n: (w._replace(key="all"), n), key=serdes.windowed(str, "1m"), value=int)
        per_window.reduce(lambda t, v: t + v, lambda t, v: t - v, name="all").to_stream().to("all")

    with world(declare, partitions=3) as driver:
        driver.feed("in", *at(0, key="a"), *at(1, key="b"), *at(MINUTE, key="c"))
        assert [key for key, _, _ in driver.out()] == [0, 0, MINUTE]
        assert driver.output_topic("all").read_table() == {
            Windowed("all", 0, MINUTE): 2,
            Windowed("all", MINUTE, 2 * MINUTE): 1,
        }
        assert driver.store("all").get(Windowed("all", 0, MINUTE)) == 2


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tumbling(60), "the size of a tumbling window is 60; write a timedelta or a text"),
        (lambda: tumbling("1 hour"), "'1 hour'; write a timedelta or a text"),
        (lambda: tumbling("0s"), "must be at least 1 ms"),
        (lambda: tumbling("1m", grace=timedelta(seconds=-1)), "grace is .*; it cannot be negative"),
        (lambda: hopping("1m", "2m"), "advances by 120000 ms, so some records would be in no window"),
        (lambda: hopping("1m", "0s"), "the advance of a hopping window .* at least 1 ms"),
    ],
)  # fmt: skip
def test_a_window_that_cannot_be_is_told(make: Any, text: str) -> None:
    with pytest.raises((ConfigError, TopologyError), match=text):
        make()


@pytest.mark.parametrize("duration", [timedelta(minutes=5), "5m", "300s", "300000ms"])
def test_a_duration_is_a_timedelta_or_a_text(duration: Any) -> None:
    assert tumbling(duration).size_ms == 300_000
