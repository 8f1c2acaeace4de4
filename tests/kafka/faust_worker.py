"""A Faust application with tables of each kind; run as ``python faust_worker.py worker --without-web``."""

import os

import faust

app = faust.App(
    "shop", broker="kafka://" + os.environ["BROKER"], store="rocksdb://?driver=rocksdict", topic_partitions=3, web_enabled=False,
    consumer_auto_offset_reset="earliest", datadir=os.environ["FOLDER"],
)  # fmt: skip


class Order(faust.Record, serializer="json"):
    user: str
    amount: int


class Last(faust.Record, serializer="json"):
    order: Order
    seen: int


orders = app.topic("shop-orders", key_type=str, value_type=Order, partitions=3)
counts = app.Table("counts", default=int, key_type=str, value_type=int, partitions=3)
by_user = app.Table("by-user", default=int, key_type=str, value_type=int, partitions=3)
last = app.Table("last", key_type=str, value_type=Last, partitions=3)
raw = app.Table("raw", key_type=bytes, value_type=bytes, partitions=3)
minutes = app.Table("minutes", default=int, key_type=str, value_type=int, partitions=3).tumbling(60, expires=3600)


@app.agent(orders)
async def count(stream):
    async for key, order in stream.items():
        counts[key] += 1
        by_user[order.user] += order.amount  # lies where the order lies: one user has rows in several partitions
        last[key] = Last(order, counts[key])
        raw[key.encode()] = str(order.amount).encode()
        minutes[key] += 1
        if order.amount == 0:
            del last[key]


if __name__ == "__main__":
    app.main()
