"""Rows that wait fail for their own sake: the record that lets them out is not to blame, and nothing behind them is held up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow import App, custom_windows, session, sliding, tumbling, until_window_closes
from streamflow.errors import StreamflowError
from streamflow.settings import Policy
from streamflow.testing import TopologyTestDriver

Steps = list[tuple[str, str, str, int]]
"""``(topic, key, value, timestamp)``"""


def check(value: Any) -> str:
    """A user's function that knows no 1."""
    if value in (1, "bad+None", "bad+row"):
        raise ValueError(f"no {value} here")
    return str(value)


def closing(window: Any) -> Callable[[Policy], App]:
    def declare(policy: Policy) -> App:
        app = App("app", on_process_error=policy)
        grouped = app.stream("in", key=str, value=str).group_by_key()
        counts = grouped.windowed_by(window).count(name="counts", emit="on_close")
        counts.to_stream().map_values(check, value=str).to("out")
        return app

    return declare


def suppressed(policy: Policy) -> App:
    app = App("app", on_process_error=policy)
    counts = app.stream("in", key=str, value=str).group_by_key().windowed_by(tumbling("10ms")).count(name="counts")
    final = counts.suppress(until_window_closes(), name="final")
    final.to_stream().map_values(check, value=str).to("out")
    return app


def unmatched(policy: Policy) -> App:
    app = App("app", on_process_error=policy)
    left, right = app.stream("in", key=str, value=str), app.stream("right", key=str, value=str)
    left.left_join(right, lambda a, b: check(f"{a}+{b}"), value=str, within="10ms", name="both").to("out")
    return app


def late_rows(policy: Policy) -> App:
    app = App("app", on_process_error=policy)
    table = app.table("right", key=str, value=str, name="table", history="1h")
    left = app.stream("in", key=str, value=str)
    left.left_join(table, lambda a, b: check(f"{a}+{b}"), value=str, grace="10ms", name="both").to("out")
    return app


ONE_AND_TWO: Steps = [("in", "a", "", 0), ("in", "b", "", 1), ("in", "b", "", 2), ("in", "tick", "", 100)]
BAD_AND_GOOD: Steps = [("in", "a", "bad", 0), ("in", "b", "good", 1), ("in", "tick", "", 100)]

CASES = [
    pytest.param(closing(tumbling("10ms")), ONE_AND_TWO, ["2"], id="tumbling windows"),
    pytest.param(closing(session("10ms")), ONE_AND_TWO, ["2"], id="sessions"),
    pytest.param(closing(sliding("10ms")), ONE_AND_TWO, ["2"], id="sliding windows"),
    pytest.param(closing(custom_windows(lambda at: [(at // 10 * 10, at // 10 * 10 + 10)], size="10ms")), ONE_AND_TWO,
                 ["2"], id="windows of one's own"),
    pytest.param(suppressed, ONE_AND_TWO, ["2"], id="suppressed windows"),
    pytest.param(unmatched, BAD_AND_GOOD, ["good+None"], id="unmatched rows"),
    pytest.param(late_rows, BAD_AND_GOOD, ["good+None"], id="rows that wait for a table"),
]  # fmt: skip


@pytest.mark.parametrize(("declare", "steps", "said"), CASES)
def test_under_skip_a_row_that_waited_and_fails_is_left_out_alone(declare: Any, steps: Steps, said: list[str]) -> None:
    with TopologyTestDriver(declare("skip")) as driver:
        for topic, *record in steps:
            driver.input_topic(topic).pipe(*record)
        assert [record.value for record in driver.output_topic("out").read_records()][: len(said)] == said
        assert driver.dropped_records >= 1
        dropped = driver.dropped_records
        driver.crash()
        driver.input_topic("in").pipe("later", "", 150)
        assert driver.dropped_records - dropped <= 1  # the row of "tick" itself, and no old one once more


@pytest.mark.parametrize(("declare", "steps", "said"), CASES)
@pytest.mark.parametrize("policy", ["fail", "dead_letter"])
def test_otherwise_it_stops_the_task_for_no_dead_letter_could_hold_it(
    policy: Any, declare: Any, steps: Steps, said: list[str]
) -> None:
    with TopologyTestDriver(declare(policy)) as driver, pytest.raises(StreamflowError, match=r"no .* here") as failed:
        for topic, *record in steps:
            driver.input_topic(topic).pipe(*record)
    if policy == "dead_letter":
        assert "a row that had waited made step" in str(failed.value)
        assert "set on_process_error to 'skip'" in str(failed.value)
