"""Gives keys to records that come from a source without any."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class City:
    city_id: int
    name: str
    state: str


def build() -> App:
    app = App("add-key")
    app.stream("cities", key=str, value=City).select_key(lambda city: city.city_id, key=int).to("cities_keyed")
    return app


app = build()
