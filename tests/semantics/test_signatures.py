"""api.md, line by line: each word takes the arguments that the contract names, in their places."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import streamflow
from streamflow import App, KGroupedStream, KGroupedTable, KStream, KTable, WindowedKStream, hopping, serdes, tumbling
from streamflow.testing import InputTopic, OutputTopic, TopologyTestDriver

WORDS: list[tuple[Callable[..., Any], str, str]] = [
    (
        App.__init__,
        "id",
        "broker guarantee commit_interval state_dir timestamp standby_replicas on_deserialize_error on_process_error "
        "dead_letter_topic emit topic_partitions on_failure replication_factor optimize naming on_start on_stop "
        "on_state_change max_future",
    ),
    (App.topic, "name", "key value partitions config"),
    (App.stream, "topic", "key value timestamp offset_reset name"),
    (App.table, "topic", "key value store timestamp name"),
    (KStream.filter, "f", "name"),
    (KStream.filter_not, "f", "name"),
    (KStream.map, "f", "key value name"),
    (KStream.map_values, "f", "value name"),
    (KStream.flat_map, "f", "key value name"),
    (KStream.flat_map_values, "f", "value name"),
    (KStream.select_key, "f", "key name"),
    (KStream.peek, "f", "name"),
    (KStream.foreach, "f", "name"),
    (KStream.print, "label", "name"),
    (KStream.merge, "*streams", "name"),
    (KStream.split, "branches", "default name"),
    (KStream.repartition, "", "name key value partitions partitioner"),
    (KStream.to, "topic", "key value partitioner headers name"),
    (KStream.to_table, "", "store name"),
    (KStream.group_by_key, "", "name"),
    (KStream.group_by, "f", "key value name"),
    (KStream.join, "other joiner", "within grace store value name"),
    (KStream.left_join, "other joiner", "within grace store value name"),
    (KStream.outer_join, "other joiner", "within grace store value name"),
    (KStream.with_types, "", "key value"),
    (KGroupedStream.count, "", "store name"),
    (KGroupedStream.reduce, "f", "store name"),
    (KGroupedStream.aggregate, "init f", "value store name"),
    (KGroupedStream.windowed_by, "window", ""),
    (WindowedKStream.count, "", "emit retention store name"),
    (WindowedKStream.reduce, "f", "emit retention store name"),
    (WindowedKStream.aggregate, "init f", "value emit retention store name"),
    (tumbling, "size", "grace"),
    (hopping, "size advance", "grace"),
    (KTable.filter, "f", "store name"),
    (KTable.filter_not, "f", "store name"),
    (KTable.map_values, "f", "value store name"),
    (KTable.to_stream, "f", "key name"),
    (KTable.group_by, "f", "key value name"),
    (KGroupedTable.count, "", "store name"),
    (KGroupedTable.reduce, "adder subtractor", "store name"),
    (KGroupedTable.aggregate, "init adder subtractor", "value store name"),
    (TopologyTestDriver.__init__, "app", "partitions wall_clock commit stores"),
    (TopologyTestDriver.input_topic, "name", "key value"),
    (TopologyTestDriver.output_topic, "name", "key value"),
    (TopologyTestDriver.advance_wall_clock, "duration", ""),
    (TopologyTestDriver.store, "name", ""),
    (InputTopic.pipe, "key value timestamp headers partition", ""),
    (InputTopic.pipe_many, "rows", ""),
    (serdes.windowed, "of size", ""),
    (serdes.json, "of", ""),
    (serdes.msgpack, "of", ""),
]


@pytest.mark.parametrize(("word", "places", "keywords"), WORDS, ids=lambda word: getattr(word, "__qualname__", None))
def test_a_word_takes_what_the_contract_names(word: Callable[..., Any], places: str, keywords: str) -> None:
    parameters = [p for name, p in inspect.signature(word).parameters.items() if name != "self"]
    stars = {inspect.Parameter.VAR_POSITIONAL: "*"}
    assert [stars.get(p.kind, "") + p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == places.split()
    assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} >= set(keywords.split())


@pytest.mark.parametrize(("word", "_places", "_keywords"), WORDS, ids=lambda word: getattr(word, "__qualname__", None))
def test_a_word_says_what_it_does(word: Callable[..., Any], _places: str, _keywords: str) -> None:
    assert word.__name__ == "__init__" or (word.__doc__ or "").strip()


def test_the_defaults_are_the_contracts() -> None:
    defaults = {name: p.default for name, p in inspect.signature(App.__init__).parameters.items()}
    assert (defaults["broker"], defaults["guarantee"]) == ("embedded://.streamflow", "exactly_once")
    assert (defaults["commit_interval"], defaults["state_dir"]) == ("100ms", ".streamflow/state")
    assert (defaults["on_deserialize_error"], defaults["on_process_error"]) == ("fail", "fail")
    assert (defaults["emit"], defaults["topic_partitions"]) == ("every_update", 4)
    assert (defaults["replication_factor"], defaults["optimize"], defaults["naming"]) == (-1, "none", "stable")


@pytest.mark.parametrize("reader", ["read", "read_records", "read_key_values", "read_table"])
def test_an_output_topic_has_every_reader(reader: str) -> None:
    assert callable(getattr(OutputTopic, reader))


def test_what_scripts_need_comes_from_the_package_itself() -> None:
    names = "App KStream KTable KGroupedStream KGroupedTable WindowedKStream Windowed Record Topic Topology"
    names += " Serde serdes tumbling hopping"
    assert [name for name in names.split() if not hasattr(streamflow, name)] == []
    words = "bytes str int32 int64 float64 string raw uuid json msgpack windowed Serde"
    assert [word for word in words.split()[2:] if not hasattr(serdes, word)] == []


def test_a_topology_tells_of_itself_in_four_ways() -> None:
    app = App("app")
    app.stream("in").to("out")
    topology = app.topology
    assert topology.describe().startswith("Topologies:") and topology.to_mermaid().startswith("flowchart")
    assert topology.to_svg().startswith("<svg") and topology.to_dict()["subtopologies"]
