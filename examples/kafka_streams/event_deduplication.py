"""Drops events whose id was seen within ten minutes, by record time."""

from __future__ import annotations

from streamflow import App


def build() -> App:
    app = App("deduplication")
    events = app.stream("inputTopic", value=str)
    events.deduplicate(by=lambda event_id: event_id, within="5m", name="eventId-store").to("outputTopic")
    return app


app = build()
