"""What the services of the order system tell each other. Money is in cents.

topic          key        value
customers      customer   Customer
stock          product    int, how much there is at the beginning
orders         customer   Order, in the order in which the customer placed them
verdicts       order      Verdict, one from each of CHECKS
decisions      order      Decision, one an order
stock-moves    product    Move: each reservation and each release, the ledger of the warehouse
payments       order      Payment, one an accepted order
emails         order      Email, one an order
"""

from __future__ import annotations

from dataclasses import dataclass, field

CHECKS = ("details", "fraud", "inventory", "payment")


@dataclass
class Customer:
    name: str
    email: str
    card_limit: int


@dataclass
class Order:
    """``number`` counts the orders of a customer, so that anybody can see whether they kept their order."""

    id: str
    customer: str
    product: str
    quantity: int
    price: int
    number: int = 0

    @property
    def amount(self) -> int:
        return self.quantity * self.price


@dataclass
class Verdict:
    order: str
    check: str
    passed: bool
    why: str = ""


@dataclass
class Decision:
    """``why`` is empty for an accepted order; ``timed_out`` has the checks that nobody answered in time."""

    order: Order
    accepted: bool
    why: list[str] = field(default_factory=list[str])
    timed_out: list[str] = field(default_factory=list[str])


@dataclass
class Move:
    """``change`` is below zero for a reservation and above for a release; ``left`` is the stock after it."""

    order: str
    product: str
    change: int
    left: int


@dataclass
class Payment:
    order: str
    customer: str
    amount: int


@dataclass
class Email:
    to: str
    subject: str
