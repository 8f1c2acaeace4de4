"""Counts the clicks of an address per session and publishes a sentence about every session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from streamflow import App, Windowed, session


@dataclass
class Click:
    ip: str
    timestamp: int
    url: str


def clock(timestamp: int) -> str:
    time = datetime.fromtimestamp(timestamp / 1000, UTC)
    return f"{time:%I:%M:%S %p} UTC".removeprefix("0")


def clicked_at(click: Click) -> int:
    return click.timestamp


def told(key: Windowed[str], count: int | None) -> tuple[str, str]:
    return key.key, f"Session info started: {clock(key.start)} ended: {clock(key.end)} with count {count}"


def build(*, by_own_time: bool = True) -> App:
    app = App("sessions")
    clicks = app.stream("clicks", key=str, value=Click, timestamp=clicked_at if by_own_time else None)
    counts = clicks.group_by_key().windowed_by(session("5m", grace="30s")).count(name="visits")
    counts.to_stream().map(told, key=str, value=str).to("sessions")
    return app


app = build()
