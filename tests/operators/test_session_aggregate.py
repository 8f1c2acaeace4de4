"""Sessions: who joins whom, what is said of it, when it is over."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamflow import App, Windowed, session, tumbling, until_window_closes
from streamflow.errors import TopologyError
from streamflow.testing import TopologyTestDriver
from tests.log.support import seeded


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


@pytest.mark.parametrize("retention", [None, "1h"])
@pytest.mark.parametrize("way", ["on_close", "suppress"])
def test_no_record_is_in_two_final_sessions_however_late_it_comes(way: str, retention: Any) -> None:
    """A record that is later than the grace may reach a session that is closed already and one that is not."""
    choice = seeded()
    app = App("sessions")
    grouped = app.stream("in", key=str, value=str).group_by_key().windowed_by(session("10ms", grace="5ms"))
    if way == "on_close":
        final = grouped.count(emit="on_close", retention=retention, name="visits")
    else:
        counts = grouped.count(retention=retention, name="visits").filter(lambda count: count > 0)
        final = counts.suppress(until_window_closes(), name="last")
    final.to_stream().to("out")
    with TopologyTestDriver(app, stores=choice.choice(["memory", "rocksdb"])) as driver:
        for n in range(400):
            driver.input_topic("in").pipe(choice.choice("abc"), "", max(0, n * 3 + choice.randint(-60, 5)))
            if choice.random() < 0.05:
                driver.crash()
        driver.input_topic("in").pipe("z", "", 10_000)
        found = driver.output_topic("out").read_records()
        assert all(r.value is not None for r in found)
        assert sum(r.value for r in found) == 400 - driver.dropped_records
        assert len(found) > 50
        assert driver.dropped_records > 20


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


@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
def test_a_key_that_begins_like_another_has_sessions_of_its_own(stores: Any) -> None:
    """Keys lie in the store with their times behind them: a NUL must not look like a time."""
    with TopologyTestDriver(concatenating("on_update"), stores=stores) as driver:
        for key, value, time in (("a\x00", "1", 0), ("a", "2", 0), ("a\x00\x00", "3", 0), ("a", "4", 1)):
            driver.input_topic("in").pipe(key, value, time)
            driver.crash()
        last = driver.output_topic("out").read_table()
        assert {key.key: value for key, value in last.items() if value} == {"a\x00": "1", "a\x00\x00": "3", "a": "24"}
        found = [value for _, value in driver.store("visits").fetch("a")]
        assert found == ["24"]
