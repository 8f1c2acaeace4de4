"""The first record of each id passes, in any order of time and over crashes."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App
from streamflow.errors import TopologyError
from streamflow.testing import TopologyTestDriver
from tests.log.support import seeded

STORES = ("memory", "rocksdb")


def once(within: str = "10ms", **settings: Any) -> App:
    app = App("app", **settings)
    events = app.stream("in", key=str, value=dict)
    events.deduplicate(by=lambda event: event.get("id"), within=within, name="once").to("out")
    return app


def passed(driver: TopologyTestDriver) -> list[tuple[Any, int]]:
    return [(r.value.get("id"), r.timestamp) for r in driver.output_topic("out").read_records() if r.value is not None]


@pytest.mark.parametrize("stores", STORES)
def test_a_repetition_does_not_pass_within_the_time_before_or_after(stores: Any) -> None:
    with TopologyTestDriver(once(), stores=stores) as driver:
        events = driver.input_topic("in")
        for at in (100, 100, 110, 90, 105):
            events.pipe("k", {"id": "a"}, at)
            driver.crash()
        events.pipe("k", {"id": "b"}, 105)
        events.pipe("k", {"id": "a"}, 111)
        assert passed(driver) == [("a", 100), ("b", 105), ("a", 111)]
        assert driver.dropped_records == 4


def test_a_record_too_late_to_be_told_is_dropped_and_counted() -> None:
    with TopologyTestDriver(once()) as driver:
        events = driver.input_topic("in")
        events.pipe_many([("k", {"id": "a"}, 100), ("k", {"id": "b"}, 80), ("k", {"id": "c"}, 79)])
        assert passed(driver) == [("a", 100), ("b", 80)]
        assert driver.dropped_records == 1


def test_what_has_no_id_or_no_value_passes() -> None:
    with TopologyTestDriver(once()) as driver:
        driver.input_topic("in").pipe_many([("k", {}, 1), ("k", {}, 1), ("k", None, 1), ("k", None, 1)])
        assert len(driver.output_topic("out").read_records()) == 4


def test_ids_are_forgotten_when_their_time_has_passed() -> None:
    with TopologyTestDriver(once()) as driver:
        for at in range(0, 10_000, 10):
            driver.input_topic("in").pipe("k", {"id": f"id{at}"}, at)
        assert len(list(driver.store("once").all())) < 10


def test_what_passes_is_what_a_plain_definition_lets_pass() -> None:
    choice = seeded()
    with TopologyTestDriver(once("7ms"), stores=choice.choice(STORES)) as driver:
        now, last, expected = -1, {}, []
        last = {}
        for n in range(400):
            name, at = choice.choice(["a", "b", "c", 1, 2]), max(0, n + choice.randint(-20, 5))
            driver.input_topic("in").pipe("k", {"id": name}, at)
            now = max(now, at)
            if at + 14 >= now and all(abs(at - other) > 7 for other in last.get(name, [])):
                last.setdefault(name, []).append(at)
                expected.append((name, at))
            if choice.random() < 0.05:
                driver.crash()
        assert passed(driver) == expected


def test_records_with_new_keys_meet_in_one_partition_first() -> None:
    app = App("app")
    keyed = app.stream("in", key=str, value=str).select_key(lambda value: value or None, key=str)
    keyed.deduplicate(by=lambda value: value or None, within="1m", name="once").to("out")
    with TopologyTestDriver(app, partitions=4) as driver:
        for partition in range(4):
            driver.input_topic("in").pipe("k", "a", 1, partition=partition)
            driver.input_topic("in").pipe("k", "", 1, partition=partition)
        found = sorted(driver.output_topic("out").read_key_values(), key=str)
        assert "app-once-repartition" in driver.produced_topics
    assert found == [("a", "a")] + [(None, "")] * 4


def test_what_passed_is_rebuilt_from_the_changelog_alone() -> None:
    with TopologyTestDriver(once()) as driver:
        driver.input_topic("in").pipe_many([("k", {"id": "a"}, 100), ("k", {"id": "b"}, 101)])
        driver._bases.clear()
        driver.crash()
        driver.input_topic("in").pipe_many([("k", {"id": "a"}, 105), ("k", {"id": "b"}, 112), ("k", {"id": "c"}, 91)])
        assert passed(driver) == [("a", 100), ("b", 101), ("b", 112)]
        assert driver.dropped_records == 2  # the repetition, and what is late by the time that was kept


def test_each_partition_remembers_its_own_ids() -> None:
    with TopologyTestDriver(once(), partitions=2) as driver:
        for partition in (0, 1, 0, 1):
            driver.input_topic("in").pipe("k", {"id": "a"}, 1, partition=partition)
        assert passed(driver) == [("a", 1), ("a", 1)]


def test_a_record_that_failed_later_on_has_not_passed() -> None:
    app = App("app", on_process_error="skip")
    stream = app.stream("in", key=str, value=int).deduplicate(by=lambda value: 1, within="1s", name="once")
    stream.map_values(lambda value: 10 // value, value=int).to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("in").pipe_many([("k", 0, 1), ("k", 5, 2), ("k", 2, 3)])
        assert [r.value for r in driver.output_topic("out").read_records()] == [2]


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(TopologyError, match="it must be at least 1 ms"):
        once("0s")
