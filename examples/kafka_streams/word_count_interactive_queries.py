"""Word count in a key-value store and in a window store, queried over HTTP: all, range, one key with its host,
and a windowed fetch.
"""

from __future__ import annotations

import re

from streamflow import App, tumbling


def build() -> App:
    app = App("words")
    lines = app.stream("TextLinesTopic", key=str, value=str)
    words = lines.flat_map_values(lambda line: re.split(r"\W+", line.lower(), flags=re.ASCII), value=str)
    grouped = words.group_by(lambda word: word, key=str)
    grouped.count(store="word-count")
    grouped.windowed_by(tumbling("1m")).count(store="windowed-word-count")
    return app


app = build()
