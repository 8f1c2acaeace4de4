"""Counts pressure alerts per sensor in ten-second windows and publishes only the final count of each window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from streamflow import App, serdes, tumbling


@dataclass
class PressureAlert:
    id: str
    dateTime: str
    pressure: int


def alert_time(alert: PressureAlert) -> datetime | None:
    """When it happened, or None for a text that is no time: the record is dropped then."""
    try:
        return datetime.strptime(alert.dateTime, "%Y-%m-%dT%H:%M:%S.%z")
    except ValueError:
        return None


def build() -> App:
    app = App("pressure")
    alerts = app.stream("final-result-input", key=str, value=PressureAlert, timestamp=alert_time)
    windows = (
        alerts.select_key(lambda alert: alert.id, key=str).group_by_key().windowed_by(tumbling("10s", grace="20s"))
    )
    counts = windows.count(emit="on_close", name="alerts").to_stream()
    counts.map_values(lambda count: count, value=serdes.int32).to("final-result-output")
    return app


app = build()
