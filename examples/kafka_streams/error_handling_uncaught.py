"""A mapper that raises on certain calls, plus an uncaught-exception handler that replaces the worker until
failures come too fast.
"""

from __future__ import annotations

from streamflow import App


def build() -> App:
    calls = 0

    def sometimes(text: str) -> str:
        nonlocal calls
        calls += 1
        if calls in (2, 8, 15):
            raise RuntimeError("it went wrong")
        return text.upper()

    app = App("uncaught")
    app.stream("input_topic", key=str, value=str).map_values(sometimes).to("output_topic")
    return app


app = build()
