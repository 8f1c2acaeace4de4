"""The query view: where each order is, from all that the services said. REST asks it, and orders come in through it."""

from dataclasses import dataclass, field

from examples.orders.model import Decision, Email, Order, Payment, Verdict
from streamflow import App

app = App("view")


@dataclass
class Seen:
    """An order as far as it is known; ``state`` is "pending", "accepted" or "refused"."""

    order: Order | None = None
    state: str = "pending"
    verdicts: dict[str, bool] = field(default_factory=dict[str, bool])
    why: list[str] = field(default_factory=list[str])
    paid: int = 0
    mail: str = ""


def placed(seen: Seen, order: Order) -> Seen:
    seen.order = order
    return seen


def judged(seen: Seen, verdict: Verdict) -> Seen:
    seen.verdicts[verdict.check] = verdict.passed
    return seen


def decided(seen: Seen, decision: Decision) -> Seen:
    seen.state, seen.why = "accepted" if decision.accepted else "refused", decision.why
    return seen


def paid(seen: Seen, payment: Payment) -> Seen:
    seen.paid += payment.amount
    return seen


def mailed(seen: Seen, email: Email) -> Seen:
    seen.mail = email.subject
    return seen


# Each stream by order id. Orders come by customer, so they go through a topic that brings them to their id's partition.
orders = app.stream("orders", key=str, value=Order).group_by(lambda order: order.id, key=str, name="by-id")
verdicts = app.stream("verdicts", key=str, value=Verdict).group_by_key()
decisions = app.stream("decisions", key=str, value=Decision).group_by_key()
payments = app.stream("payments", key=str, value=Payment).group_by_key()
emails = app.stream("emails", key=str, value=Email).group_by_key()
everything = orders.cogroup(placed).cogroup(verdicts, judged).cogroup(decisions, decided)
everything.cogroup(payments, paid).cogroup(emails, mailed).aggregate(Seen, value=Seen, store="orders-view")
