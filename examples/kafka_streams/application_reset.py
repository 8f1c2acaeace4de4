"""Counts lines by first word; after a reset of the application the same input gives the same output again."""

from __future__ import annotations

from streamflow import App


def build() -> App:
    app = App("reset")
    lines = app.stream("my-input-topic", key=str, value=str)
    first_words = lines.select_key(lambda line: line.split(" ")[0], key=str)
    first_words.group_by_key().count(name="count").to_stream().to("my-output-topic")
    return app


app = build()
