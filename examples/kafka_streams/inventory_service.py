"""Checks orders against the stock left after earlier reservations and reserves what it grants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow import App, serdes
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record

RESERVED = "store-of-reserved-stock"


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


class Reserve(Processor[str, tuple[Order, int], str, Validation]):
    def init(self, context: ProcessorContext[str, Validation]) -> None:
        self.context = context
        self.reserved: Any = context.store(RESERVED)

    def process(self, record: Record[str, tuple[Order, int]]) -> None:
        order, stock = record.value
        reserved: int = self.reserved.get(order.product) or 0
        there_is = stock - reserved - order.quantity >= 0
        if there_is:
            self.reserved.put(order.product, reserved + order.quantity)
        result = Validation(order.id, "INVENTORY_CHECK", "PASS" if there_is else "FAIL")
        self.context.forward(Record(order.id, result, record.timestamp, record.headers))


def build() -> App:
    app = App("inventory-service")
    stock = app.table("warehouse-inventory", key=str, value=serdes.int32)
    app.add_store(KeyValueStore(RESERVED, key=str, value=int))
    orders = app.stream("orders", key=str, value=Order).select_key(lambda order: order.product, key=str)
    created = orders.filter(lambda order: order.state == "CREATED")
    with_stock = created.join(stock, lambda order, n: (order, n), value=tuple[Order, int], name="with-stock")
    with_stock.process(Reserve, stores=[RESERVED], key=str, value=Validation).to("order-validations")
    return app


app = build()
