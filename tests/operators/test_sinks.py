"""Sinks: which partition, which topic, which headers, and how it is taken back."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.errors import StreamflowError
from streamflow.log.partitioner import partition_of
from streamflow.operators.filter import Filter
from streamflow.operators.map import FlatMapValues
from streamflow.record import Windowed
from streamflow.runtime.outbox import MissingTopic
from streamflow.serdes import int64, string, windowed
from streamflow.state.layers import rollback
from tests.operators.bench import Bench, function, sink, source, step

LOOKS = step("look", Filter(function(lambda key, value: True, "predicate")))


def placed(bench: Bench, topic: str = "out") -> list[list[bytes | None]]:
    """The keys in each partition."""
    return [[record[0] for record in records] for records in bench.outbox.outlet(topic).lists]


@pytest.mark.parametrize("decoded", [False, True])
def test_a_record_goes_where_its_key_bytes_hash_to(decoded: bool) -> None:
    steps = [source(), LOOKS, sink("look")] if decoded else [source(), sink("in")]
    bench = Bench(*steps, partitions={"out": 7})

    for n in range(50):
        bench.pipe(f"key-{n}", "x")

    for partition, keys in enumerate(placed(bench)):
        assert all(partition_of(key or b"", 7) == partition for key in keys)
    assert sum(map(len, placed(bench))) == 50


@pytest.mark.parametrize("undo", [None, []])
@pytest.mark.parametrize("decoded", [False, True])
def test_a_windowed_key_lies_where_its_inner_key_lies(decoded: bool, undo: list[Any] | None) -> None:
    key = windowed(str, "1s")
    steps = [source(key=key), LOOKS, sink("look", key=key)] if decoded else [source(key=key), sink("in", key=key)]
    bench = Bench(*steps, partitions={"out": 5}, undo=undo)

    for start in range(0, 50_000, 1000):
        bench.pipe(Windowed("alice", start, start + 1000), "x")

    assert [len(keys) for keys in placed(bench)] == [50 if p == partition_of(b"alice", 5) else 0 for p in range(5)]


def test_records_without_a_key_go_to_one_partition_until_the_outlet_is_cleared() -> None:
    bench = Bench(source(), sink("in"), partitions={"out": 3})
    for _ in range(4):
        bench.pipe(None, "x")
    first = [len(keys) for keys in placed(bench)]
    bench.outbox.clear()
    bench.pipe(None, "x")
    assert sorted(first) == [0, 0, 4] and [len(keys) for keys in placed(bench)] != first


def test_a_key_that_its_serde_writes_as_null_is_placed_like_a_null_key() -> None:
    bench = Bench(source(), LOOKS, sink("look"), partitions={"out": 2})
    bench.pipe(None, "x")
    assert sum(map(len, placed(bench))) == 1


def test_a_partitioner_is_given_topic_key_value_and_count() -> None:
    asked: list[Any] = []

    def second(*what: Any) -> int:
        asked.append(what)
        return 1

    bench = Bench(source(), sink("in", partitioner=second), partitions={"out": 3})
    bench.pipe("k", "v")
    assert asked == [("out", "k", "v", 3)] and placed(bench) == [[], [b"k"], []]


@pytest.mark.parametrize("given", [3, -1, None, "0", 1.0])
def test_a_partition_that_is_not_there_is_told(given: Any) -> None:
    bench = Bench(source(), sink("in", partitioner=lambda *_: given), partitions={"out": 3})
    with pytest.raises(StreamflowError, match=r"step 'out': its partitioner gave .* 'out', .* partitions 0 to 2"):
        bench.pipe("k", "v")


def test_a_topic_may_be_chosen_by_key_value_and_context() -> None:
    def choose(key: str, value: str, context: Any) -> str:
        return f"{value}-{context.topic}"

    bench = Bench(source(), sink("in", topic=choose), partitions={"a-in": 1, "b-in": 1})
    for value in ("a", "b", "a"):
        bench.pipe("k", value)
    assert len(bench.raw_out("a-in")) == 2 and len(bench.raw_out("b-in")) == 1


@pytest.mark.parametrize("topic", [None, 3, ""])
def test_a_topic_that_is_no_name_is_told(topic: Any) -> None:
    bench = Bench(source(), sink("in", topic=lambda *_: topic))
    with pytest.raises(StreamflowError, match=r"step 'out': its function must give the name of a topic, but gave"):
        bench.pipe("k", "v")


def test_a_topic_that_is_not_there_is_the_tasks_to_settle() -> None:
    with pytest.raises(MissingTopic):
        Bench(source(), sink("in", topic=lambda *_: "nowhere")).pipe("k", "v")


def test_headers_are_the_records_own_unless_a_function_gives_others() -> None:
    bench = Bench(
        source(),
        sink("in", name="own"),
        sink("in", name="made", headers=lambda key, value, context: [*context.headers, (key, value.encode())]),
    )
    bench.pipe("k", "v", headers=[("h", b"1")])
    assert bench.raw_out("own")[0][3] == [("h", b"1")]
    assert bench.raw_out("made")[0][3] == [("h", b"1"), ("k", b"v")]


def test_a_value_its_type_cannot_write_is_an_error_of_the_sink() -> None:
    bench = Bench(source(), step("m", FlatMapValues(function(lambda value: [1, value]))), sink("m", value=int64))
    with pytest.raises(StreamflowError, match="int64"):
        bench.pipe("k", "text")


def test_what_a_refused_record_wrote_is_taken_back() -> None:
    undo: list[Any] = []

    def twice(value: str) -> Any:
        yield value
        yield value
        if value == "bad":
            raise ValueError(value)

    bench = Bench(source(), step("m", FlatMapValues(function(twice))), sink("m"), partitions={"out": 2}, undo=undo)
    bench.pipe("k", "good")
    undo.clear()
    with pytest.raises(ValueError, match="bad"):
        bench.pipe("k", "bad")
    rollback(undo)
    assert bench.out() == [("k", "good", 0)] * 2


def test_the_serdes_of_a_decoded_run_write_what_the_source_read() -> None:
    bench = Bench(source(key=int64, value=string), LOOKS, sink("look", key=string, value=string))
    with pytest.raises(StreamflowError, match="expected str, got int"):
        bench.pipe(3, "x")
