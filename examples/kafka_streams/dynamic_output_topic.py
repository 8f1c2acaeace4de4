"""Turns orders into completed orders and picks the output topic of each record from its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow import App


@dataclass
class Order:
    id: int
    sku: str
    name: str
    quantity: int


@dataclass
class CompletedOrder:
    id: str
    name: str
    amount: float


def build() -> App:
    def complete(order: Order) -> CompletedOrder:
        return CompletedOrder(f"{order.id}-{order.sku}", order.name, order.quantity * 0.467423)

    def topic(key: str, order: CompletedOrder, context: Any) -> str:
        special = order.id[order.id.index("-") + 1 : 5] == "QUA"
        return "special-order-output" if special else "dynamic-topic-output"

    app = App("dynamic")
    app.stream("dynamic-topic-input", key=str, value=Order).map_values(complete).to(topic)
    return app


app = build()
