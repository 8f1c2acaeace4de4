"""The buffer of one input partition: positions over gaps, batches entered in the middle, nothing twice."""

from __future__ import annotations

from streamflow.log.batch import encode, rebased
from streamflow.log.contract import Fetched
from streamflow.record import TopicPartition
from streamflow.runtime.input import Input

TP = TopicPartition("lines", 0)


def batch(base: int, *values: bytes) -> bytes:
    [encoded] = encode([(None, value, 1000 + base + n, []) for n, value in enumerate(values)])
    return rebased(encoded, base)


def drained(source: Input) -> list[bytes]:
    values: list[bytes] = []
    while source.has_next:
        values.append(source.records[source.index].value)
        source.advance(1)
    return values


def test_a_fetch_that_begins_inside_a_batch_gives_only_what_is_new() -> None:
    source = Input(TP, (), None)
    source.start(1, 3)

    source.add(Fetched([batch(0, b"a", b"b", b"c")], 3, 3, 0))

    assert drained(source) == [b"b", b"c"]
    assert source.position == 3
    assert source.caught_up


def test_the_position_passes_over_offsets_that_compaction_removed() -> None:
    source = Input(TP, (), None)
    source.start(0, 10)

    source.add(Fetched([batch(0, b"a"), batch(5, b"f")], 10, 10, 0))

    assert drained(source) == [b"a", b"f"]
    assert source.position == 10


def test_a_partition_with_more_in_the_log_is_not_caught_up() -> None:
    source = Input(TP, (), None)
    source.start(0, 0)

    source.add(Fetched([], 0, 7, 0))

    assert not source.has_next
    assert not source.caught_up


def test_the_position_says_what_was_processed_and_fetched_what_was_read() -> None:
    source = Input(TP, (), None)
    source.start(0, 2)
    source.add(Fetched([batch(0, b"a", b"b")], 2, 2, 0))

    source.advance(1)

    assert (source.position, source.fetched) == (1, 2)
