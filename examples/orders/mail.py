"""The mails to customers: order, payment and customer joined. What was refused gets its mail without waiting for a payment.

A mail that is sent cannot be taken back when its commit fails, so the mails end in a topic, each exactly once, with the
order's id as their key; whatever sends them gives that id to its mail server as the message's.
"""

from examples.orders.model import Customer, Decision, Email, Payment
from streamflow import App

app = App("mail")
customers = app.global_table("customers", key=str, value=Customer)
decisions = app.stream("decisions", key=str, value=Decision)
payments = app.stream("payments", key=str, value=Payment)


def accepted(decision: Decision, payment: Payment) -> tuple[str, str]:
    order = decision.order
    paid = f"{payment.amount / 100:.2f}"
    return order.customer, f"Your {order.quantity} {order.product} are on their way; you paid {paid} ({order.id})"


def refused(decision: Decision) -> tuple[str, str]:
    return decision.order.customer, f"We cannot deliver {decision.order.id}: {'; '.join(decision.why)}"


def address(told: tuple[str, str], customer: Customer | None) -> Email:
    name, email = (customer.name, customer.email) if customer else (told[0], "nobody@example.org")
    return Email(email, f"{name}! {told[1]}")


good = decisions.filter(lambda d: d.accepted).join(payments, accepted, within="1h", value=tuple[str, str], name="paid")
bad = decisions.filter(lambda d: not d.accepted).map_values(refused, value=tuple[str, str])
mails = good.merge(bad).left_join(customers, address, on=lambda told: told[0], value=Email)
mails.to("emails")
