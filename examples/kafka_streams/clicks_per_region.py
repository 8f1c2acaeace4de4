"""Sums clicks per region by joining clicks with the users' regions."""

from __future__ import annotations

from streamflow import App


def build() -> App:
    app = App("clicks")
    regions = app.table("user-regions", key=str, value=str)
    clicks = app.stream("user-clicks", key=str, value=int)
    per_region = (
        clicks.left_join(regions, lambda clicks, region: (region or "UNKNOWN", clicks), value=tuple[str, int])
        .map(lambda pair: pair, key=str, value=int)
        .group_by_key()
        .reduce(lambda a, b: a + b, name="clicks-per-region")
    )
    per_region.to_stream().to("output-topic")
    return app


app = build()
