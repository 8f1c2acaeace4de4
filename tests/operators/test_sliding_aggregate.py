"""Sliding windows hold, whatever the order of the records, what plain Python says they hold."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamflow import App, Windowed, sliding
from streamflow.testing import TopologyTestDriver

WIDTH = 10


def windows_of(times: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Per window ``(start, end)`` with another set of records than its neighbours: their sum."""
    ends = {max(time, WIDTH) for time, _ in times}
    starts = {end - WIDTH for end in ends} | {time + 1 for time, _ in times}
    found: dict[tuple[int, int], int] = {}
    for start in starts:
        within = [value for time, value in times if start <= time <= start + WIDTH]
        if within:
            found[start, start + WIDTH] = sum(within)
    return found


def summing(emit: str = "on_update", grace: str = "1h") -> App:
    app = App("sliding")
    grouped = app.stream("in", key=str, value=int).group_by_key()
    how: Any = {"emit": emit, "name": "sums"}
    sums = grouped.windowed_by(sliding(f"{WIDTH}ms", grace=grace)).reduce(lambda total, n: total + n, **how)
    sums.to_stream().to("out")
    return app


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
def test_any_order_ends_in_the_windows_that_the_times_say(stores: Any, partitions: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    records = [(chance.choice("ab\x00c"), chance.randrange(1, 100), chance.randrange(120)) for _ in range(120)]
    with TopologyTestDriver(summing(), partitions=partitions, stores=stores, commit="manual") as driver:
        for record in records:
            driver.input_topic("in").pipe(*record)
            if chance.random() < 0.1:
                driver.commit() if chance.random() < 0.5 else driver.crash()
        driver.commit()
        table = driver.output_topic("out").read_table()
        for key in {key for key, _, _ in records}:
            wanted = windows_of([(time, n) for k, n, time in records if k == key])
            assert {(w.start, w.end): total for w, total in table.items() if w.key == key} == wanted


def test_on_close_tells_each_window_once_in_order_of_time_and_in_order_input_loses_none() -> None:
    chance = random.Random(7)
    times = sorted((chance.randrange(WIDTH, 500), chance.randrange(1, 9)) for _ in range(80))
    with TopologyTestDriver(summing("on_close", "0ms")) as driver:
        for time, n in times:
            driver.input_topic("in").pipe("k", n, time)
            if chance.random() < 0.1:
                driver.crash()
        driver.input_topic("in").pipe("other", 1, 100_000)
        found = [(r.key, r.value) for r in driver.output_topic("out").read_records()]

    assert [key.start for key, _ in found] == sorted(key.start for key, _ in found)
    assert {(key.start, key.end): total for key, total in found} == windows_of(times)
    assert len(found) == len(windows_of(times))


def test_a_late_record_enters_the_windows_that_are_open_and_is_counted_for_the_others() -> None:
    with TopologyTestDriver(summing(grace="5ms")) as driver:
        driver.input_topic("in").pipe_many([("k", 1, 100), ("k", 2, 93), ("k", 4, 80), ("k", None, 100)])
        table = driver.output_topic("out").read_table()
        assert table == {Windowed("k", 90, 100): 3, Windowed("k", 94, 104): 1}
        assert driver.dropped_records == 3  # the window that ends at 93, the record of 80, the null


def test_records_nearer_to_1970_than_the_width_share_the_window_that_begins_there() -> None:
    with TopologyTestDriver(summing()) as driver:
        driver.input_topic("in").pipe_many([("k", 1, 3), ("k", 2, 5)])
        assert driver.output_topic("out").read_table() == {Windowed("k", 0, 10): 3, Windowed("k", 4, 14): 2}
