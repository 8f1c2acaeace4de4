"""The topologies that are compared, for `streamflow run`: the environment says which, from where and to where."""

from __future__ import annotations

import os

from bench.apps import Order, Sale, User
from streamflow import App, hopping, tumbling

workload, out = os.environ["WORKLOAD"], os.environ["OUT_TOPIC"]
app = App(os.environ["APP_ID"], emit="on_commit" if workload == "count on commit" else "every_update")
orders = app.stream(os.environ["IN_TOPIC"], key=str, value=Order)

match workload:
    case "stateless":
        kept = orders.filter(lambda order: order.amount % 2 == 0)
        kept.map_values(lambda order: Sale(order.user, "", order.amount * order.price), value=Sale).to(out)
    case "count" | "count on commit":
        orders.group_by_key().count(name="counts").to_stream().to(out)
    case "tumbling":
        orders.group_by_key().windowed_by(tumbling("1m", grace="1m")).count(name="counts").to_stream().to(out)
    case "hopping":
        orders.group_by_key().windowed_by(hopping("5m", "1m", grace="1m")).count(name="counts").to_stream().to(out)
    case "join":
        users = app.table("users", key=str, value=User)
        orders.join(
            users, lambda order, user: Sale(order.user, user.region, order.amount * order.price), value=Sale
        ).to(out)
    case _:
        raise SystemExit(f"there is no workload {workload!r}")
