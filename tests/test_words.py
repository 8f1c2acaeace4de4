"""The words together, run by the test driver: what one step declares another one can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from streamflow import App, Windowed, hopping
from streamflow.testing import TopologyTestDriver


@dataclass
class Click:
    user: str
    url: str


def rows(driver: TopologyTestDriver, topic: str, **types: Any) -> list[tuple[Any, Any]]:
    return driver.output_topic(topic, **types).read_key_values()


@pytest.mark.parametrize("partitions", [1, 3])
def test_words_are_counted_whichever_partition_their_line_lies_in(partitions: int) -> None:
    app = App("words")
    words = app.stream("lines", value=str).flat_map_values(str.split, value=str)
    words.group_by(lambda word: word, key=str).count(name="counts").to_stream().to("counts")
    with TopologyTestDriver(app, partitions=partitions) as driver:
        lines = driver.input_topic("lines")
        for number, line in enumerate(["a rose is a rose", "is a rose"]):
            lines.pipe(None, line, timestamp=number, partition=number % partitions)
        assert driver.output_topic("counts").read_table() == {"a": 3, "rose": 3, "is": 2}
        assert driver.dropped_records == 0


def test_one_named_topic_serves_a_count_and_a_reduction() -> None:
    app = App("shared")
    grouped = app.stream("in", key=str, value=str).group_by(lambda v: v[0], key=str, name="first")
    grouped.count(name="n").to_stream().to("counts")
    grouped.reduce(lambda a, b: a + b, name="all").to_stream().to("joined")
    with TopologyTestDriver(app) as driver:
        for value in ("ab", "ac", "b"):
            driver.input_topic("in").pipe("k", value)
        assert rows(driver, "counts") == [("a", 1), ("a", 2), ("b", 1)]
        assert rows(driver, "joined") == [("a", "ab"), ("a", "abac"), ("b", "b")]
        assert "shared-first-repartition" in driver.produced_topics


def test_a_rekeyed_left_join_answers_records_without_a_key_and_an_inner_one_drops_them() -> None:
    app = App("join")
    users = app.table("users", key=str, value=str)
    keyed = app.stream("clicks", key=str, value=Click).select_key(lambda click: click.user or None, key=str)
    keyed.left_join(users, lambda click, region: f"{click.url} {region}", value=str).to("left")
    keyed.join(users, lambda key, click, region: f"{key} {click.url} {region}", value=str).to("inner")
    with TopologyTestDriver(app, partitions=2) as driver:
        driver.input_topic("users").pipe("ann", "eu")
        for user in ("ann", "bob", ""):
            driver.input_topic("clicks").pipe("x", Click(user, f"/{user}"))
        assert sorted(rows(driver, "left"), key=str) == [("ann", "/ann eu"), ("bob", "/bob None"), (None, "/ None")]
        assert rows(driver, "inner") == [("ann", "ann /ann eu")]


def test_a_regrouped_filtered_table_moves_rows_between_groups() -> None:
    app = App("regroup")
    users = app.table("users", key=str, value=str)
    regions = users.filter(lambda region: region != "mars").group_by(
        lambda user, region: (region, user), key=str, value=str
    )
    regions.count(name="n").to_stream().to("counts")
    regions.aggregate(
        list[str], lambda t, v: [*t, v], lambda t, v: [x for x in t if x != v], value=list[str], name="who"
    )
    with TopologyTestDriver(app, partitions=3) as driver:
        users_in = driver.input_topic("users")
        for user, region in [("ann", "eu"), ("bob", "eu"), ("ann", "us"), ("bob", "mars"), ("ann", None)]:
            users_in.pipe(user, region)
        assert driver.output_topic("counts").read_table() == {"eu": 0, "us": 0}
        assert driver.store("who").get("eu") == []


def test_windows_go_out_with_their_bounds_and_once_when_closed() -> None:
    app = App("windows")
    windows = app.stream("in", key=str, value=int).group_by_key().windowed_by(hopping("10s", "5s"))
    windows.count(name="n", emit="on_close").to_stream().to("out")
    with TopologyTestDriver(app) as driver:
        for at in (0, 6_000, 30_000):
            driver.input_topic("in").pipe("a", 1, timestamp=at)
        assert rows(driver, "out") == [(Windowed("a", 0, 10_000), 2), (Windowed("a", 5_000, 15_000), 1)]


def test_each_record_goes_to_the_topic_of_its_branch_and_to_the_one_it_names() -> None:
    app = App("route")
    stream = app.stream("in", key=str, value=int)
    branches = stream.split({"small": lambda n: n < 10, "even": lambda key, n: n % 2 == 0}, default="rest")
    branches["small"].merge(branches["even"]).to("some")
    branches["rest"].map_values(lambda n: n * 2, value=int).to(lambda key, value, context: f"of-{key}")
    app.stream("of-a", key=str, value=int).to("again")
    with TopologyTestDriver(app) as driver:
        for n in (1, 12, 13):
            driver.input_topic("in").pipe("a", n)
        assert rows(driver, "some") == [("a", 1), ("a", 12)]
        assert rows(driver, "again") == [("a", 26)]
