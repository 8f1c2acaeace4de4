"""What real Kafka Streams applications answer, ours answer: the catalogue's inputs through the test driver.

Loudly skipped where the catalogue's files are not; ``STREAMFLOW_SHARED`` is the folder that holds them.
"""

from __future__ import annotations

import importlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf.message import Message

from examples.kafka_streams import naming_internal_topics
from examples.kafka_streams.avro_schema_registry import MyRecord
from examples.kafka_streams.avro_to_protobuf import Movie
from examples.kafka_streams.window_final_result import PressureAlert, alert_time
from streamflow import App, RecordError, Windowed, serdes
from streamflow.testing import TopologyTestDriver

SHARED = Path(os.environ.get("STREAMFLOW_SHARED", Path(__file__).parents[3] / "shared"))
FOLDER = SHARED / "examples_catalogue"
NOW = 1_700_000_000_000
TYPES: dict[str, Any] = {
    "string": str, "long": int, "int": serdes.int32, "double": float, "json": serdes.json(Any), "bytes": bytes,
}  # fmt: skip

EXAMPLES = Path(__file__).parents[2] / "examples" / "kafka_streams"
BY_ITSELF = {"naming-internal-topics"}
"""Tested by its names, not by its records."""
APPLICATIONS = sorted(
    name
    for path in EXAMPLES.glob("*.py")
    if not path.stem.startswith("_") and (name := path.stem.replace("_", "-")) not in BY_ITSELF
)


def build(name: str, **options: Any) -> App:
    app: App = importlib.import_module(f"examples.kafka_streams.{name.replace('-', '_')}").build(**options)
    return app


if not FOLDER.is_dir():
    pytest.skip(
        f"NOT RUN: the catalogue's files are not at {FOLDER}; "
        f"set STREAMFLOW_SHARED to the folder that holds examples_catalogue/",
        allow_module_level=True,
    )


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


OPTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "session-windows-clicks": lambda options: {"by_own_time": options.get("timestamp_extractor", True)},
    "daily-custom-windows": lambda options: {"zone": options.get("zone", "UTC")},
}
"""How the options of a case are told to its application."""


def cases() -> Iterator[Any]:
    for name in APPLICATIONS:
        file = load(name)
        yield pytest.param(name, file, id=name)
        for more in file.get("more_cases", ()):
            yield pytest.param(name, {**file, "expect_error": None, **more}, id=f"{name}: {more['name']}")


def type_of(name: str) -> Any:
    if name.startswith("windowed<"):
        inner, _, size = name.removeprefix("windowed<").partition(">:")
        return serdes.windowed(type_of(inner), f"{size}ms")
    return TYPES[name]


def plain(key: Any) -> Any:
    """A key as the catalogue writes it."""
    return {"key": key.key, "start": key.start, "end": key.end} if isinstance(key, Windowed) else key


def as_plain_data(value: Any) -> Any:
    return msgspec.to_builtins(value)


READ_AS: dict[str, Any] = {"avro-schema-registry": MyRecord, "avro-to-protobuf": Movie}


def of_format(value: Any) -> Any:
    """A value as the catalogue writes it."""
    if isinstance(value, Message):
        return {field.name: getattr(value, field.name) for field in value.DESCRIPTOR.fields}
    return msgspec.to_builtins(value)


def pipe(driver: TopologyTestDriver, case: dict[str, Any], entry: dict[str, Any]) -> None:
    if "advance_wall_clock_ms" in entry:
        driver.advance_wall_clock(f"{entry['advance_wall_clock_ms']}ms")
        return
    types = case["serdes"][entry["topic"]]
    key, value = (type_of(entry.get(f"{side}_serde", types[side])) for side in ("key", "value"))
    if case["name"] in READ_AS:  # the catalogue shows values as JSON where the application has another format
        value, given = None, msgspec.convert(entry["value"], READ_AS[case["name"]])
    else:
        given = entry["value"]
    topic = driver.input_topic(entry["topic"], key=key, value=value)
    topic.pipe(entry["key"], given, timestamp=entry["timestamp_ms"])


def written(driver: TopologyTestDriver, case: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What came out, per topic, as the catalogue writes it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for topic, types in case["serdes"].items():
        if types["role"] != "in":
            value = None if case["name"] in READ_AS else type_of(types["value"])
            output = driver.output_topic(topic, key=type_of(types["key"]), value=value)
            found[topic] = [
                {"topic": topic, "key": plain(r.key), "value": of_format(r.value), "timestamp_ms": r.timestamp}
                for r in output.read_records()
            ]
            for entry in case["inputs"]:  # of a topic that the application both reads and writes
                given = [
                    row for row in found[topic] if row["key"] == entry.get("key") and row["value"] == entry.get("value")
                ]
                if entry.get("topic") == topic and given:
                    found[topic].remove(given[0])
    return found


def per_topic(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["topic"]].append(row)
    return found


def assert_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]], compare: str) -> None:
    timed = [{"timestamp_ms": row["timestamp_ms"], **want} for row, want in zip(found, expected, strict=False)]
    if compare == "exact_order":
        assert found == [*timed, *expected[len(found) :]]
    elif compare == "multiset":
        bare = [{name: row[name] for name in ("topic", "key", "value")} for row in found]
        assert Counter(map(repr, bare)) == Counter(map(repr, expected))
    else:
        assert compare == "final_table"
        last = {repr(row["key"]): row["value"] for row in found}
        assert last == {repr(row["key"]): row["value"] for row in expected}


@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
@pytest.mark.parametrize(("name", "case"), list(cases()))
def test_the_application_answers_as_the_catalogue_says(name: str, case: dict[str, Any], stores: Any) -> None:
    app = build(name, **OPTIONS.get(name, lambda options: {})(case.get("options", {})))
    failing = (case.get("expect_error") or {}).get("at_input")
    with TopologyTestDriver(app, wall_clock=NOW, stores=stores) as driver:
        for number, entry in enumerate(case["inputs"]):
            if number == failing:
                with pytest.raises(RecordError, match=f"{entry['topic']}' partition 0 offset {number}"):
                    pipe(driver, case, entry)
                break
            pipe(driver, case, entry)
            for query in case.get("store_queries", ()):
                if query.get("after_inputs") == number + 1:
                    assert as_plain_data(ask(driver, query)) == query["expect"], query
        found = written(driver, case)
        for topic, expected in {**{key: [] for key in found}, **per_topic(case["expected"])}.items():
            assert_alike(found[topic], expected, case["compare"])
        for topic, expected in per_topic(case.get("expected_uncached", ())).items():
            assert_alike(found[topic], expected, "exact_order")
        for query in (query for query in case.get("store_queries", ()) if "after_inputs" not in query):
            assert as_plain_data(ask(driver, query)) == query["expect"], query
        if "side_effects" in case:
            seen = [{"key": key, "value": as_plain_data(value)} for key, value in app.seen]  # type: ignore[attr-defined]
            assert seen == case["side_effects"]


def ask(driver: TopologyTestDriver, query: dict[str, Any]) -> Any:
    store = driver.store(query["store"])
    match query["op"]:
        case "get":
            return store.get(query["key"])
        case "all":
            return [[key, value] for key, value in store.all()]
        case "range":
            return [[key, value] for key, value in store.range(query["from"], query["to"])]
        case "window_fetch":
            return [[start, value] for start, value in store.fetch(query["key"], query["from_ms"], query["to_ms"])]
        case other:
            raise AssertionError(f"the catalogue has a new kind of query: {other}")


def test_the_word_count_over_two_partitions_answers_the_same_queries() -> None:
    case = load("word-count-interactive-queries")
    app = build("word-count-interactive-queries")
    with TopologyTestDriver(app, partitions=2, wall_clock=NOW) as driver:
        for entry in case["inputs"]:
            pipe(driver, case, entry)
        for query in case["store_queries"]:
            assert ask(driver, query) == query["expect"], query


def test_a_restart_between_two_orders_loses_and_repeats_nothing() -> None:
    case = next(more for more in load("order-details-service")["more_cases"] if "restart" in more["name"])
    file = {**load("order-details-service"), **case}
    with TopologyTestDriver(build("order-details-service")) as driver:
        for entry in file["inputs"]:
            pipe(driver, file, entry)
            driver.crash()
        found = written(driver, file)["order-validations"]
    assert_alike(found, file["expected"], "exact_order")


@pytest.mark.parametrize("check", load("window-final-result")["extractor_checks"], ids=lambda check: check["dateTime"])
def test_the_extractor_tells_the_time_or_drops_the_record(check: dict[str, Any]) -> None:
    time = alert_time(PressureAlert("101", check["dateTime"], 0))
    if isinstance(check["timestamp_ms"], int) and check["timestamp_ms"] >= 0:
        assert isinstance(time, datetime) and time.timestamp() * 1000 == check["timestamp_ms"]
        return
    with TopologyTestDriver(build("window-final-result")) as driver:
        driver.input_topic("final-result-input").pipe(None, PressureAlert("101", check["dateTime"], 0))
        assert driver.dropped_records == 1


@pytest.mark.parametrize(
    "check", load("naming-internal-topics")["topology_checks"], ids=lambda check: str(check["options"])
)
def test_generated_names_are_the_references_under_its_naming(check: dict[str, Any]) -> None:
    text = naming_internal_topics.build(**check["options"], style="kafka_streams").topology.describe()
    assert [name for name in check["has"] if name not in text] == []
    assert [name for name in check["has_not"] if name in text] == []


def test_stable_names_do_not_move_when_a_filter_comes_in() -> None:
    with_names, without = (
        [naming_internal_topics.build(add_filter=f, add_names=n) for f in (False, True)] for n in (True, False)
    )
    for before, after in (with_names, without):
        assert list(before.topology.stores) == list(after.topology.stores)
        assert list(before.topology.repartitions) == list(after.topology.repartitions)
    assert list(with_names[0].topology.stores) == ["the-counting-store"]
    assert list(with_names[0].topology.repartitions) == ["count"]


def test_every_application_of_the_catalogue_is_here() -> None:
    files = {file.stem for file in FOLDER.glob("*.json")}
    assert files == {*APPLICATIONS} | BY_ITSELF


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_example_is_a_script_that_runs_as_it_is(name: str) -> None:
    assert isinstance(importlib.import_module(f"examples.kafka_streams.{name.replace('-', '_')}").app, App)
