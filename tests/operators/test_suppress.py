"""Suppressed tables: what goes on, when, in which order, and what a crash leaves."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App, Windowed, session, sliding, tumbling, until_time_limit, until_window_closes
from streamflow.errors import RecordError, TopologyError
from streamflow.testing import TopologyTestDriver
from tests.log.support import seeded

STORES = ("memory", "rocksdb")


def limited(limit: str, **how: Any) -> App:
    app = App("app")
    table = app.table("in", key=str, value=str)
    table.suppress(until_time_limit(limit), name="held", **how).to_stream().to("out")
    return app


def final_counts(window: Any, **how: Any) -> App:
    app = App("app")
    windows = app.stream("in", key=str, value=str).group_by_key().windowed_by(window).count(name="counts")
    windows.suppress(until_window_closes(), name="final", **how).to_stream().to("out")
    return app


def rows(driver: TopologyTestDriver, steps: list[tuple[Any, ...]]) -> list[tuple[Any, Any, int]]:
    """What comes out after these steps."""
    before = len(driver.output_topic("out").read_records())
    driver.input_topic("in").pipe_many(steps)
    return [(r.key, r.value, r.timestamp) for r in driver.output_topic("out").read_records()[before:]]


@pytest.mark.parametrize("stores", STORES)
def test_the_last_update_of_a_time_limit_goes_on_at_the_place_of_the_first(stores: Any) -> None:
    with TopologyTestDriver(limited("10ms"), stores=stores) as driver:
        found = rows(driver, [("b", "1", 0), ("a", "1", 1), ("b", "2", 9), ("tick", "", 11)])
    assert found == [("b", "2", 9), ("a", "1", 1)]


def test_rows_of_one_time_come_out_by_their_keys() -> None:
    with TopologyTestDriver(limited("5ms")) as driver:
        assert rows(driver, [("b", "1", 0), ("a", "1", 0), ("tick", "", 5)]) == [("a", "1", 0), ("b", "1", 0)]


def test_a_deleted_row_goes_on_as_a_tombstone_under_a_time_limit() -> None:
    with TopologyTestDriver(limited("5ms")) as driver:
        assert rows(driver, [("a", "1", 0), ("a", None, 1), ("tick", "", 5)]) == [("a", None, 1)]


@pytest.mark.parametrize("stores", STORES)
def test_waiting_rows_and_time_outlive_a_crash(stores: Any) -> None:
    with TopologyTestDriver(limited("10ms"), stores=stores) as driver:
        assert rows(driver, [("a", "1", 0), ("b", "1", 9)]) == []
        driver.crash()
        assert rows(driver, [("a", "2", 3)]) == []
        driver.crash()
        assert rows(driver, [("tick", "", 10)]) == [("a", "2", 3)]


def test_waiting_rows_are_rebuilt_from_their_changelog_alone() -> None:
    with TopologyTestDriver(limited("10ms")) as driver:
        rows(driver, [("a", "1", 0), ("b", "1", 1)])
        driver._bases.clear()
        driver.crash()
        assert rows(driver, [("tick", "", 11)]) == [("a", "1", 0), ("b", "1", 1)]
        assert "app-held-changelog" in driver.produced_topics


def test_rows_carry_the_headers_of_their_last_update() -> None:
    with TopologyTestDriver(limited("5ms")) as driver:
        out, table = driver.output_topic("out"), driver.input_topic("in")
        table.pipe("a", "1", 0, [("n", b"1")])
        table.pipe("a", "2", 1, [("n", b"2")])
        driver.crash()
        table.pipe("tick", "", 5)
        (record,) = out.read_records()
    assert list(record.headers) == [("n", b"2")]


def test_a_full_buffer_lets_the_oldest_rows_out_early() -> None:
    with TopologyTestDriver(limited("1h", max_records=2)) as driver:
        found = rows(driver, [("c", "1", 5), ("b", "1", 3), ("a", "1", 4), ("d", "1", 6)])
    assert found == [("b", "1", 3), ("a", "1", 4)]


def test_a_buffer_may_be_bounded_in_bytes() -> None:
    with TopologyTestDriver(limited("1h", max_bytes=100)) as driver:
        assert rows(driver, [("a", "1" * 40, 0)]) == []
        assert rows(driver, [("b", "2" * 40, 1)]) == [("a", "1" * 40, 0)]
        assert rows(driver, [("b", "", 2), ("c", "3" * 40, 3)]) == []


def test_a_full_buffer_may_stop_the_application_and_says_what_to_do() -> None:
    with (
        TopologyTestDriver(limited("1h", max_records=1, when_full="fail")) as driver,
        pytest.raises(RecordError, match=r"'held'.*the buffer is full with 2 rows.*allow more"),
    ):
        rows(driver, [("a", "1", 0), ("b", "1", 1)])


def test_a_group_is_told_what_the_row_was_when_it_was_told_last() -> None:
    app = App("app")
    held = app.table("in", key=str, value=int).suppress(until_time_limit("10ms"), name="held")
    sums = held.group_by(lambda key, value: ("all", value), key=str, value=int)
    sums.reduce(lambda a, b: a + b, lambda a, b: a - b, name="sum").to_stream().to("out")
    with TopologyTestDriver(app) as driver:
        rows(driver, [("a", 1, 0), ("a", 2, 1), ("t", 0, 10)])
        found = rows(driver, [("a", 3, 11), ("a", 5, 12), ("t", 0, 40)])
    assert found[-1][:2] == ("all", 5)


@pytest.mark.parametrize("stores", STORES)
def test_a_window_has_one_final_row_when_its_grace_is_over(stores: Any) -> None:
    with TopologyTestDriver(final_counts(tumbling("10ms", grace="5ms")), stores=stores) as driver:
        assert rows(driver, [("a", "", 0), ("b", "", 9), ("a", "", 14), ("a", "", 3)]) == []
        driver.crash()
        assert rows(driver, [("a", "", 15)]) == [(Windowed("a", 0, 10), 2, 3), (Windowed("b", 0, 10), 1, 9)]
        assert rows(driver, [("a", "", 2), ("a", "", 25)]) == [(Windowed("a", 10, 20), 2, 15)]
        assert driver.dropped_records == 1


@pytest.mark.parametrize(("window", "over"), [(session("5ms", grace="2ms"), 8), (sliding("5ms", grace="2ms"), 3)])
def test_a_window_with_both_ends_is_final_only_when_no_record_can_enter(window: Any, over: int) -> None:
    with TopologyTestDriver(final_counts(window)) as driver:
        assert rows(driver, [("a", "", 100), ("b", "", 100 + over - 1), ("a", "", 100)]) == []
        first, *_ = rows(driver, [("b", "", 100 + over)])
    assert (first[0].key, first[0].end, first[1]) == ("a", 100, 2)


def test_suppressed_windows_are_those_of_emit_on_close() -> None:
    """Whatever the order of the records and wherever the crashes: the two ways to final rows agree."""
    choice = seeded()
    app = App("app")
    windows = app.stream("in", key=str, value=str).group_by_key().windowed_by(tumbling("10ms", grace="7ms"))
    windows.count(name="closed", emit="on_close").to_stream().to("closed-out")
    windows.count(name="counts").suppress(until_window_closes(), name="final").to_stream().to("final-out")
    with TopologyTestDriver(app, stores=choice.choice(STORES)) as driver:
        closed, final = driver.output_topic("closed-out"), driver.output_topic("final-out")
        for n in range(200):
            driver.input_topic("in").pipe(choice.choice("abc"), "", max(0, n + choice.randint(-15, 5)))
            if choice.random() < 0.1:
                driver.crash()
        driver.input_topic("in").pipe("z", "", 10_000)
        one = [(r.key, r.value, r.timestamp) for r in closed.read_records()]
        other = [(r.key, r.value, r.timestamp) for r in final.read_records()]
    assert sorted(one) == sorted(other)
    assert len(one) > 20


def test_a_row_that_fails_when_it_comes_out_is_left_out_alone() -> None:
    app = App("app", on_process_error="skip")
    held = app.table("in", key=str, value=str).suppress(until_time_limit("5ms"), name="held")
    held.to_stream().map_values(lambda value: "x" if value == "1" else 1 / 0, value=str).to("out")
    with TopologyTestDriver(app) as driver:
        assert rows(driver, [("a", "bad", 0), ("b", "1", 1), ("tick", "1", 5)]) == []
        assert driver.dropped_records == 1
        assert rows(driver, [("a", "1", 6)]) == [("b", "x", 1)]
        driver.crash()
        assert rows(driver, [("c", "1", 11)]) == [("tick", "x", 5), ("a", "x", 6)]
        assert driver.dropped_records == 1


def test_a_row_that_goes_and_comes_back_has_one_final_row() -> None:
    """A count that a filter hides when it is even: half of its updates delete the row, and the last one counts."""
    app = App("app")
    windows = app.stream("in", key=str, value=str).group_by_key().windowed_by(tumbling("10ms")).count(name="counts")
    odd = windows.filter(lambda count: count % 2 == 1)
    odd.suppress(until_window_closes(), name="final").to_stream().to("out")
    with TopologyTestDriver(app) as driver:
        found = rows(driver, [("a", "", n % 10) for n in range(101)] + [("b", "", 5), ("b", "", 6), ("tick", "", 30)])
        assert [(key.key, value) for key, value, _ in found] == [("a", 101)]
        assert [key for key, _ in driver.store("final").all()] == [Windowed("tick", 30, 40)]


class Plainly:
    """What a time limit, and a bound of rows, mean: all rows in a dict, sorted anew at each change."""

    def __init__(self, limit: int, most: int) -> None:
        self.limit, self.most, self.now, self.dropped = limit, most, 0, 0
        self.waiting: dict[str, tuple[int, str | None, int]] = {}
        self.said: list[tuple[str, str | None, int]] = []

    def change(self, key: str, value: str | None, time: int) -> None:
        now, waiting = max(self.now, time), dict(self.waiting)
        waiting[key] = (waiting[key][0] if key in waiting else time, value, time)
        out: list[tuple[str, str | None, int]] = []
        for row in sorted(waiting, key=lambda row: (waiting[row][0], row)):
            if waiting[row][0] <= now - self.limit or len(waiting) > self.most:
                _, newest, stamp = waiting.pop(row)
                out.append((row, newest, stamp))
        self.now, self.waiting = now, waiting
        self.dropped += sum(newest == "bad" for _, newest, _ in out)
        self.said += (row for row in out if row[1] != "bad")


@pytest.mark.parametrize("most", [3, 100])
def test_rows_come_out_as_the_plain_definition_says_though_records_fail_and_workers_die(most: int) -> None:
    choice = seeded()
    app = App("app", on_process_error="skip")
    held = app.table("in", key=str, value=str).suppress(until_time_limit("20ms"), max_records=most, name="held")

    def check(value: str | None) -> str | None:
        if value == "bad":
            raise ValueError(value)
        return value

    held.to_stream().map_values(check, value=str).to("out")
    plain = Plainly(20, most)
    with TopologyTestDriver(app, stores=choice.choice(STORES)) as driver:
        for n in range(600):
            value = choice.choice(["x", "y", None, "bad"] if choice.random() < 0.2 else ["x", "y", "z"])
            step = (choice.choice("abcdef"), value, max(0, n + choice.randint(-15, 15)))
            driver.input_topic("in").pipe(*step)
            plain.change(*step)
            if choice.random() < 0.05:
                driver.crash()
        found = [(r.key, r.value, r.timestamp) for r in driver.output_topic("out").read_records()]
        assert found == plain.said
        assert driver.dropped_records == plain.dropped
        assert len(found) > 50


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda table: table.suppress("10s"), r"takes until_window_closes\(\) or until_time_limit"),
        (lambda table: table.suppress(until_window_closes()), "needs a table with windows"),
        (lambda table: table.suppress(until_time_limit("1s"), when_full="drop"), "write 'emit' or 'fail'"),
        (lambda table: table.suppress(until_time_limit("1s"), max_records=-1), "whole number of 0 or more"),
    ],
)
def test_what_cannot_be_suppressed_is_refused_when_it_is_declared(declare: Any, says: str) -> None:
    with pytest.raises(TopologyError, match=says):
        declare(App("app").table("in", key=str, value=str))


def test_a_bound_that_would_make_rows_final_too_early_is_refused() -> None:
    with pytest.raises(TopologyError, match="would not be final"):
        final_counts(tumbling("1s"), max_records=5)
