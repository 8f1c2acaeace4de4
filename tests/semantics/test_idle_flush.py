"""While the input is silent time goes on by the clock, where the application wants it: what is held back comes out."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App, Windowed, session, sliding, tumbling, until_time_limit, until_window_closes
from streamflow.errors import ConfigError
from streamflow.testing import TopologyTestDriver


def rows(driver: TopologyTestDriver) -> list[tuple[Any, Any, int]]:
    return [(r.key, r.value, r.timestamp) for r in driver.output_topic("out").read_records()]


def closing(window: Any, idle_flush: str | None = "5s") -> App:
    app = App("app", idle_flush=idle_flush)
    grouped = app.stream("in", key=str, value=str).group_by_key().windowed_by(window)
    grouped.count(name="n", emit="on_close").to_stream().to("out")
    return app


@pytest.mark.parametrize(
    "window", [tumbling("10s"), session("8s"), sliding("8s")], ids=["tumbling", "session", "sliding"]
)
def test_a_window_closes_when_its_time_has_passed_in_silence(window: Any) -> None:
    with TopologyTestDriver(closing(window), wall_clock=1_000_000) as driver:
        driver.input_topic("in").pipe("a", "x", 3_000)
        driver.advance_wall_clock("4s")
        assert rows(driver) == []
        driver.advance_wall_clock("16s")
        assert [(key.key, value) for key, value, _ in rows(driver)][:1] == [("a", 1)]
        told = len(rows(driver))
        driver.crash()
        driver.advance_wall_clock("1h")
        assert len(rows(driver)) in (told, told + 1)  # a sliding window that begins behind the record comes later
        driver.input_topic("in").pipe("a", "x", 3_000)  # its window was closed meanwhile
        assert driver.dropped_records >= 1


def test_nothing_moves_unless_it_is_wished_for() -> None:
    with TopologyTestDriver(closing(tumbling("10s"), None)) as driver:
        driver.input_topic("in").pipe("a", "x", 3_000)
        driver.advance_wall_clock("1h")
        assert rows(driver) == []


def test_unmatched_rows_and_suppressed_ones_come_out_too() -> None:
    app = App("app", idle_flush="1s")
    left, right = app.stream("left", key=str, value=str), app.stream("right", key=str, value=str)
    left.left_join(right, lambda a, b: f"{a}{b}", within="2s", value=str, name="met").to("out")
    table = app.table("table", key=str, value=str)
    table.suppress(until_time_limit("3s"), name="held").to_stream().to("out-held")
    windows = app.stream("other", key=str, value=str).group_by_key().windowed_by(tumbling("2s")).count(name="n")
    windows.suppress(until_window_closes(), name="final").to_stream().to("out-final")
    with TopologyTestDriver(app, stores="rocksdb") as driver:
        driver.input_topic("left").pipe("a", "x", 100)
        driver.input_topic("table").pipe("k", "v", 100)
        driver.input_topic("other").pipe("w", "", 100)
        driver.advance_wall_clock("2s")
        assert rows(driver) == []
        driver.advance_wall_clock("2s")
        assert rows(driver) == [("a", "xNone", 100)]
        assert driver.output_topic("out-held").read_key_values() == [("k", "v")]
        assert driver.output_topic("out-final").read_key_values() == [(Windowed("w", 0, 2_000), 1)]


def test_no_time_is_refused() -> None:
    with pytest.raises(ConfigError, match="idle_flush is '0s'; it must be at least 1 ms"):
        App("app", idle_flush="0s")
