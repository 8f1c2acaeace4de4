"""Fails orders that bring a customer's running total within a session to 2000 or more."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App, session

LIMIT = 2000


@dataclass
class Order:
    id: str
    customerId: int
    state: str
    product: str
    quantity: int
    price: float


@dataclass
class Total:
    order: Order | None = None
    value: float = 0.0


@dataclass
class Validation:
    orderId: str
    checkType: str
    validationResult: str


def add(total: Total, order: Order) -> Total:
    return Total(order, total.value + order.quantity * order.price)


def merge(one: Total, other: Total) -> Total:
    return Total(other.order, one.value + other.value)


def order_id(total: Total) -> str:
    assert total.order is not None
    return total.order.id


def is_there(value: object) -> bool:
    return value is not None


def build() -> App:
    app = App("fraud-service")
    orders = app.stream("orders", key=str, value=Order).filter(lambda order: order.state == "CREATED")
    by_customer = orders.group_by(lambda order: order.customerId, key=int)
    totals = by_customer.windowed_by(session("1h")).aggregate(Total, add, merge=merge, name="totals")
    current = totals.to_stream(lambda key, total: key.key, key=int).filter(is_there)
    branches = current.select_key(order_id, key=str).split(
        {"over": lambda total: total.value >= LIMIT}, default="under"
    )
    failed = branches["over"].map_values(lambda key, total: Validation(key, "FRAUD_CHECK", "FAIL"), value=Validation)
    passed = branches["under"].map_values(lambda key, total: Validation(key, "FRAUD_CHECK", "PASS"), value=Validation)
    failed.to("order-validations")
    passed.to("order-validations")
    return app


app = build()
