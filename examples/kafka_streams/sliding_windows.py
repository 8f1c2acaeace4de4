"""Averages the temperature of a device over sliding windows."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from streamflow import App, Windowed, sliding


@dataclass
class Reading:
    temp: float
    timestamp: int
    device_id: str


@dataclass
class Readings:
    total: float = 0.0
    num_readings: int = 0


def add(readings: Readings, reading: Reading) -> Readings:
    return Readings(readings.total + reading.temp, readings.num_readings + 1)


def average(key: Windowed[str], readings: Readings) -> tuple[str, float]:
    exact = Decimal(readings.total / readings.num_readings)
    return key.key, float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


def build() -> App:
    app = App("temperatures")
    readings = app.stream("temp-readings", key=str, value=Reading, timestamp=lambda reading: reading.timestamp)
    windows = readings.group_by_key().windowed_by(sliding("500ms", grace="100ms"))
    windows.aggregate(Readings, add, name="averages").to_stream().map(average, key=str, value=float).to("output-topic")
    return app


app = build()
