"""Copies a topic."""

from __future__ import annotations

from streamflow import App


def build() -> App:
    app = App("copy")
    app.stream("inputTopic", key=str, value=str).to("outputTopic")
    return app


app = build()
