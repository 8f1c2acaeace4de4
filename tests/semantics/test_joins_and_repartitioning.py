"""Semantics 1.6 (stream with table) and 1.7: who triggers, what meets, and what goes through a topic for it."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App, KStream, KTable, TopologyError
from streamflow.plan import plan
from tests.semantics.world import World, world


def both(app: App) -> tuple[KStream[str, str], KTable[str, str]]:
    return app.stream("in", key=str, value=str), app.table("rows", key=str, value=str)


def joined(word: str, partitions: int = 1) -> Any:
    def declare(app: App) -> None:
        stream, table = both(app)
        getattr(stream, word)(table, lambda left, right: f"{left}+{right}", value=str).to("out")

    return world(declare, partitions=partitions)


def test_only_the_stream_triggers_and_the_result_bears_its_key_time_and_headers() -> None:
    with joined("join") as driver:
        driver.feed("in", ("a", "early", 50))
        driver.input_topic("rows").pipe("a", "row", 100, [("table", b"")])
        driver.input_topic("in").pipe("a", "late", 60, [("stream", b"")])
        (record,) = driver.records()
        assert (record.key, record.value, record.timestamp) == ("a", "late+row", 60)
        assert record.headers == (("stream", b""),)


def test_a_left_join_answers_records_without_a_row_too() -> None:
    with joined("left_join") as driver:
        driver.feed("rows", ("a", "row"), ("b", "row"), ("b", None))
        driver.feed("in", ("a", "1"), ("b", "2"), ("c", "3"), (None, "4"))
        assert [value for _, value, _ in driver.out()] == ["1+row", "2+None", "3+None", "4+None"]
        assert driver.dropped_records == 0


def test_an_inner_join_drops_and_counts_a_null_key() -> None:
    with joined("join") as driver:
        driver.feed("in", (None, "1"), ("a", "2"))
        assert (driver.out(), driver.dropped_records) == ([], 1)


@pytest.mark.parametrize("word", ["join", "left_join"])
def test_a_null_value_of_the_stream_is_dropped_and_counted(word: str) -> None:
    with joined(word) as driver:
        driver.feed("rows", ("a", "row")).feed("in", ("a", None))
        assert (driver.out(), driver.dropped_records) == ([], 1)


def test_a_joiner_may_take_the_key() -> None:
    def declare(app: App) -> None:
        stream, table = both(app)
        stream.join(table, lambda key, left, right: key + left + right, value=str).to("out")

    with world(declare) as driver:
        driver.feed("rows", ("a", "R")).feed("in", ("a", "L"))
        assert driver.out() == [("a", "aLR", 0)]


def test_the_latest_row_to_arrive_counts_whatever_its_time() -> None:
    with joined("join") as driver:
        driver.feed("rows", ("a", "new", 10), ("a", "old", 5)).feed("in", ("a", "x", 7))
        assert driver.out() == [("a", "x+old", 7)]


def rekeyed_join(word: str) -> Any:
    def declare(app: App) -> None:
        stream, table = both(app)
        keyed = stream.select_key(lambda value: value[0] if value != "-" else None, key=str)
        getattr(keyed, word)(table, lambda left, right: f"{left}+{right}", value=str, name="who").to("out")

    return declare


def test_a_rekeyed_stream_meets_the_table_in_the_tables_partitions() -> None:
    with world(rekeyed_join("join"), partitions=4) as driver:
        driver.feed("rows", *((letter, letter.upper()) for letter in "abcdefgh"))
        driver.feed("in", *(("x", letter) for letter in "abcdefgh"))
        assert sorted(value for _, value, _ in driver.out()) == [f"{letter}+{letter.upper()}" for letter in "abcdefgh"]
        assert "app-who-repartition" in driver.produced_topics
        assert not any("rows" in topic and "repartition" in topic for topic in driver.produced_topics)


def test_a_null_key_passes_the_repartition_topic_only_for_a_left_join() -> None:
    for word, expected in (("join", []), ("left_join", [(None, "-+None", 0)])):
        with world(rekeyed_join(word)) as driver:
            driver.feed("in", ("x", "-"))
            assert driver.out() == expected


def topics_of(app: App) -> list[str]:
    return list(app.topology.repartitions)


def source(app: App, **types: Any) -> KStream[str, str]:
    return app.stream("in", **{"key": str, "value": str, **types})


@pytest.mark.parametrize("word", ["map", "flat_map", "select_key", "group_by"])
def test_a_word_that_may_change_the_key_sends_through_a_topic_even_if_it_does_not(word: str) -> None:
    app = App("app")
    stream = source(app)
    match word:
        case "map":
            stream.map(lambda k, v: (k, v), key=str, value=str).group_by_key().count(name="n")
        case "flat_map":
            stream.flat_map(lambda k, v: [(k, v)], key=str, value=str).group_by_key().count(name="n")
        case "select_key":
            stream.select_key(lambda k, v: k, key=str).filter(lambda v: True).group_by_key().count(name="n")
        case _:
            stream.group_by(lambda k, v: k, key=str).count(name="n")
    assert topics_of(app) == ["n"]


def test_words_that_keep_the_key_need_no_topic() -> None:
    app = App("app")
    stream = source(app).filter(bool).map_values(str.upper, value=str).flat_map_values(list, value=str).peek(print)
    stream.group_by_key().count(name="n").to_stream().group_by_key().count(name="again")
    stream.to_table(name="t")
    assert topics_of(app) == []


def test_a_repartition_an_aggregation_or_a_table_clears_the_mark() -> None:
    app = App("app")
    keyed = source(app).select_key(lambda v: v, key=str)
    keyed.repartition(name="moved").group_by_key().count(name="n")
    keyed.to_table(name="t").to_stream().group_by_key().count(name="m")
    keyed.group_by_key().count(name="o").to_stream().group_by_key().count(name="p")
    assert topics_of(app) == ["moved", "t", "o"]


def test_a_merge_is_marked_if_one_of_its_streams_is() -> None:
    app = App("app")
    keyed = app.stream("a", key=str, value=str).select_key(lambda v: v, key=str)
    source(app).merge(keyed).group_by_key().count(name="n")
    assert topics_of(app) == ["n"]


def test_each_use_sends_for_itself_and_a_named_grouping_sends_once() -> None:
    app, shared = App("app"), App("shared")
    keyed = source(app).select_key(lambda v: v, key=str)
    keyed.group_by_key().count(name="a")
    keyed.group_by_key().count(name="b")
    assert topics_of(app) == ["a", "b"]
    grouped = source(shared).select_key(lambda v: v, key=str).group_by_key(name="once")
    grouped.count(name="a")
    grouped.reduce(lambda a, b: b, name="b")
    assert topics_of(shared) == ["once"]


def counts(app: App, **external: int) -> dict[str, int]:
    return dict(plan(app.topology, "app", external).partitions)


def test_a_repartition_topic_has_as_many_partitions_as_the_largest_topic_above() -> None:
    app = App("app")
    source(app).merge(app.stream("more", key=str, value=str)).group_by(lambda v: v, key=str).count(name="n")
    assert counts(app, **{"in": 2, "more": 5})["app-n-repartition"] == 5


def test_a_repartition_topic_that_meets_a_table_has_the_tables_count() -> None:
    app = App("app")
    rekeyed_join("join")(app)
    assert counts(app, **{"in": 7, "rows": 3, "out": 1})["app-who-repartition"] == 3


def test_explicit_partitions_are_taken_and_must_agree() -> None:
    app = App("app")
    source(app).repartition(name="r", partitions=6).group_by_key().count(name="n")
    found = counts(app, **{"in": 2})
    assert (found["app-r-repartition"], found["app-n-changelog"]) == (6, 6)
    table = app.table("rows", key=str, value=str)
    source(app).repartition(name="s", partitions=6).join(table, lambda a, b: a, value=str, name="who")
    with pytest.raises(
        TopologyError, match=r"step 'who' \(.*\): .*different partition counts: 'rows' has 2, 'app-s-repartition' has 6"
    ):
        counts(app, **{"in": 2, "rows": 2})


def test_topics_that_meet_must_have_equal_counts() -> None:
    app = App("app")
    stream, table = both(app)
    stream.join(table, lambda a, b: a, value=str)
    with pytest.raises(TopologyError, match=r"'in' has 2, 'rows' has 3; put .repartition\(\) behind one of them"):
        counts(app, **{"in": 2, "rows": 3})


def test_a_repartition_topic_keeps_its_records_until_they_are_read() -> None:
    app = App("app")
    source(app).repartition(name="r").to("out")
    (topic,) = plan(app.topology, "app", {"in": 1, "out": 1}).internal_topics
    assert topic.name == "app-r-repartition" and topic.internal
    assert (topic.config["cleanup.policy"], topic.config["retention.ms"]) == ("delete", "-1")
    assert topic.config["segment.bytes"] == str(50 * 1024 * 1024)


def test_an_explicit_partitioner_places_the_records_and_the_state_follows() -> None:
    def declare(app: App) -> None:
        moved = source(app).repartition(name="r", partitioner=lambda topic, key, value, partitions: 2)
        moved.group_by_key().count(name="n").to_stream().to("out")

    with world(declare, partitions=3) as driver:
        driver.feed("in", ("a", "1"), ("b", "1"), ("a", "1"), (None, "1"))
        assert {tp.partition for tp in driver.log.produced if tp.topic == "app-r-repartition"} == {2}
        store: Any = driver.store("n")
        assert dict(store.all()) == {"a": 2, "b": 1} and store.get("a") == 2


def test_a_repartition_may_say_the_types_that_are_not_known() -> None:
    def declare(app: App) -> None:
        lengths = source(app).map(lambda k, v: (v, len(v)))
        lengths.repartition(key=str, value=int, name="r").group_by_key().reduce(
            lambda a, b: a + b, name="n"
        ).to_stream().to("out")

    with world(declare, partitions=2) as driver:
        fed: World = driver.feed("in", ("k", "abc"), ("k", "abc"))
        assert fed.out() == [("abc", 3, 0), ("abc", 6, 0)]
