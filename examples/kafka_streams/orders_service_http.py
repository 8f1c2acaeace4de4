"""REST front of an order system: POST writes an event, GET answers from a materialised view and waits for the
row when it is not there yet, on whichever instance holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow import App


@dataclass
class Purchase:
    id: str
    customerId: int
    state: str
    product: str | None
    quantity: int
    price: float


def build() -> App:
    seen: list[Any] = []
    app = App("orders")
    table = app.table("orders", key=str, value=Purchase, store="orders-store")
    table.to_stream().foreach(lambda key, order: seen.append((key, order)))
    app.seen = seen  # type: ignore[attr-defined]
    return app


app = build()
