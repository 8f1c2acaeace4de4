"""What `changing.md` says of each change of a script is what happens: a script runs, is changed, and runs on.

One test for each row of its table; a row without a test, and a test without a row, fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import pytest

from streamflow import App, custom_windows, hopping, session, sliding, tumbling
from streamflow.errors import StreamflowError
from streamflow.serdes import serde_of
from tests.docs.pictures import PAGES
from tests.runtime.world import World, run

Build = Callable[[App], Any]
Rows = Sequence[tuple[Any, ...]]
HOUR = 3_600_000


@dataclass(frozen=True)
class Change:
    """A script before and after, what each is given, and what it says; a text for what is refused."""

    before: Build
    after: Build
    said: list[str]
    then: list[str] | str
    rows: Rows = (("k", "a", HOUR),)
    more: Rows = (("k", "b", HOUR + 1),)
    topic: str = "orders"
    optimize: tuple[Any, Any] = ("none", "none")
    partitions: tuple[int, int] = (1, 1)


def told(table: Any) -> None:
    table.to_stream(lambda key, value: "k", key=str).map_values(str, value=str).to("out")


def orders(app: App, value: Any = str) -> Any:
    return app.stream("orders", key=str, value=value).group_by_key()


def joined(app: App) -> None:
    told(orders(app).reduce(lambda a, b: a + b, name="all"))


def joined_the_other_way(app: App) -> None:
    told(orders(app).reduce(lambda a, b: b + a, name="all"))


def joined_behind_a_filter(app: App) -> None:
    stream = app.stream("orders", key=str, value=str).filter(lambda v: True)
    told(stream.group_by_key().reduce(lambda a, b: a + b, name="all"))


def joined_under_another_name(app: App) -> None:
    told(orders(app).reduce(lambda a, b: a + b, name="everything"))


def joined_from_elsewhere(app: App) -> None:
    told(app.stream("others", key=str, value=str).group_by_key().reduce(lambda a, b: a + b, name="all"))


def counted(app: App) -> None:
    told(orders(app).count(name="all"))


def kept_as(name: str, *fields: Any) -> Build:
    """The newest order of each key, as a dataclass ``name`` of these fields."""
    kind = make_dataclass(name, fields)

    def build(app: App) -> None:
        def take(total: Any, order: str) -> Any:
            return total if total.a != "?" else kind(*["first", *["x"] * (len(fields) - 1)])

        told(orders(app).aggregate(lambda: kind(*["?"] * len(fields)), take, value=serde_of(kind), name="all"))

    return build


def windows(window: Any, **options: Any) -> Build:
    def build(app: App) -> None:
        told(orders(app).windowed_by(window).count(name="all", **options))

    return build


def every(ms: int) -> Any:
    return custom_windows(lambda time: [(time // ms * ms, time // ms * ms + ms)], size="1s")


def table(app: App) -> None:
    rows = app.table("orders", key=str, value=str, name="all")
    app.stream("asks", key=str, value=str).left_join(rows, lambda a, row: f"{a} {row}", value=str).to("out")


def asked(app: App) -> None:
    table(app)
    app.stream("asks", key=str, value=str).group_by_key().count(name="beside")


CHANGES = {
    "a function": Change(joined, joined_the_other_way, ["a"], ["a", "ba"]),
    "a stateless step put in or taken out": Change(joined, joined_behind_a_filter, ["a"], ["a", "ab"]),
    "a field with a default added": Change(
        kept_as("Order", ("a", str)),
        kept_as("Order", ("a", str), ("b", str, "none")),
        ["Order(a='first')"],
        ["Order(a='first')", "Order(a='first', b='none')"],
    ),
    "a field taken out": Change(
        kept_as("Order", ("a", str), ("b", str)),
        kept_as("Order", ("a", str)),
        ["Order(a='first', b='x')"],
        ["Order(a='first', b='x')", "Order(a='first')"],
    ),
    "a field without a default added, or one renamed": Change(
        kept_as("Order", ("a", str)), kept_as("Order", ("a", str), ("b", str)), ["Order(a='first')"], "`b`"
    ),
    "another key or value type of a store": Change(joined, counted, ["a"], "streamflow reset"),
    "the class of a store's values renamed": Change(
        kept_as("Order", ("a", str)), kept_as("Bill", ("a", str)), ["Order(a='first')"], "streamflow reset"
    ),
    "another size or advance": Change(windows(tumbling("1m")), windows(tumbling("2m")), ["1"], "streamflow reset"),
    "size or advance": Change(windows(hopping("4m", "4m")), windows(hopping("4m", "2m")), ["1"], "streamflow reset"),
    "another difference": Change(windows(sliding("1m")), windows(sliding("2m")), ["1"], "streamflow reset"),
    "another gap": Change(windows(session("1s")), windows(session("1h")), ["1"], ["1", "None", "2"]),
    "other windows of your own": Change(windows(every(7)), windows(every(11)), ["1"], ["1", "1"]),
    "by up to half a day": Change(windows(tumbling("1h")), windows(tumbling("1h", grace="11h")), ["1"], ["1", "2"]),
    "by more than half a day": Change(
        windows(tumbling("1h")), windows(tumbling("1h", grace="13h")), ["1"], "retention.ms"
    ),
    "a step with another": Change(joined, joined_under_another_name, ["a"], ["a", "b"]),
    "another number of partitions": Change(joined, joined, ["a"], "partitions", partitions=(1, 2)),
    "taken in": Change(asked, asked, [], "streamflow reset", topic="asks", optimize=("none", "all")),
    "taken out": Change(asked, asked, [], "streamflow reset", topic="asks", optimize=("all", "none")),
    "taken in or taken out": Change(table, table, [], "was kept by", topic="asks", optimize=("none", "all")),
    "or taken out": Change(table, table, [], "was kept by", topic="asks", optimize=("all", "none")),
    "another topic read": Change(joined, joined_from_elsewhere, ["a"], ["a", "ab"], topic="others"),
}


async def through(world: World, build: Build, optimize: Any, topic: str, rows: Rows, partitions: int) -> list[str]:
    """Run a script over some more records and stop it; all that it has said so far."""
    await world.write(topic, rows, partitions)
    app = App("shop", topic_partitions=partitions, optimize=optimize)
    build(app)
    cell = await world.start(app)
    world.cells.clear()
    await world.until(lambda: cell.running.done() or (cell.worker.drained and cell.worker.stats.commits))
    if cell.running.done():
        raise await cell.failure()
    await cell.stop()
    return [record.value.decode() for record in await world.read("out")]


@pytest.mark.parametrize("row", CHANGES)
def test_a_change_does_what_its_row_says(tmp_path: Path, row: str) -> None:
    change = CHANGES[row]

    async def story(world: World) -> None:
        first, second = change.partitions
        assert await through(world, change.before, change.optimize[0], "orders", change.rows, first) == change.said
        if second != first:
            await world.log.delete_topic("orders")

        async def again() -> list[str]:
            return await through(world, change.after, change.optimize[1], change.topic, change.more, second)

        if isinstance(change.then, list):
            assert await again() == change.then
        else:
            with pytest.raises(StreamflowError, match=re.escape(change.then)):
                await again()

    run(tmp_path, story)


def test_every_row_of_the_page_has_its_test() -> None:
    page = (PAGES / "changing.md").read_text()
    rows = [row for row in re.findall(r"^\| (.*?) \| ", page, re.MULTILINE) if row != "change"]
    assert [row for row in rows if not any(text in row for text in CHANGES)] == []
    assert [text for text in CHANGES if not any(text in row for row in rows)] == []


def test_a_new_store_begins_with_what_comes_from_then_on(tmp_path: Path) -> None:
    def copied(app: App) -> None:
        app.stream("orders", key=str, value=str).to("out")

    async def story(world: World) -> None:
        assert await through(world, copied, "none", "orders", [("k", "a", HOUR)], 1) == ["a"]
        assert await through(world, table, "none", "asks", [("k", "b", HOUR)], 1) == ["a", "b None"]

    run(tmp_path, story)
