"""Sums numbers per day, a day starting at 18:00 in a given zone, with a window type of the application's own;
only final results come out.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from streamflow import App, custom_windows, serdes, until_window_closes

BEGINS = 18  # o'clock


def build(zone: str = "UTC") -> App:
    where = ZoneInfo(zone)

    def day(timestamp: int) -> list[tuple[int, int]]:
        local = datetime.fromtimestamp(timestamp / 1000, UTC).astimezone(where)
        start = local.replace(hour=BEGINS, minute=0, second=0, microsecond=0)
        if local.hour < BEGINS:
            start -= timedelta(days=1)
        end = start + timedelta(days=1)  # on the wall, so 23 or 25 hours when the clocks change
        return [(round(start.timestamp() * 1000), round(end.timestamp() * 1000))]

    app = App("daily")
    numbers = app.stream("inputTopic", key=serdes.int32, value=serdes.int32)
    by_day = numbers.select_key(lambda value: 1, key=serdes.int32).group_by_key()
    sums = by_day.windowed_by(custom_windows(day, grace="30m")).reduce(lambda a, b: a + b, name="sums")
    sums.suppress(until_window_closes(), name="final").to_stream().to("outputTopic")
    return app


app = build()
