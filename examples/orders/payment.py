"""Payment: says whether the customer's card covers an order, and takes the money of those that are accepted."""

from examples.orders.model import Customer, Decision, Order, Payment, Verdict
from streamflow import App

app = App("payment")


def judge(order: Order, customer: Customer | None) -> Verdict:
    if customer is None:
        return Verdict(order.id, "payment", False, "the customer is not known")
    covered = order.amount <= customer.card_limit
    return Verdict(order.id, "payment", covered, "" if covered else "the card does not cover it")


customers = app.table("customers", key=str, value=Customer)
verdicts = app.stream("orders", key=str, value=Order).left_join(customers, judge, value=Verdict)
verdicts.select_key(lambda verdict: verdict.order, key=str).to("verdicts")

accepted = app.stream("decisions", key=str, value=Decision).filter(lambda decision: decision.accepted)
paid = accepted.map_values(lambda d: Payment(d.order.id, d.order.customer, d.order.amount), value=Payment)
paid.to("payments")
