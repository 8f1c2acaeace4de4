"""Sessions: who joins whom, what is said of it, when it is over."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamflow import App, Windowed, session, tumbling
from streamflow.errors import TopologyError
from streamflow.testing import TopologyTestDriver


def concatenating(emit: str = "on_update", grace: str = "0ms", **settings: Any) -> App:
    app = App("sessions", **settings)
    grouped = app.stream("in", key=str, value=str).group_by_key()
    how: Any = {"emit": emit, "name": "visits"}
    totals = grouped.windowed_by(session("10ms", grace=grace)).aggregate(
        lambda: "", lambda total, value: total + value, merge=lambda one, other: one + other, value=str, **how
    )
    totals.to_stream().to("out")
    return app


def answers(driver: TopologyTestDriver) -> list[Any]:
    return [
        (r.key.key, r.key.start, r.key.end, r.value, r.timestamp) for r in driver.output_topic("out").read_records()
    ]


@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
@pytest.mark.parametrize("crash", [False, True], ids=["", "crash"])
def test_a_record_between_two_sessions_makes_them_one(stores: Any, crash: bool) -> None:
    with TopologyTestDriver(concatenating(grace="100ms"), stores=stores) as driver:
        for value, time in (("a", 0), ("b", 20), ("c", 10)):
            driver.input_topic("in").pipe("k", value, time)
            if crash:
                driver.crash()

        assert answers(driver) == [
            ("k", 0, 0, "a", 0),
            ("k", 20, 20, "b", 20),
            ("k", 0, 0, None, 0),
            ("k", 20, 20, None, 20),
            ("k", 0, 20, "abc", 20),
        ]
        assert list(driver.store("visits").fetch("k")) == [(Windowed("k", 0, 20), "abc")]


def test_a_session_that_keeps_its_place_has_no_tombstone() -> None:
    with TopologyTestDriver(concatenating()) as driver:
        driver.input_topic("in").pipe_many([("k", "a", 0), ("k", "b", 10), ("k", "c", 5)])
        assert answers(driver) == [
            ("k", 0, 0, "a", 0),
            ("k", 0, 0, None, 0),
            ("k", 0, 10, "ab", 10),
            ("k", 0, 10, "abc", 10),
        ]


def test_a_record_further_away_than_the_gap_begins_a_session_of_its_own() -> None:
    with TopologyTestDriver(concatenating()) as driver:
        driver.input_topic("in").pipe_many([("k", "a", 0), ("k", "b", 11), ("j", "x", 11)])
        assert [answer[:4] for answer in answers(driver)] == [
            ("k", 0, 0, "a"),
            ("k", 11, 11, "b"),
            ("j", 11, 11, "x"),
        ]


def test_a_late_record_is_counted_unless_it_reaches_a_session_that_is_open() -> None:
    with TopologyTestDriver(concatenating()) as driver:
        driver.input_topic("in").pipe_many([("k", "a", 100), ("k", "late", 80), ("k", "near", 91), ("k", None, 100)])
        assert [answer[:4] for answer in answers(driver)] == [
            ("k", 100, 100, "a"),
            ("k", 100, 100, None),
            ("k", 91, 100, "anear"),
        ]
        assert driver.dropped_records == 2


def test_on_close_tells_each_session_once_by_its_end_also_after_a_jump_and_a_crash() -> None:
    with TopologyTestDriver(concatenating("on_close", "5ms")) as driver:
        pipe, out = driver.input_topic("in").pipe, driver.output_topic("out")

        def told() -> list[Any]:
            return [(r.key.key, r.key.start, r.key.end, r.value) for r in out.read_records()]

        for key, value, time in (("b", "1", 0), ("a", "2", 3), ("b", "3", 8), ("a", "4", 20), ("c", "5", 3)):
            pipe(key, value, time)
        driver.crash()
        assert told() == [("a", 3, 3, "2")]
        pipe("z", "jump", 1_000_000)
        assert told() == [("b", 0, 8, "13"), ("a", 20, 20, "4")]
        assert driver.dropped_records == 1  # c came when its session was over
        driver.crash()
        pipe("z", "again", 2_000_000)
        assert told() == [("z", 1_000_000, 1_000_000, "jump")]


def test_merging_asks_for_merge_and_other_windows_refuse_it() -> None:
    grouped = App("asks").stream("in", key=str, value=str).group_by_key()
    with pytest.raises(TopologyError, match="sessions that turn out to be one need merge="):
        grouped.windowed_by(session("1m")).aggregate(lambda: 0, lambda total, value: total + 1, value=int)
    with pytest.raises(TopologyError, match="merge= is for sessions"):
        grouped.windowed_by(tumbling("1m")).aggregate(
            lambda: 0, lambda total, value: total + 1, merge=lambda one, other: one + other, value=int, name="x"
        )


def sessions_of(times: list[tuple[int, int]], gap: int) -> list[tuple[int, int, int]]:
    """``(start, end, sum)`` of what is no further apart than ``gap``, from plain ``(time, value)``."""
    found: list[tuple[int, int, int]] = []
    for time, value in sorted(times):
        if found and time - found[-1][1] <= gap:
            start, _, total = found.pop()
            found.append((start, time, total + value))
        else:
            found.append((time, time, value))
    return found


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
def test_any_order_ends_in_the_sessions_that_the_times_say(stores: Any, partitions: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    app = App("random-sessions")
    grouped = app.stream("in", key=str, value=int).group_by_key()
    sums = grouped.windowed_by(session("10ms", grace="1h")).reduce(lambda total, n: total + n, name="sums")
    sums.to_stream().to("out")
    records = [(chance.choice("ab\x00c"), chance.randrange(100), chance.randrange(600)) for _ in range(150)]
    with TopologyTestDriver(app, partitions=partitions, stores=stores, commit="manual") as driver:
        for record in records:
            driver.input_topic("in").pipe(*record)
            if chance.random() < 0.1:
                driver.commit() if chance.random() < 0.5 else driver.crash()
        driver.commit()
        table = driver.output_topic("out").read_table()
        store = driver.store("sums")
        for key in {key for key, _, _ in records}:
            wanted = sessions_of([(time, n) for k, n, time in records if k == key], 10)
            assert [(w.start, w.end, total) for w, total in store.fetch(key)] == wanted
            live = sorted((w.start, w.end, total) for w, total in table.items() if w.key == key and total is not None)
            assert live == wanted
