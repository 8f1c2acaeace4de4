"""Joins two tables into a named store that can be queried."""

from __future__ import annotations

from streamflow import App


def build() -> App:
    app = App("region-and-login")
    regions = app.table("user-region-topic", key=str, value=str)
    logins = app.table("user-last-login-topic", key=str, value=int)
    joined = regions.join(logins, lambda region, login: f"{region}/{login}", value=str, store="joined-store")
    joined.to_stream().to("output-topic")
    return app


app = build()
