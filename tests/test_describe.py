"""Descriptions equal Kafka Streams' own, byte for byte, for every topology of the oracle that can be declared."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamflow import App, tumbling, until_window_closes

SHARED = Path(os.environ.get("STREAMFLOW_SHARED", Path(__file__).parents[2] / "shared"))
ORACLE = SHARED / "oracles" / "topology_describe.json"

Declare = Callable[[App], None]


def source_sink(app: App) -> None:
    app.stream("in").to("out")


def stateless_chain(app: App) -> None:
    (
        app.stream("in", key=str, value=str)
        .filter(bool)
        .map_values(str.upper, value=str)
        .map(lambda k, v: (k, v), key=str, value=str)
        .flat_map(lambda k, v: [(k, v)], key=str, value=str)
        .peek(len)
        .select_key(str.lower, key=str)
        .to("out")
    )


def stateless_named(app: App) -> None:
    stream = app.stream("in", value=str, name="src").filter(bool, name="flt")
    stream.map_values(str.upper, value=str, name="mv").to("out", name="snk")


def split_branch(app: App) -> None:
    branches = app.stream("in").split({"a": lambda v: True, "2": lambda v: True}, default="0", name="sp-")
    for name in ("0", "2", "a"):
        branches[name].to(f"out-sp-{name}")


def merge(app: App) -> None:
    left, right = app.stream("a"), app.stream("b")
    left.merge(right).to("out")


def group_by_key_count(app: App) -> None:
    app.stream("in").group_by_key().count().to_stream().to("out")


def select_key_count(app: App) -> None:
    app.stream("in", value=str).select_key(str.lower, key=str).group_by_key().count().to_stream().to("out")


def select_key_count_in_a_store(app: App) -> None:
    keyed = app.stream("in", value=str).select_key(str.lower, key=str)
    keyed.group_by_key().count(store="cnt").to_stream().to("out")


def named_grouping(app: App) -> None:
    grouped = app.stream("in", value=str).group_by(str.lower, key=str, name="grp")
    grouped.count(name="cnt-node", store="cnt").to_stream().to("out")


def windowed_count(app: App) -> None:
    app.stream("in").group_by_key().windowed_by(tumbling("1m")).count().to_stream().to("out")


def two_aggregations(app: App) -> None:
    keyed = app.stream("in", value=str).select_key(str.lower, key=str)
    keyed.group_by_key().count().to_stream().to("o1")
    keyed.group_by_key().reduce(lambda a, b: a + b).to_stream().to("o2")


def stream_table_join(app: App) -> None:
    stream = app.stream("l", value=str)
    stream.join(app.table("t", key=bytes, value=str), lambda left, right: left + right, value=str).to("out")


def rekeyed_join(app: App) -> None:
    stream = app.stream("l", value=str).select_key(str.lower, key=str)
    table = app.table("t", key=str, value=str)
    stream.join(table, lambda left, right: left + right, value=str, name="jn").to("out")


def global_join(app: App) -> None:
    stream, table = app.stream("l", key=str, value=str), app.global_table("g", key=str, value=str)
    stream.left_join(table, lambda one, row: one, on=str.lower, value=str).to("out")


def stream_stream_join(app: App) -> None:
    left, right = app.stream("l", value=str), app.stream("r", value=str)
    left.join(right, lambda one, other: one + other, within="5m", value=str).to("out")


def self_join(app: App) -> None:
    stream = app.stream("l", value=str)
    stream.join(stream, lambda one, other: one + other, within="5m", value=str).to("out")


def stream_stream_outer_join(app: App) -> None:
    left, right = app.stream("l", value=str), app.stream("r", value=str)
    left.outer_join(right, lambda one, other: f"{one}{other}", within="5m", value=str).to("out")


def rekeyed_stream_stream_join(app: App) -> None:
    left = app.stream("l", value=str).select_key(str.lower, key=str)
    right = app.stream("r", value=str).select_key(str.lower, key=str)
    left.left_join(right, lambda one, other: f"{one}{other}", within="5m", value=str, name="jn", store="js").to("out")


def cogroup(app: App) -> None:
    one, two = app.stream("a").group_by_key(), app.stream("b").group_by_key()
    both = one.cogroup(lambda total, value: total + len(value)).cogroup(two, lambda total, value: total + len(value))
    both.aggregate(int, value=int).to_stream().to("out")


def suppress(app: App) -> None:
    windows = app.stream("in").group_by_key().windowed_by(tumbling("1m")).count()
    windows.suppress(until_window_closes()).to_stream().to("out")


def table_join(app: App) -> None:
    left, right = app.table("l", key=str, value=str), app.table("r", key=str, value=str)
    left.join(right, lambda one, other: one + other, value=str).to_stream().to("out")


def table_outer_join_in_a_store(app: App) -> None:
    left, right = app.table("l", key=str, value=str), app.table("r", key=str, value=str)
    left.outer_join(right, lambda one, other: f"{one}{other}", value=str, store="joined").to_stream().to("out")


def foreign_key_join(app: App) -> None:
    left, right = app.table("l", key=str, value=str), app.table("r", key=str, value=str)
    left.join(right, lambda one, other: one + other, on=str.lower, value=str).to_stream().to("out")


def foreign_key_join_named(app: App) -> None:
    left, right = app.table("l", key=str, value=str), app.table("r", key=str, value=str)
    joined = left.join(right, lambda one, other: one + other, on=str.lower, value=str, name="fkj", store="res")
    joined.to_stream().to("out")


def table_group_by(app: App) -> None:
    table = app.table("l", key=str, value=str)
    table.group_by(lambda k, v: (v, k), key=str, value=str).count().to_stream().to("out")


def repartition(app: App) -> None:
    app.stream("in").repartition().to("out")


def repartition_named(app: App) -> None:
    app.stream("in").repartition(name="rp").to("out")


def to_table(app: App) -> None:
    app.stream("in", value=str).select_key(str.lower, key=str).to_table().to_stream().to("out")


def table_chain(app: App) -> None:
    table = app.table("t", key=str, value=str)
    table.filter(bool).map_values(str.upper, value=str).to_stream().to("out")


def two_subtopologies(app: App) -> None:
    app.stream("a").to("oa")
    app.stream("b").to("ob")


def pattern_source(app: App) -> None:
    app.stream(re.compile("x.*")).to("out")


def multi_topic_source(app: App) -> None:
    app.stream(["a", "b"]).to("out")


DECLARED: dict[str, Declare] = {
    "source_sink": source_sink,
    "stateless_chain": stateless_chain,
    "stateless_named": stateless_named,
    "split_branch": split_branch,
    "merge": merge,
    "groupByKey_count": group_by_key_count,
    "selectKey_groupByKey_count": select_key_count,
    "selectKey_groupByKey_count_materialized": select_key_count_in_a_store,
    "groupBy_named_grouped": named_grouping,
    "windowed_count": windowed_count,
    "two_aggs_after_selectKey": two_aggregations,
    "two_aggs_after_selectKey_not_optimized": two_aggregations,
    "two_aggs_after_selectKey_optimized": two_aggregations,
    "ss_self_join_optimized": self_join,
    "st_join": stream_table_join,
    "st_join_optimized": stream_table_join,
    "st_join_rekeyed": rekeyed_join,
    "sg_join": global_join,
    "ss_join": stream_stream_join,
    "ss_outer_join": stream_stream_outer_join,
    "ss_join_rekeyed_named": rekeyed_stream_stream_join,
    "table_groupby_count": table_group_by,
    "cogroup": cogroup,
    "suppress": suppress,
    "fk_join": foreign_key_join,
    "fk_join_named": foreign_key_join_named,
    "tt_join": table_join,
    "tt_outer_join_materialized": table_outer_join_in_a_store,
    "repartition": repartition,
    "repartition_named": repartition_named,
    "toTable": to_table,
    "table_chain": table_chain,
    "two_subtopologies": two_subtopologies,
    "pattern_source": pattern_source,
    "multi_topic_source": multi_topic_source,
}


OPTIMIZED = {"two_aggs_after_selectKey_optimized", "ss_self_join_optimized", "st_join_optimized"}


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    if not ORACLE.exists():
        pytest.skip(f"the oracle does not lie in {ORACLE}")
    loaded = json.loads(ORACLE.read_text())
    (cases,) = (value for value in loaded.values() if isinstance(value, list))
    return {case["id"]: case["describe"] for case in cases}


@pytest.mark.parametrize("case", DECLARED)
def test_the_description_is_kafka_streams_own(case: str, oracle: dict[str, Any]) -> None:
    app = App("oracle", naming="kafka_streams", optimize="all" if case in OPTIMIZED else "none")
    DECLARED[case](app)

    assert app.topology.describe() == oracle[case]
