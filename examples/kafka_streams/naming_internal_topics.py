"""Shows that generated store and repartition names move when a step is inserted, and that names given by the
user do not.
"""

from __future__ import annotations

from typing import Any

from streamflow import App


def build(*, add_filter: bool = False, add_names: bool = True, style: Any = "stable") -> App:
    app = App("naming", naming=style)
    stream = app.stream("input-topic", key=int, value=str).select_key(lambda value: int(value[0]), key=int)
    if add_filter:
        stream = stream.filter(lambda key, value: key != 100)
    grouped = stream.group_by_key(name="count" if add_names else None)
    counts = grouped.count(store="the-counting-store" if add_names else None).to_stream()
    counts.map(lambda key, count: (str(key), str(count)), key=str, value=str).to("output-topic")
    return app


app = build()
