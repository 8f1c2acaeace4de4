"""Marks an order validated when all three checks passed and failed when one failed, writing the new version to
the orders topic it also reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from streamflow import App, session

CHECKS = 3


@dataclass
class Order:
    id: str
    customerId: int
    state: str
    product: str
    quantity: int
    price: float


@dataclass
class Validation:
    orderId: str
    checkType: str
    validationResult: str


def passed(total: int, validation: Validation) -> int:
    return total + (validation.validationResult == "PASS")


def newer(one: int, other: int) -> int:
    return other


def is_there(value: object) -> bool:
    return value is not None


def build() -> App:
    app = App("validations")
    validations = app.stream("order-validations", key=str, value=Validation)
    orders = app.stream("orders", key=str, value=Order).filter(lambda order: order.state == "CREATED")

    windows = validations.group_by_key().windowed_by(session("5m"))
    totals = windows.aggregate(int, passed, merge=newer, value=int, name="totals")
    complete = totals.to_stream(lambda key, total: key.key, key=str).filter(is_there)
    enough = complete.filter(lambda total: total >= CHECKS).repartition(name="complete")
    enough.join(
        orders, lambda total, order: replace(order, state="VALIDATED"), within="5m", value=Order, name="validated"
    ).to("orders")

    failures = validations.filter(lambda validation: validation.validationResult == "FAIL")
    failed = failures.join(
        orders, lambda failure, order: replace(order, state="FAILED"), within="5m", value=Order, name="failed"
    )
    failed.group_by_key().reduce(lambda first, _: first, name="first-failure").to_stream().to("orders")
    return app


app = build()
