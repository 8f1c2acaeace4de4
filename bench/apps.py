"""The topologies that are measured."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from streamflow import App, hopping, session, sliding, tumbling, until_window_closes


class Order(msgspec.Struct):
    user: str
    product: str
    amount: int
    price: int
    placed: int
    note: str


class User(msgspec.Struct):
    name: str
    region: str


class Sale(msgspec.Struct):
    user: str
    region: str
    total: int


def stateless() -> App:
    """Half of the orders, as something else."""
    app = App("bench-stateless")
    (
        app.stream("orders", key=str, value=Order)
        .filter(lambda order: order.amount % 2 == 0)
        .map_values(lambda order: Sale(order.user, "", order.amount * order.price), value=Sale)
        .to("out")
    )
    return app


def count() -> App:
    """Orders per user, every update written."""
    app = App("bench-count")
    app.stream("orders", key=str, value=Order).group_by_key().count(name="counts").to_stream().to("out")
    return app


def count_on_commit() -> App:
    """Orders per user, the last update of each user and commit written."""
    app = App("bench-count-on-commit", emit="on_commit")
    app.stream("orders", key=str, value=Order).group_by_key().count(name="counts").to_stream().to("out")
    return app


def tumbling_count() -> App:
    """Orders per user and minute, every update written."""
    app = App("bench-tumbling")
    grouped = app.stream("orders", key=str, value=Order).group_by_key()
    grouped.windowed_by(tumbling("1m", grace="1m")).count(name="counts").to_stream().to("out")
    return app


def hopping_count() -> App:
    """Orders per user in the last five minutes, each minute: five windows a record."""
    app = App("bench-hopping")
    grouped = app.stream("orders", key=str, value=Order).group_by_key()
    grouped.windowed_by(hopping("5m", "1m", grace="1m")).count(name="counts").to_stream().to("out")
    return app


def sessions() -> App:
    """Orders per user and visit: a session ends after 30 seconds without an order."""
    app = App("bench-sessions")
    grouped = app.stream("orders", key=str, value=Order).group_by_key()
    grouped.windowed_by(session("30s", grace="1m")).count(name="counts").to_stream().to("out")
    return app


def sliding_count() -> App:
    """Orders per user in the ten seconds before each order, and behind it."""
    app = App("bench-sliding")
    grouped = app.stream("orders", key=str, value=Order).group_by_key()
    grouped.windowed_by(sliding("10s", grace="1m")).count(name="counts").to_stream().to("out")
    return app


def join() -> App:
    """Each order with its user's row."""
    app = App("bench-join")
    table = app.table("users", key=str, value=User)
    (
        app.stream("orders", key=str, value=Order)
        .join(table, lambda order, user: Sale(order.user, user.region, order.amount * order.price), value=Sale)
        .to("out")
    )
    return app


class Payment(msgspec.Struct):
    user: str
    amount: int
    method: str


def streams_join() -> App:
    """Each order with its user's payments of the second after it."""
    app = App("bench-streams")
    payments = app.stream("payments", key=str, value=Payment)
    (
        app.stream("orders", key=str, value=Order)
        .join(
            payments,
            lambda order, payment: Sale(order.user, payment.method, payment.amount),
            within=("0ms", "1s"),
            grace="1s",
            value=Sale,
            name="paid",
        )
        .to("out")
    )
    return app


def suppressed() -> App:
    """Orders per user and minute, once the minute and another one are over."""
    app = App("bench-suppress")
    grouped = app.stream("orders", key=str, value=Order).group_by_key()
    counts = grouped.windowed_by(tumbling("1m", grace="1m")).count(name="counts")
    counts.suppress(until_window_closes(), name="final").to_stream().to("out")
    return app


def tables_join() -> App:
    """Each user's row with the newest order."""
    app = App("bench-tables")
    orders = app.table("orders", key=str, value=Order)
    users = app.table("users", key=str, value=User)
    joined = orders.join(users, lambda order, user: Sale(user.name, user.region, order.amount), value=Sale)
    joined.to_stream().to("out")
    return app


def foreign_keys() -> App:
    """Each newest order with the user whom it names: two topics in between, four records for one."""
    app = App("bench-foreign-keys")
    orders, users = app.table("orders", key=str, value=Order), app.table("users", key=str, value=User)
    joined = orders.join(
        users, lambda order, user: Sale(user.name, user.region, order.amount), on=lambda order: order.user, value=Sale
    )
    joined.to_stream().to("out")
    return app


APPS: dict[str, Callable[[], App]] = {
    "stateless": stateless,
    "count": count,
    "count on commit": count_on_commit,
    "tumbling": tumbling_count,
    "join": join,
    "streams": streams_join,
    "hopping": hopping_count,
    "sessions": sessions,
    "sliding": sliding_count,
    "suppress": suppressed,
    "tables": tables_join,
    "foreign keys": foreign_keys,
}
