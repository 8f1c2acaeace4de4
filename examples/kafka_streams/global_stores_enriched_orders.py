"""Enriches orders with customer and product from two global stores, which processors of the application fill and a
processor reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow import App
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record


@dataclass
class Customer:
    name: str
    gender: str
    region: str


@dataclass
class Product:
    name: str
    description: str
    supplier_name: str


@dataclass
class Order:
    customer_id: int
    product_id: int
    time_order_placed_at: int


@dataclass
class EnrichedOrder:
    product: Product
    customer: Customer
    order: Order


class Fill(Processor[int, Any, Any, Any]):
    """Puts each record of a topic into a store."""

    def __init__(self, store: str) -> None:
        self.name = store

    def init(self, context: ProcessorContext[Any, Any]) -> None:
        self.store: Any = context.store(self.name)

    def process(self, record: Record[int, Any]) -> None:
        self.store.put(record.key, record.value)


class Enrich(Processor[int, Order, int, EnrichedOrder]):
    def init(self, context: ProcessorContext[int, EnrichedOrder]) -> None:
        self.context = context
        self.customers: Any = context.store("customer-store")
        self.products: Any = context.store("product-store")

    def process(self, record: Record[int, Order]) -> None:
        order = record.value
        found = EnrichedOrder(self.products.get(order.product_id), self.customers.get(order.customer_id), order)
        self.context.forward(record.replace(value=found))


def build() -> App:
    app = App("orders-from-global-stores")
    for topic, kind in (("customer", Customer), ("product", Product)):
        store = f"{topic}-store"
        app.add_global_store(
            KeyValueStore(store, key=int, value=kind), topic, lambda store=store: Fill(store), key=int, value=kind
        )
    app.stream("order", key=int, value=Order).process_values(Enrich, value=EnrichedOrder).to("enriched-order")
    return app


app = build()
