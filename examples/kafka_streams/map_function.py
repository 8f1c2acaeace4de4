"""Upper-cases values, keys being raw bytes."""

from __future__ import annotations

from streamflow import App


def build() -> App:
    app = App("upper")
    app.stream("inputTopic", value=str).map_values(str.upper, value=str).to("outputTopic")
    return app


app = build()
