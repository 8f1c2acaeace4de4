"""The details validator: is the order one that makes sense?"""

from examples.orders.model import Order, Verdict
from streamflow import App

app = App("details")


def check(order: Order) -> Verdict:
    wrong = [
        words
        for words, holds in {
            "the quantity is not 1 to 10": 1 <= order.quantity <= 10,
            "the price is not above zero": order.price > 0,
            "no product is named": bool(order.product),
        }.items()
        if not holds
    ]
    return Verdict(order.id, "details", not wrong, ", ".join(wrong))


verdicts = app.stream("orders", key=str, value=Order).map_values(check, value=Verdict)
verdicts.select_key(lambda verdict: verdict.order, key=str).to("verdicts")
