"""The fraud service: what a customer orders in one go, pauses of less than `GAP` between them, must stay within a limit.

Rewound and started with another ``FRAUD_LIMIT`` and a ``FRAUD_VIEW``, it judges every order there ever was anew, into a
view of that name that nobody acts upon.
"""

import os
from dataclasses import dataclass

from examples.orders.model import Order, Verdict
from streamflow import App, session

GAP = "10s"
LIMIT = int(os.environ.get("FRAUD_LIMIT", "60000"))
VIEW = os.environ.get("FRAUD_VIEW")

app = App("fraud")


@dataclass
class Spent:
    """The sum of a session, and the order that brought it there."""

    cents: int = 0
    order: str = ""


def add(spent: Spent, order: Order) -> Spent:
    return Spent(spent.cents + order.amount, order.id)


def merge(one: Spent, other: Spent) -> Spent:
    return Spent(one.cents + other.cents, other.order)


def is_there(value: object) -> bool:
    return value is not None


def judge(spent: Spent) -> Verdict:
    fine = spent.cents <= LIMIT
    return Verdict(spent.order, "fraud", fine, "" if fine else f"{spent.cents / 100:.2f} in one go")


# A session that grows is removed under its old end and put under its new one: what was removed is no news.
sessions = app.stream("orders", key=str, value=Order).group_by_key().windowed_by(session(GAP, grace="1h"))
spent = sessions.aggregate(Spent, add, merge=merge, name="spent").to_stream()
judged = spent.filter(is_there).map_values(judge, value=Verdict)
verdicts = judged.select_key(lambda verdict: verdict.order, key=str)
if VIEW:
    verdicts.to_table(store=VIEW)
else:
    verdicts.to("verdicts")
