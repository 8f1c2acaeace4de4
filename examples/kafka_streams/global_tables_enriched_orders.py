"""Enriches orders with customer and product through two chained joins with global tables whose stores can be
queried on every instance.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


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
class CustomerOrder:
    customer: Customer
    order: Order


@dataclass
class EnrichedOrder:
    product: Product
    customer: Customer
    order: Order


def enriched(customer_order: CustomerOrder, product: Product) -> EnrichedOrder:
    return EnrichedOrder(product, customer_order.customer, customer_order.order)


def build() -> App:
    app = App("enriched-orders")
    customers = app.global_table("customer", key=int, value=Customer, store="customer-store")
    products = app.global_table("product", key=int, value=Product, store="product-store")
    orders = app.stream("order", key=int, value=Order)
    with_customer = orders.join(
        customers, lambda order, customer: CustomerOrder(customer, order), on=lambda order: order.customer_id,
        value=CustomerOrder,
    )  # fmt: skip
    with_customer.join(products, enriched, on=lambda both: both.order.product_id).to("enriched-order")
    return app


app = build()
