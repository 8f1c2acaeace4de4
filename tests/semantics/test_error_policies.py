"""api.md, App: what becomes of a record that cannot be read or whose function raises."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App, ConfigError, RecordError
from tests.semantics.world import World, world

PREFIX = "__streams.errors."


def declare(app: App) -> None:
    app.stream("in", key=str, value=int).map_values(lambda n: 10 // n, value=int, name="divide").to("out")


def feed(driver: World) -> World:
    """A good record, one whose function raises, one that cannot be read, a good one."""
    driver.feed("in", ("a", 5, 1))
    driver.input_topic("in").pipe("b", 0, 2, [("mine", b"x")])
    driver.input_topic("in", value=bytes).pipe("c", b"bad", 3)
    return driver.feed("in", ("d", 2, 4))


GOOD = [("a", 2, 1), ("d", 5, 4)]


def test_fail_names_step_topic_partition_offset_and_key() -> None:
    with world(declare, partitions=3) as driver:
        source = driver.input_topic("in")
        source.pipe("k", 1, partition=2)
        with pytest.raises(RecordError) as told:
            source.pipe("k", 0, partition=2)
    error = told.value
    assert (error.kind, error.step, error.topic, error.partition, error.offset) == ("process", "divide", "in", 2, 1)
    assert isinstance(error.cause, ZeroDivisionError)
    assert "'in' partition 2 offset 1 (key 'k')" in str(error) and "step 'divide'" in str(error)
    assert "nothing of it was committed" in str(error) and "\n" not in str(error)


def test_fail_says_what_was_expected_and_what_was_found() -> None:
    with world(declare) as driver, pytest.raises(RecordError) as told:
        driver.input_topic("in", value=bytes).pipe("k", b"bad")
    assert told.value.kind == "deserialize"
    assert "expected int (int64, 8 bytes), found b'bad'" in str(told.value)


def test_skip_drops_the_record_and_counts_it() -> None:
    with world(declare, settings={"on_deserialize_error": "skip", "on_process_error": "skip"}) as driver:
        feed(driver)
        assert (driver.out(), driver.dropped_records) == (GOOD, 2)


@pytest.mark.parametrize("topic", [None, "letters"])
def test_a_dead_letter_is_the_record_as_it_came_with_the_reason_in_its_headers(topic: str | None) -> None:
    both: dict[str, Any] = dict.fromkeys(("on_deserialize_error", "on_process_error"), "dead_letter")
    with world(declare, settings={**both, "dead_letter_topic": topic}) as driver:
        feed(driver)
        assert driver.out() == GOOD
        raised, unreadable = driver.records(topic or "app-dead-letters")
        assert (raised.key, raised.value, raised.timestamp) == (b"b", (0).to_bytes(8, "big"), 2)
        assert (unreadable.key, unreadable.value, unreadable.timestamp) == (b"c", b"bad", 3)
        headers = dict(raised.headers)
        assert headers["mine"] == b"x" and headers[PREFIX + "exception"] == b"builtins.ZeroDivisionError"
        assert [headers[PREFIX + name] for name in ("topic", "partition", "offset")] == [b"in", b"0", b"1"]


def test_a_function_decides_by_context_and_error() -> None:
    seen: list[Any] = []

    def decide(context: Any, error: Exception) -> Any:
        seen.append((context.topic, context.partition, context.offset, context.timestamp, type(error).__name__))
        return "dead_letter" if isinstance(error, ZeroDivisionError) else "skip"

    with world(declare, settings={"on_deserialize_error": decide, "on_process_error": decide}) as driver:
        feed(driver)
        assert driver.out() == GOOD
        assert [record.key for record in driver.records("app-dead-letters")] == [b"b"]
    assert seen == [("in", 0, 1, 2, "ZeroDivisionError"), ("in", 0, 2, 3, "SerdeError")]


def test_what_a_refused_record_did_before_it_failed_is_taken_back() -> None:
    def words(app: App) -> None:
        stream = app.stream("in", key=str, value=int)
        stream.group_by_key().count(name="n").to_stream().to("counts")
        stream.map_values(lambda n: 10 // n, value=int).to("out")

    with world(words, settings={"on_process_error": "skip"}) as driver:
        driver.feed("in", ("a", 1), ("a", 0), ("a", 2))
        assert driver.out("counts") == [("a", 1, 0), ("a", 2, 0)]
        assert driver.store("n").get("a") == 2 and driver.out() == [("a", 10, 0), ("a", 5, 0)]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown policy": (
        {"on_process_error": "ignore"},
        r"write 'fail', 'skip', 'dead_letter' or f\(context, error\)",
    ),
    "a policy of one argument": ({"on_process_error": lambda error: "skip"}, r"is called as f\(context, error\)"),
    "a hook with arguments": ({"on_start": lambda app: None}, r"on_start is called as f\(\)"),
    "a state hook without": ({"on_state_change": lambda: None}, r"on_state_change is called as f\(new, old\)"),
    "a hook that is a text": ({"on_stop": "stop"}, "on_stop is 'stop', which cannot be called"),
    "a topic that cannot be": ({"dead_letter_topic": "no such/name"}, "dead_letter_topic: .* cannot be a name"),
    "copies of topics": ({"replication_factor": 0}, "replication_factor is 0; it must be a whole number"),
    "a broker that is no text": ({"broker": 9092}, "broker is 9092; write a text such as 'embedded://"),
    "a bare number": ({"commit_interval": 100}, "commit_interval is 100; write a timedelta or a text"),
    "no time at all": ({"commit_interval": "0ms"}, "commit_interval is '0ms'; it must be at least 1 ms"),
    "no partitions": ({"topic_partitions": 0}, "topic_partitions is 0; it must be a whole number of at least 1"),
    "standbys": ({"standby_replicas": -1}, "standby_replicas is -1; it must be a whole number, 0 for none"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_setting_that_cannot_be_is_told(mistake: str) -> None:
    settings, text = WRONG[mistake]
    with pytest.raises(ConfigError, match=text):
        App("app", **settings)
