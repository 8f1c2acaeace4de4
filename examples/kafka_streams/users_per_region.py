"""Counts users per region from a table of the users' current regions."""

from __future__ import annotations

from streamflow import App


def build() -> App:
    app = App("regions")
    users = app.table("input-topic", key=str, value=str)
    users.group_by(lambda region: (region, region), key=str, value=str).count(name="n").to_stream().to("output-topic")
    return app


app = build()
