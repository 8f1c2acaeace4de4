"""Reads one topic as a stream and as a table made from a stream, and publishes both."""

from __future__ import annotations

from streamflow import App


def build() -> App:
    app = App("both")
    app.stream("input-topic", key=str, value=str).to("streams-output-topic")
    app.stream("input-topic", key=str, value=str).to_table(name="table").to_stream().to("table-output-topic")
    return app


app = build()
