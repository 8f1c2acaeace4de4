"""Passes on well-formed sport events and sends records whose processing raises to a dead-letter topic."""

from __future__ import annotations

import json

from streamflow import App


def build() -> App:
    def checked(text: str) -> str:
        event = json.loads(text)
        if not isinstance(event["sport"], str) or event.get("ball") is None:
            raise ValueError("no ball")
        return text

    app = App("sports", on_process_error="dead_letter", dead_letter_topic="dlq-topic")
    app.stream("input", key=str, value=str).map_values(checked).to("output")
    return app


app = build()
