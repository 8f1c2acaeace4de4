"""The whole order system in one application: three checks and an aggregator on shared topics, and a table of the orders
that is asked over HTTP.

The services are those beside this file (`fraud_service`, `inventory_service`, `order_details_service`,
`validations_aggregator`); `examples/orders/` runs such services apart.
"""

from __future__ import annotations

from dataclasses import replace

from examples.kafka_streams import fraud_service as fraud
from examples.kafka_streams.inventory_service import RESERVED, Order, Reserve, Validation
from examples.kafka_streams.validations_aggregator import CHECKS, newer
from streamflow import App, session
from streamflow.processor import KeyValueStore
from streamflow.serdes import int32
from streamflow.stream import KStream


def is_there(value: object) -> bool:
    return value is not None


def passed(total: int, validation: Validation) -> int:
    return total + (validation.validationResult == "PASS")


def fraud_checks(created: KStream[str, Order]) -> KStream[str, Validation]:
    def add(total: fraud.Total, order: Order) -> fraud.Total:
        return fraud.Total(fraud.Order(**vars(order)), total.value + order.quantity * order.price)

    def check(key: str, total: fraud.Total) -> Validation:
        return Validation(key, "FRAUD_CHECK", "FAIL" if total.value >= fraud.LIMIT else "PASS")

    sessions = created.group_by(lambda order: order.customerId, key=int, name="by-customer").windowed_by(session("1h"))
    totals = sessions.aggregate(fraud.Total, add, merge=fraud.merge, name="customer-totals").to_stream()
    return totals.filter(is_there).select_key(fraud.order_id, key=str).map_values(check, value=Validation)


def inventory_checks(app: App, created: KStream[str, Order]) -> KStream[str, Validation]:
    stock = app.table("warehouse-inventory", key=str, value=int32, store="warehouse")
    app.add_store(KeyValueStore(RESERVED, key=str, value=int))
    by_product = created.select_key(lambda order: order.product, key=str)
    with_stock = by_product.join(stock, lambda order, n: (order, n), value=tuple[Order, int], name="with-stock")
    return with_stock.process(Reserve, stores=[RESERVED], key=str, value=Validation)


def details_check(order: Order) -> Validation:
    wrong = order.quantity < 0 or order.price < 0 or not order.product
    return Validation(order.id, "ORDER_DETAILS_CHECK", "FAIL" if wrong else "PASS")


def aggregate(validations: KStream[str, Validation], created: KStream[str, Order]) -> None:
    windows = validations.group_by_key().windowed_by(session("5m"))
    totals = windows.aggregate(int, passed, merge=newer, value=int, name="totals").to_stream(
        lambda k, _: k.key, key=str
    )
    enough = totals.filter(is_there).filter(lambda total: total >= CHECKS).repartition(name="complete")
    enough.join(
        created, lambda _, order: replace(order, state="VALIDATED"), within="5m", value=Order, name="validated"
    ).to("orders")
    failures = validations.filter(lambda validation: validation.validationResult == "FAIL")
    failed = failures.join(
        created, lambda _, order: replace(order, state="FAILED"), within="5m", value=Order, name="failed"
    )
    failed.group_by_key().reduce(lambda first, _: first, name="first-failure").to_stream().to("orders")


def build() -> App:
    app = App("orders-end-to-end")
    orders = app.table("orders", key=str, value=Order, store="orders-store")
    created = orders.to_stream().filter(lambda order: order.state == "CREATED")
    for checks in (fraud_checks(created), inventory_checks(app, created), created.map_values(details_check)):
        checks.to("order-validations")
    aggregate(app.stream("order-validations", key=str, value=Validation), created)
    return app


app = build()
