"""What must check: the words carry types from source to sink. Read by type checkers, never run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

from streamflow import (
    App,
    GlobalKTable,
    KStream,
    KTable,
    Windowed,
    hopping,
    serdes,
    session,
    tumbling,
    until_time_limit,
    until_window_closes,
)
from streamflow.processor import KeyValueStore, Processor, Record

app = App("typed")


@dataclass
class Click:
    user: str
    url: str


@dataclass
class User:
    region: str


clicks = app.stream("clicks", key=str, value=Click)
assert_type(clicks, KStream[str, Click])
users = app.table("users", key=str, value=User)
assert_type(users, KTable[str, User])
assert_type(app.stream("raw"), KStream[bytes, bytes])
assert_type(app.stream(["a", "b"], value=str), KStream[bytes, str])
assert_type(app.stream(re.compile("x.*"), key=serdes.int32), KStream[int, bytes])
assert_type(app.stream(app.topic("orders", key=str, value=float)), KStream[str, float])

assert_type(clicks.filter(lambda click: click.url != ""), KStream[str, Click])
assert_type(clicks.filter(lambda key, click: key == click.user), KStream[str, Click])
assert_type(clicks.map_values(lambda click: len(click.url), value=int), KStream[str, int])
assert_type(clicks.map_values(lambda key, click: key + click.url, value=str), KStream[str, str])
assert_type(clicks.map(lambda key, click: (click.user, len(click.url)), key=str, value=int), KStream[str, int])
assert_type(clicks.select_key(lambda click: click.user, key=str), KStream[str, Click])
assert_type(clicks.select_key(lambda click: click.user or None, key=str), KStream[str, Click])
assert_type(clicks.flat_map_values(lambda click: click.url.split("/"), value=str), KStream[str, str])


def length(click: Click) -> int:
    return len(click.url)


def parts(click: Click) -> Iterable[tuple[int, str]]:
    return enumerate(click.url.split("/"))


assert_type(clicks.map_values(length), KStream[str, int])
assert_type(clicks.flat_map(parts), KStream[int, str])

regions = clicks.join(users, lambda click, user: user.region, value=str)
assert_type(regions, KStream[str, str])
maybe = clicks.left_join(users, lambda key, click, user: user.region if user is not None else key, value=str)
assert_type(maybe, KStream[str, str])
meeting = clicks.join(
    regions, lambda click, region: click.url + region, within="5m", grace="1m", value=str, name="pairs"
)
assert_type(meeting, KStream[str, str])
alone = clicks.left_join(
    regions, lambda key, click, region: key if region is None else click.url, within=("0ms", "1h"), value=str
)
assert_type(alone, KStream[str, str])
either = clicks.outer_join(
    regions,
    lambda click, region: len(region or "") if click is None else len(click.url),
    within=timedelta(seconds=5),
    store="either",
    value=int,
)
assert_type(either, KStream[str, int])

grouped = regions.group_by(lambda region: region, key=str)
assert_type(grouped.count(name="counts"), KTable[str, int])
assert_type(grouped.reduce(lambda total, value: total + value), KTable[str, str])
assert_type(grouped.aggregate(lambda: 0, lambda total, value: total + len(value), value=int), KTable[str, int])


def lengthen(total: int, value: str) -> int:
    return total + len(value)


lengths = grouped.cogroup(lengthen)
assert_type(lengths.cogroup(grouped, lambda key, total, value: total).aggregate(int), KTable[str, int])


def added(left: int, right: int) -> int:
    return left + right


assert_type(lengths.windowed_by(session("1m")).aggregate(int, merge=added), KTable[Windowed[str], int])
windowed = grouped.windowed_by(tumbling("1m", grace="10s")).count(emit="on_close")
assert_type(windowed, KTable[Windowed[str], int])
hops = grouped.windowed_by(hopping("5m", "1m")).aggregate(
    list[str], lambda total, value: [*total, value], value=list[str]
)
assert_type(hops, KTable[Windowed[str], list[str]])
assert_type(windowed.to_stream(lambda key, count: key.key, key=str), KStream[str, int])

assert_type(windowed.suppress(until_window_closes(), max_records=9, when_full="fail"), KTable[Windowed[str], int])
assert_type(users.suppress(until_time_limit("1m")), KTable[str, User])

assert_type(clicks.deduplicate(by=lambda click: click.url, within="1m"), KStream[str, Click])
assert_type(clicks.deduplicate(by=lambda key, click: key + click.url, within=timedelta(minutes=1)), KStream[str, Click])

orders = app.table("by-number", key=int, value=Click)
assert_type(
    orders.join(users, lambda click, user: user.region, on=lambda click: click.user, value=str), KTable[int, str]
)
assert_type(
    orders.left_join(users, lambda click, user: "" if user is None else user.region, on=lambda n, click: click.user),
    KTable[int, str],
)

everywhere = app.global_table("everywhere", key=str, value=User)
assert_type(everywhere, GlobalKTable[str, User])
assert_type(
    clicks.join(everywhere, lambda click, user: user.region, on=lambda click: click.user, value=str), KStream[str, str]
)
assert_type(
    clicks.left_join(everywhere, lambda key, click, user: user is None, on=lambda key, click: key, value=bool),
    KStream[str, bool],
)


class Measure(Processor[str, Click, int, str]):
    def process(self, record: Record[str, Click]) -> None:
        assert_type(record.value.url, str)


class Keep(Processor[str, Click, str, int]):
    def process(self, record: Record[str, Click]) -> None: ...


assert_type(clicks.process(Measure, key=int, value=str), KStream[int, str])
assert_type(clicks.process_values(Keep, value=int), KStream[str, int])

urls = KeyValueStore("urls", key=str, value=str)
assert_type(app.add_global_store(urls, "clicks-of-all", Keep, key=str, value=Click), str)
assert_type(app.add_global_store(urls, app.topic("told", key=str, value=Click), Keep), str)

history = app.table("history", key=str, value=User, history="1h")
assert_type(history, KTable[str, User])
assert_type(clicks.join(history, lambda click, user: user.region, grace="1m", value=str), KStream[str, str])


async def fetched(click: Click) -> int:
    return len(click.url)


assert_type(clicks.map_async(fetched, timeout="1s"), KStream[str, int])
assert_type(clicks.deduplicate(by=lambda click: click.url, within="1m"), KStream[str, Click])

by_region = users.group_by(lambda user, row: (row.region, user), key=str, value=str)
assert_type(by_region.count(), KTable[str, int])
assert_type(users.filter(lambda user: user.region == "eu").map_values(lambda user: user.region), KTable[str, str])

branches = clicks.split({"eu": lambda click: click.url.endswith(".eu")}, default="rest")
assert_type(branches["eu"].merge(branches["rest"]), KStream[str, Click])
clicks.repartition(partitions=3).to_table().to_stream().to("copy")
clicks.to(
    lambda key, click, context: f"{click.user}-{context.partition}", headers=lambda key, click, context: [("k", b"v")]
)
app.stream("at", key=str, value=Click, timestamp=lambda click: len(click.url))
