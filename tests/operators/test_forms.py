"""What is decoded and what stays bytes: decided once, for whole runs of steps."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.forms import Form, settle
from streamflow.operators.aggregate import Count
from streamflow.operators.filter import Filter
from streamflow.operators.join import StreamTableJoin
from streamflow.operators.map import MapValues, SelectKey
from streamflow.operators.merge import Merge
from streamflow.operators.table_ops import ToStream
from streamflow.operators.table_source import TableSource
from streamflow.operators.window_aggregate import WindowCount
from streamflow.serdes import Serde, int64, presence, string, windowed
from streamflow.state.spec import StoreSpec
from streamflow.topology import Step
from streamflow.windows import tumbling
from tests.operators.bench import Bench, Raw, function, sink, source, step


def refuse(data: Any) -> Any:
    raise AssertionError("a serde was called")


NEVER = Serde(refuse, refuse, "never")
LOOKS = Filter(function(lambda value: True, "predicate"))
LOOKS_AT_KEY = Filter(function(lambda key, value: True, "predicate"))
COUNTS = StoreSpec("counts", "key_value", string, int64)
WINDOWS = StoreSpec("windows", "window", string, int64, retention_ms=10, window_ms=10)


def form(name: str, *steps: Step, stores: tuple[StoreSpec, ...] = (COUNTS, WINDOWS)) -> Form:
    return settle(steps, stores)[name]


def test_a_record_that_only_moves_is_copied_byte_for_byte() -> None:
    bench = Bench(source(key=NEVER, value=NEVER), sink("in", key=NEVER, value=NEVER))
    bench.feed(Raw(b"\xff", b"\xfe", 3, headers=[("h", b"1")]))
    bench.feed(Raw(None, None, 4))
    assert bench.raw_out() == [(b"\xff", b"\xfe", 3, [("h", b"1")]), (None, None, 4, ())]


def test_one_step_that_looks_decodes_the_whole_run_above_and_below_it() -> None:
    chain = (step("m", Merge()), step("f", LOOKS, "m"), step("n", Merge(), "f"))
    steps = (source(), *chain, sink("n"), sink("m", name="o2"))
    for name in ("m", "f", "n", "out", "o2"):
        found = form(name, *steps)
        assert found.key_raw and not found.value_raw


def test_keys_and_values_are_settled_apart() -> None:
    found = form("out", source(), step("f", LOOKS_AT_KEY), sink("f"))
    assert not found.key_raw and not found.value_raw
    assert form("s", source(), step("s", SelectKey(function(len)))).key_raw


def test_another_serde_at_the_end_means_decoding() -> None:
    found = form("out", source(), sink("in", key=NEVER))
    assert not found.key_raw and found.value_raw


def test_sources_of_two_serdes_cannot_share_a_raw_run() -> None:
    steps = (source("a"), source("b", value=int64), step("m", Merge(), "a", "b"), sink("m"))
    assert form("m", *steps).key_raw and not form("m", *steps).value_raw


def test_what_a_step_makes_is_an_object() -> None:
    found = form("out", source(), step("m", MapValues(function(len))), sink("m", value=int64))
    assert found.key_raw and not found.value_raw


def test_counting_needs_neither_key_nor_value() -> None:
    found = form("c", source(), step("c", Count("counts")))
    assert found.key_raw and found.value_raw and not found.value_out_raw


def test_a_store_with_another_key_serde_decodes_the_keys() -> None:
    other = StoreSpec("counts", "key_value", NEVER, int64)
    assert not form("c", source(), step("c", Count("counts")), stores=(other,)).key_raw


def test_a_table_is_kept_as_it_came_unless_somebody_looks() -> None:
    table = (source("t"), step("rows", TableSource("r"), "t"))
    store = StoreSpec("r", "key_value", string, string)
    assert form("rows", *table, stores=(store,)).value_out_raw
    looked_at = form("rows", *table, step("to", ToStream(), "rows"), step("f", LOOKS, "to"), stores=(store,))
    assert not looked_at.value_out_raw
    join = (source(), step("j", StreamTableJoin(function(max, "joiner"), "r")))
    joined = settle((*table, *join), (store,))
    assert joined["rows"].value_out_raw and joined["j"].key_raw and not joined["j"].value_out_raw


def test_two_serdes_without_a_name_are_the_same_only_if_they_are_the_same() -> None:
    one = Serde(refuse, refuse)
    other = Serde(lambda value: refuse(value), refuse)
    assert form("out", source(value=one), sink("in", value=one)).value_raw
    assert not form("out", source(value=one), sink("in", value=other)).value_raw


def test_a_sink_that_takes_any_form_leaves_values_undecoded_and_is_asked_all_the_same() -> None:
    bench = Bench(source(value=NEVER), sink("in", value=presence))
    bench.feed(Raw(b"k", b"\xff", 0))
    bench.feed(Raw(b"k", None, 0))
    assert [value for _, value, _, _ in bench.raw_out()] == [b"\x01", None]


def test_a_sink_with_functions_of_the_user_gives_them_objects() -> None:
    asked: dict[str, Any]
    for asked in (
        {"topic": lambda key, value, context: "t"},
        {"partitioner": lambda topic, key, value, partitions: 0},
        {"headers": lambda key, value, context: []},
    ):
        found = form("out", source(), sink("in", **asked))
        assert not found.key_raw and not found.value_raw


WINDOWED = windowed(str, "10ms")


def windows(*after: Step, key: Serde[Any] = string) -> tuple[Step, ...]:
    counting = step("c", WindowCount("windows", tumbling("10ms")))
    return (source(key=key), counting, step("r", ToStream(), "c"), *after)


def test_a_windowed_key_stays_raw_where_nobody_looks() -> None:
    steps = windows(sink("r", key=WINDOWED, value=int64))
    assert form("c", *steps).key_raw and form("c", *steps).key_out_raw and form("out", *steps).key_raw

    bench = Bench(*steps, stores=[WINDOWS])
    bench.pipe("k", "x", 25)
    assert bench.raw_out() == [(b"k" + (20).to_bytes(8, "big"), int64.serialize(1), 25, ())]


def test_who_looks_at_a_windowed_key_leaves_the_inner_keys_raw() -> None:
    found = form("c", *windows(step("f", LOOKS_AT_KEY, "r")))
    assert found.key_raw and not found.key_out_raw and found.decode_key(b"k") == "k"


def test_who_looks_at_the_inner_key_decodes_the_windowed_ones() -> None:
    steps = windows(step("f", LOOKS_AT_KEY), sink("r", key=WINDOWED))
    assert not form("c", *steps).key_raw and not form("c", *steps).key_out_raw


@pytest.mark.parametrize("key", [string, windowed(int, "10ms")])
def test_a_sink_of_another_windowed_serde_decodes_the_windowed_keys(key: Serde[Any]) -> None:
    found = form("c", *windows(sink("r", key=key)))
    assert found.key_raw and not found.key_out_raw


def test_windowed_keys_read_from_a_topic_may_meet_those_made_here() -> None:
    steps = windows(source("w", key=WINDOWED), step("m", Merge(), "r", "w"), sink("m", key=WINDOWED))
    assert form("m", *steps).key_raw
