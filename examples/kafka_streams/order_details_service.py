"""Checks the fields of new orders; keeps its place over a restart."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class Purchase:
    id: str
    customerId: int
    state: str
    product: str | None
    quantity: int
    price: float


@dataclass
class OrderValidation:
    orderId: str
    checkType: str
    validationResult: str


def build() -> App:
    def check(order: Purchase) -> OrderValidation:
        wrong = order.quantity < 0 or order.price < 0 or order.product is None
        return OrderValidation(order.id, "ORDER_DETAILS_CHECK", "FAIL" if wrong else "PASS")

    app = App("order-details")
    orders = app.stream("orders", key=str, value=Purchase).filter(lambda order: order.state == "CREATED")
    orders.map_values(check).to("order-validations")
    return app


app = build()
