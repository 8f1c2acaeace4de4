"""What the kill tests run: every kind of state and both ways of moving records, over 8 partitions."""

from dataclasses import dataclass

from streamflow import App, session, tumbling, until_window_closes


@dataclass
class Order:
    n: int
    user: str
    region: str


app = App("kills", commit_interval="40ms", topic_partitions=8)

orders = app.stream("orders", key=str, value=Order)
users = app.table("users", key=str, value=str, name="users")

orders.to("passed")
orders.group_by_key().count(name="counts").to_stream().to("counts")
orders.join(users, lambda order, town: f"{order.n} {town}", value=str).to("joined")
(
    orders.group_by(lambda order: order.region, key=str, name="regions")
    .count(name="per-region")
    .to_stream()
    .to("regions")
)
(orders.group_by_key().windowed_by(tumbling("1s", grace="1h")).count(name="per-second").to_stream().to("seconds"))
even = orders.filter(lambda order: order.n % 2 == 0)
orders.left_join(
    even, lambda order, other: f"{order.n} {other.n if other else None}", within="0ms", value=str, name="met"
).to("met")

grouped = orders.group_by_key()
grouped.windowed_by(session("200ms", grace="1h")).count(name="visits").to_stream().to("visits")
tenths = grouped.windowed_by(tumbling("100ms")).count(name="tenths")
tenths.suppress(until_window_closes(), name="finals").to_stream().to("finals")
newest = orders.to_table(name="newest")
newest.join(
    users, lambda order, town: f"{order.n} {town}", on=lambda order: order.user, value=str, name="newest-with-town"
).to_stream().to("newest")
