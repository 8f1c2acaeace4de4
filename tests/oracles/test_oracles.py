"""What Kafka Streams answered, streamflow answers: in memory, on RocksDB, and with a crash after every step."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.testing import TopologyTestDriver
from streamflow.topology import external_topics
from tests.oracles import cases
from tests.oracles.otherwise import Otherwise

if not cases.FOLDER.is_dir():
    pytest.skip(
        f"NOT RUN: the oracle's files are not at {cases.FOLDER}; set STREAMFLOW_SHARED to the folder that holds oracles/",
        allow_module_level=True,
    )

ALL = list(cases.all_cases())
NOW = [case for case in ALL if cases.later(case) is None]


@pytest.mark.parametrize("crash", [False, True], ids=["", "crash-after-every-step"])
@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
@pytest.mark.parametrize("case", NOW, ids=lambda case: case["id"])
def test_the_answer_is_kafka_streams_answer(case: dict[str, Any], stores: Any, crash: bool) -> None:
    otherwise = cases.DECIDED_OTHERWISE.get(case["id"], Otherwise(""))
    app = cases.build(case)
    with TopologyTestDriver(app, stores=stores) as driver:
        outputs = {
            topic: driver.output_topic(topic) for topic in external_topics(app.topology) if topic.startswith("output")
        }
        for number, step in enumerate(case["steps"]):
            if "in" in step:
                topic, key, value, timestamp = step["in"]
                driver.input_topic(topic).pipe(key, value, timestamp=timestamp)
            else:
                driver.advance_wall_clock(f"{step['advance_wall_ms']}ms")
            if crash:
                driver.crash()
            found = {
                topic: [cases.in_oracle_form(r.key, r.value, r.timestamp) for r in rows]
                for topic, output in outputs.items()
                if (rows := output.read_records())
            }
            expected = cases.by_topic(otherwise.steps.get(number, step["out"]))
            assert found == expected, f"step {number}: {step}"
        dropped = case.get("dropped_records_total") if otherwise.dropped is None else otherwise.dropped
        if dropped is not None:
            assert driver.dropped_records == dropped


SPREAD = [
    case for case in NOW if case["topology"]["op"] == "stream_stream_join" and case["topology"]["join"] == "inner"
]


@pytest.mark.parametrize("case", SPREAD, ids=lambda case: case["id"])
def test_an_inner_join_of_streams_answers_the_same_over_four_partitions(case: dict[str, Any]) -> None:
    """A record that one partition would call late may not be late for another: each has its own time."""
    otherwise = cases.DECIDED_OTHERWISE.get(case["id"], Otherwise(""))
    with TopologyTestDriver(cases.build(case), partitions=4, stores="rocksdb") as driver:
        output = driver.output_topic("output")
        for number, step in enumerate(case["steps"]):
            topic, key, value, timestamp = step["in"]
            driver.input_topic(topic).pipe(key, value, timestamp=timestamp)
            found = [cases.in_oracle_form(r.key, r.value, r.timestamp) for r in output.read_records()]
            assert found in (step["out"], otherwise.steps.get(number, step["out"])), f"step {number}: {step}"


def test_a_decision_against_the_reference_changes_something() -> None:
    known = {case["id"]: case for case in ALL}
    for name, otherwise in cases.DECIDED_OTHERWISE.items():
        steps = known[name]["steps"]
        changed = [number for number, rows in otherwise.steps.items() if steps[number]["out"] != rows]
        assert changed or otherwise.dropped != known[name].get("dropped_records_total"), name


def test_the_cases_left_for_later_are_named() -> None:
    later: dict[str, int] = {}
    for case in ALL:
        word = cases.later(case)
        if word is not None:
            later[word] = later.get(word, 0) + 1
    print(f"{len(NOW)} of {len(ALL)} cases run; left for later: {later}")
    assert len(NOW) >= 34
