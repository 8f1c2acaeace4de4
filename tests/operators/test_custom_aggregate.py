"""Windows of a user's own: calendar days in a zone with daylight saving, and the one that never ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streamflow import App, Windowed, custom_windows, unlimited
from streamflow.errors import RecordError, TopologyError
from streamflow.testing import TopologyTestDriver
from streamflow.windows import FOREVER

OSLO = ZoneInfo("Europe/Oslo")
HOUR = 3_600_000


def millis(*date: int) -> int:
    return round(datetime(*date, tzinfo=OSLO).timestamp() * 1000)  # type: ignore[arg-type]


def day(timestamp: int) -> list[tuple[int, int]]:
    """The calendar day of a time in Oslo: 23, 24 or 25 hours."""
    begin = datetime.fromtimestamp(timestamp / 1000, OSLO).replace(hour=0, minute=0, second=0, microsecond=0)
    following = datetime.combine(begin.date() + timedelta(days=1), begin.time(), OSLO)
    return [(round(begin.timestamp() * 1000), round(following.timestamp() * 1000))]


def days(emit: str = "on_update", grace: str = "0ms") -> App:
    app = App("days")
    grouped = app.stream("in", key=str, value=str).group_by_key()
    how: Any = {"emit": emit, "name": "days"}
    grouped.windowed_by(custom_windows(day, grace=grace)).count(**how).to_stream().to("out")
    return app


def test_the_longest_day_tells_how_long_days_are_kept() -> None:
    assert custom_windows(day).size_ms == 25 * HOUR


@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
@pytest.mark.parametrize(
    ("date", "hours"), [((2024, 3, 31), 23), ((2024, 10, 27), 25), ((2024, 6, 1), 24)], ids=["spring", "autumn", "june"]
)
def test_a_calendar_day_is_as_long_as_it_is(stores: Any, date: tuple[int, ...], hours: int) -> None:
    begin, end = day(millis(*date))[0]
    assert end - begin == hours * HOUR
    with TopologyTestDriver(days(), stores=stores) as driver:
        pipe = driver.input_topic("in").pipe
        pipe("k", "x", begin)
        driver.crash()
        pipe("k", "x", end - 1)
        assert next((key.start, key.end) for key, _ in driver.store("days").all()) == (begin, end)
        pipe("k", "x", end)

        found = driver.output_topic("out").read_key_values()
        assert [(key.start, key.end, n) for key, n in found[:2]] == [(begin, end, 1), (begin, end, 2)]
        assert found[2][0].start == end


def test_days_close_once_each_by_start_and_key_and_across_a_crash() -> None:
    with TopologyTestDriver(days("on_close", "1h")) as driver:
        pipe, out = driver.input_topic("in").pipe, driver.output_topic("out")
        for date in ((2024, 3, 30, 12), (2024, 3, 31, 12)):
            for key in ("b", "a"):
                pipe(key, "x", millis(*date))
        driver.crash()
        assert [(key.key, key.end) for key, _ in out.read_key_values()] == [
            ("a", millis(2024, 3, 31)), ("b", millis(2024, 3, 31)),
        ]  # fmt: skip
        pipe("z", "x", millis(2024, 7, 1))
        assert [(key.key, key.start) for key, _ in out.read_key_values()] == [
            ("a", millis(2024, 3, 31)), ("b", millis(2024, 3, 31)),
        ]  # fmt: skip


def test_a_late_record_of_a_day_that_is_over_is_counted() -> None:
    with TopologyTestDriver(days()) as driver:
        driver.input_topic("in").pipe_many([("k", "x", millis(2024, 4, 2)), ("k", "x", millis(2024, 4, 1, 23, 59))])
        assert len(driver.output_topic("out").read_records()) == 1
        assert driver.dropped_records == 1


def test_one_window_without_an_end_takes_all_from_its_start_on() -> None:
    app = App("ever")
    grouped = app.stream("in", key=str, value=str).group_by_key()
    grouped.windowed_by(unlimited(100)).count(name="ever").to_stream().to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("in").pipe_many([("k", "x", 99), ("k", "x", 100), ("k", "x", 1 << 50), ("k", "x", 101)])
        found = driver.output_topic("out").read_key_values()
    assert found == [(Windowed("k", 100, FOREVER), n) for n in (1, 2, 3)]


def test_windows_that_are_none_are_refused_where_they_show() -> None:
    with pytest.raises(TopologyError, match=r"assign gives no window, or an empty one"):
        custom_windows(lambda time: [])
    with pytest.raises(TopologyError, match=r"assign raised ZeroDivisionError"):
        custom_windows(lambda time: [(1 // 0, 1)])
    app = App("wrong")
    wrong = custom_windows(lambda time: [(time + 1, time + 5)], size="10ms")
    app.stream("in", key=str, value=str).group_by_key().windowed_by(wrong).count(name="wrong")
    with TopologyTestDriver(app) as driver, pytest.raises(RecordError, match=r"5 was assigned to \[6, 10\)"):
        driver.input_topic("in").pipe("k", "x", 5)
