"""Semantics 1.1: where records come in and go out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streamflow import App, RecordError, TopologyError, serdes, tumbling
from streamflow.log.batch import records
from streamflow.log.partitioner import partition_of
from streamflow.record import TopicPartition
from tests.semantics.world import answer, world


def test_a_list_of_topics_is_one_source() -> None:
    with world(lambda app: app.stream(["a", "b"], key=str, value=str).to("out")) as driver:
        driver.feed("a", ("k", "1")).feed("b", ("k", "2"))
        assert driver.out() == [("k", "1", 0), ("k", "2", 0)]


def test_a_pattern_reads_every_topic_whose_whole_name_it_matches() -> None:
    with world(lambda app: app.stream(re.compile("orders-.*"), key=str, value=str).to("out")) as driver:
        driver.feed("orders-eu", ("k", "1"))
        driver.feed("orders-us", ("k", "2"))
        assert driver.out() == [("k", "1", 0), ("k", "2", 0)]
        with pytest.raises(Exception, match="no step reads topic 'old-orders-eu'"):
            driver.input_topic("old-orders-eu")


def test_key_and_value_are_bytes_unless_something_else_is_said() -> None:
    assert answer(lambda app: app.stream("in").to("out"), (b"k", b"\xff")) == ([(b"k", b"\xff", 0)], 0)


def test_a_declared_topic_brings_its_types_to_source_and_sink() -> None:
    def declare(app: App) -> None:
        orders = app.topic("in", key=str, value=float)
        app.stream(orders).to(app.topic("out", key=str, value=float))

    assert answer(declare, ("k", 1.5)) == ([("k", 1.5, 0)], 0)


def test_a_table_drops_null_keys_and_deletes_on_null_values() -> None:
    with world(lambda app: app.table("in", key=str, value=str, store="rows").to_stream().to("out")) as driver:
        driver.feed("in", ("a", "1"), (None, "x"), ("a", None), ("b", "2"))
        assert driver.out() == [("a", "1", 0), ("a", None, 0), ("b", "2", 0)]
        assert dict(driver.store("rows").all()) == {"b": "2"}
        assert driver.dropped_records == 1


def test_a_table_nobody_needs_has_no_store_and_forwards() -> None:
    app = App("app")
    table = app.table("in", key=str, value=str)
    assert table.store is None and not app.topology.stores
    assert app.table("other", key=str, value=str, name="kept").store == "kept"


def test_a_table_that_is_joined_or_regrouped_gets_a_store() -> None:
    app = App("app")
    users, rows = app.table("users", key=str, value=str), app.table("rows", key=str, value=str)
    app.stream("in", key=str, value=str).join(users, lambda a, b: a, value=str)
    rows.group_by(lambda k, v: (v, k), key=str, value=str).count(name="n")
    assert users.store is not None and rows.store is not None


def test_store_and_name_of_a_table_mean_the_same() -> None:
    named, stored = App("a"), App("b")
    named.table("t", key=str, value=str, name="rows")
    stored.table("t", key=str, value=str, store="rows")
    assert list(named.topology.stores) == list(stored.topology.stores) == ["rows"]


@pytest.mark.parametrize("types", [{}, {"key": str}, {"value": str}])
def test_a_table_needs_the_types_of_its_keys_and_values(types: dict[str, Any]) -> None:
    with pytest.raises(TopologyError, match="the table of topic 't' needs both key= and value="):
        App("a").table("t", **types)


def test_a_topic_is_chosen_per_record_by_value_key_and_context() -> None:
    def declare(app: App) -> None:
        stream = app.stream("in", key=str, value=str)
        stream.to(lambda value: f"by-{value}")
        stream.to(lambda key, value: f"by-{key}-{value}")
        stream.to(lambda key, value, context: f"by-{context.topic}-{context.partition}-{context.offset}")

    with world(declare) as driver:
        driver.feed("in", ("k", "v"))
        for topic in ("by-v", "by-k-v", "by-in-0-0"):
            assert driver.out(topic, key=str, value=str) == [("k", "v", 0)], topic


@pytest.mark.parametrize("topic", [None, 7, "", "no such/name"])
def test_a_topic_that_cannot_be_is_told_with_its_step(topic: Any) -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).to(lambda value: topic, name="send")

    with pytest.raises(RecordError, match="step 'send': its function"):
        answer(declare, ("k", "v"))


def test_records_lie_where_murmur2_of_their_key_says() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).map_values(str.upper, value=str).to("out")

    with world(declare, partitions=5) as driver:
        driver.feed("in", *((f"key-{n}", "v") for n in range(20)))
        for partition in range(5):
            for stored in driver.log.batches(TopicPartition("out", partition), 0):
                assert {partition_of(raw.key or b"", 5) for raw in records(stored.data)} == {partition}
        assert len(driver.out()) == 20


def test_a_partitioner_of_ones_own_decides() -> None:
    def declare(app: App) -> None:
        stream = app.stream("in", key=str, value=str)
        stream.to("out", partitioner=lambda topic, key, value, partitions: int(value) % partitions)

    with world(declare, partitions=3) as driver:
        driver.feed("in", ("a", "0"), ("a", "1"), ("a", "2"))
        assert {tp.partition for tp in driver.log.produced if tp.topic == "out"} == {0, 1, 2}


def test_a_partitioner_that_names_no_partition_is_told() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).to(
            "out", partitioner=lambda topic, key, value, partitions: 99, name="send"
        )

    with pytest.raises(RecordError, match=r"step 'send': its partitioner gave 99 for topic 'out'.*partitions 0 to 2"):
        answer(declare, ("a", "0"), partitions=3)


def test_all_windows_of_a_key_lie_in_one_partition() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).group_by_key().windowed_by(tumbling("1s")).count(name="n").to_stream().to(
            "out"
        )

    with world(declare, partitions=4) as driver:
        driver.feed("in", *(("a", "v", second * 1000) for second in range(12)))
        assert len({tp.partition for tp in driver.log.produced if tp.topic == "out"}) == 1
        assert len(driver.out()) == 12


def test_headers_are_the_records_own_or_what_a_function_gives() -> None:
    def declare(app: App) -> None:
        stream = app.stream("in", key=str, value=str)
        stream.to("same")
        stream.to("made", headers=lambda key, value, context: [("offset", str(context.offset).encode())])

    with world(declare) as driver:
        driver.input_topic("in").pipe("k", "v", 0, [("a", b"1"), ("a", b"2")])
        assert driver.records("same")[0].headers == (("a", b"1"), ("a", b"2"))
        assert driver.records("made")[0].headers == (("offset", b"0"),)


@pytest.mark.parametrize("headers", [[("a", "text")], {"a": b"1"}, [b"1"], None, [("a", b"1", b"2")]])
def test_headers_of_the_wrong_shape_are_told_with_their_step(headers: Any) -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).to("out", headers=lambda value: headers, name="send")

    with pytest.raises(RecordError, match="step 'send': its headers must be pairs of a name and bytes"):
        answer(declare, ("k", "v"))


def test_sink_types_are_said_at_the_sink_where_they_are_not_known() -> None:
    declared = answer(
        lambda app: app.stream("in", key=str, value=str).map_values(lambda v: len(v)).to("out", value=int), ("k", "abc")
    )
    assert declared == ([("k", 3, 0)], 0)


def test_with_types_says_types_anew_without_a_step() -> None:
    app = App("app")
    stream = app.stream("in", key=str, value=str).map_values(lambda value: len(value))
    before = list(app.topology.steps)
    typed = stream.with_types(value=serdes.int32)
    assert list(app.topology.steps) == before
    typed.to("out")
    assert app.topology.steps[next(reversed(app.topology.steps))].meaning.value.name == "int32"  # type: ignore[union-attr]


def test_a_filtered_stream_may_go_back_to_the_topic_it_came_from() -> None:
    def declare(app: App) -> None:
        created = app.stream("orders", key=str, value=str).filter(lambda state: state == "CREATED")
        created.map_values(lambda state: "VALIDATED", value=str).to("orders")

    with world(declare) as driver:
        driver.feed("orders", ("1", "CREATED"))
        assert [value for _, value, _ in driver.out("orders")] == ["CREATED", "VALIDATED"]


@pytest.mark.parametrize("keyword", ["timestamp", "offset_reset"])
def test_two_readers_of_one_topic_must_agree(keyword: str) -> None:
    app = App("app")
    app.stream("in", key=str, value=str)
    different: dict[str, Any] = {"timestamp": lambda value: 0, "offset_reset": "latest"}
    with pytest.raises(
        TopologyError, match=f"steps 'in-source' and 'in-source-2' read topic 'in' with different {keyword}="
    ):
        app.stream("in", key=str, value=str, **{keyword: different[keyword]})
