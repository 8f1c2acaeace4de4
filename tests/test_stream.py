"""What the words of a stream declare: steps, repartition topics where keys may have changed, and types that flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow import App, KStream, TopologyError, tumbling
from streamflow.operators.merge import Merge
from streamflow.operators.repartition_filter import DropNullKeys
from streamflow.topology import Sink, Source, Step

Stream = KStream[Any, Any]


def steps(app: App) -> dict[str, Step]:
    return dict(app.topology.steps)


def sinks(app: App) -> dict[str, Sink]:
    return {step.name: step.meaning for step in steps(app).values() if isinstance(step.meaning, Sink)}


def lines() -> tuple[App, Stream]:
    app = App("app")
    return app, app.stream("lines", key=str, value=str)


REKEYING: dict[str, Callable[[Stream], Stream]] = {
    "map": lambda s: s.map(lambda k, v: (k, v), key=str, value=str),
    "flat_map": lambda s: s.flat_map(lambda k, v: [(k, v)], key=str, value=str),
    "select_key": lambda s: s.select_key(lambda v: v, key=str),
    "merge with a rekeyed stream": lambda s: s.merge(s.select_key(lambda v: v, key=str)),
    "to_stream with a key": lambda s: s.group_by_key().reduce(lambda a, b: b).to_stream(lambda k, v: v, key=str),
}
KEEPING: dict[str, Callable[[Stream], Stream]] = {
    "filter": lambda s: s.filter(bool),
    "map_values": lambda s: s.map_values(str.upper, value=str),
    "flat_map_values": lambda s: s.flat_map_values(str.split, value=str),
    "peek": lambda s: s.peek(print),
    "merge": lambda s: s.merge(s.filter(bool)),
    "split": lambda s: s.split({"a": bool})["a"],
    "repartition": lambda s: s.select_key(str.lower, key=str).repartition(),
    "to_table": lambda s: s.select_key(str.lower, key=str).to_table().to_stream(),
    "count": lambda s: s.group_by(str.lower, key=str).reduce(lambda a, b: b).to_stream(),
    "join": lambda s: s.select_key(str.lower, key=str).join(s.to_table(), lambda a, b: a, value=str),
}


@pytest.mark.parametrize("word", REKEYING)
def test_after_a_word_that_may_change_keys_a_grouping_goes_through_a_topic(word: str) -> None:
    app, stream = lines()
    stream = REKEYING[word](stream)
    before = len(app.topology.repartitions)
    stream.group_by_key().count(name="c")
    assert list(app.topology.repartitions)[before:] == ["c"]


@pytest.mark.parametrize("word", KEEPING)
def test_after_a_word_that_keeps_keys_a_grouping_stays_where_it_is(word: str) -> None:
    app, stream = lines()
    stream = KEEPING[word](stream)
    before = dict(app.topology.repartitions)
    stream.group_by_key().count(name="c")
    assert app.topology.repartitions == before


def test_each_use_of_a_rekeyed_stream_has_its_own_topic() -> None:
    app, stream = lines()
    keyed = stream.select_key(str.lower, key=str)
    keyed.group_by_key().count(name="a")
    keyed.group_by_key().count(name="b")
    assert list(app.topology.repartitions) == ["a", "b"]


def test_a_named_grouping_used_twice_has_one_topic() -> None:
    app, stream = lines()
    grouped = stream.group_by(str.lower, key=str, name="grp")
    grouped.count(name="a")
    grouped.windowed_by(tumbling("1m")).count(name="b")
    assert list(app.topology.repartitions) == ["grp"]
    assert sinks(app)["grp-repartition-sink"].value.name == "presence"


def test_a_named_grouping_carries_values_as_soon_as_somebody_needs_them() -> None:
    app, stream = lines()
    grouped = stream.group_by(str.lower, key=str, name="grp")
    grouped.count(name="a")
    grouped.reduce(lambda a, b: b, name="b")
    source = steps(app)["grp-repartition-source"].meaning
    assert isinstance(source, Source)
    assert (sinks(app)["grp-repartition-sink"].value.name, source.value.name) == ("string", "string")


def test_counting_sends_only_keys_and_never_needs_the_values_type() -> None:
    app, stream = lines()
    stream.map(lambda k, v: (v, object()), key=str).group_by_key().count(name="c")
    assert sinks(app)["c-repartition-sink"].value.name == "presence"


def test_records_without_a_key_are_dropped_before_a_topic_unless_a_left_join_follows() -> None:
    app, stream = lines()
    table = app.table("users", key=str, value=str)
    keyed = stream.select_key(str.lower, key=str)
    keyed.join(table, lambda a, b: a, value=str, name="inner")
    keyed.left_join(table, lambda a, b: a, value=str, name="left")
    kinds = {name: type(step.meaning) for name, step in steps(app).items()}
    assert kinds["inner-repartition-filter"] is DropNullKeys
    assert kinds["left-repartition-filter"] is Merge


def test_an_explicit_repartition_before_a_left_join_keeps_records_without_a_key() -> None:
    app, stream = lines()
    table = app.table("users", key=str, value=str)
    again = stream.repartition(name="again", partitions=6).filter(bool)
    assert app.topology.repartitions["again"].partitions == 6
    assert type(steps(app)["again-repartition-filter"].meaning) is DropNullKeys
    again.left_join(table, lambda a, b: a, value=str)
    assert type(steps(app)["again-repartition-filter"].meaning) is Merge


def test_types_flow_from_annotations() -> None:
    def length(line: str) -> int:
        return len(line)

    def pair(key: str, length: int) -> tuple[float, int]:
        return length / 2, length

    app, stream = lines()
    stream.map_values(length).map(pair).to("out")
    assert [(sink.key.name, sink.value.name) for sink in sinks(app).values()] == [("float64", "int64")]


def test_a_merge_of_different_types_is_known_to_be_unknown() -> None:
    app = App("app")
    merged = app.stream("a", value=str).merge(app.stream("b", value=int))  # type: ignore[arg-type]
    merged.to("out", value=str)
    with pytest.raises(
        Exception, match=r"step 'a-merge' .* merges values of different types; .* \.with_types\(value=\.\.\.\)"
    ):
        merged.to("other")


def test_a_sink_takes_a_name_per_record_a_partitioner_and_headers() -> None:
    app, stream = lines()
    stream.to(
        lambda key, value, context: f"out-{value}",
        partitioner=lambda topic, key, value, partitions: 0,
        headers=lambda key, value, context: [("k", b"v")],
        name="sink",
    )
    sink = sinks(app)["sink"]
    assert callable(sink.topic) and sink.topic("k", "v", None) == "out-v"
    assert sink.headers is not None and sink.headers("k", "v", None) == [("k", b"v")]
    assert sink.partitioner is not None and sink.partitioner("t", "k", "v", 3) == 0


def test_a_split_without_default_drops_and_with_one_does_not() -> None:
    app, stream = lines()
    assert list(stream.split({"a": bool, "b": bool})) == ["a", "b"]
    assert list(stream.split({"a": bool}, default="rest")) == ["a", "rest"]
    assert [name for name in steps(app) if "split" in name] == [
        "lines-split", "lines-split-a", "lines-split-b", "lines-split-2", "lines-split-2-a", "lines-split-2-rest",
    ]  # fmt: skip


def test_one_repartition_topic_is_fed_by_one_step() -> None:
    _, stream = lines()
    stream.select_key(str.lower, key=str).group_by_key(name="grp").count(name="a")
    other = stream.select_key(str.upper, key=str).group_by_key(name="grp")
    with pytest.raises(
        TopologyError, match="'grp-repartition' is fed by step 'lines-select-key' and by step 'lines-sel"
    ):
        other.count(name="b")


def test_two_readers_of_one_topic_are_described_as_one_sub_topology() -> None:
    app, _ = lines()
    app.stream("lines").to("out")
    app.stream("other").to("out-2")
    assert app.topology.describe().count("Sub-topology") == 2
