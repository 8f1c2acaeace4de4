"""``emit="on_commit"``: of each key the last update since the last commit goes downstream, and nothing else changes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from streamflow import App, ConfigError, KTable, tumbling
from streamflow.errors import StreamflowError
from streamflow.testing import TopologyTestDriver


def manual(app: App, **how: Any) -> TopologyTestDriver:
    return TopologyTestDriver(app, commit="manual", **how)


def counts(app: App) -> KTable[str, int]:
    return app.stream("in", key=str, value=str).group_by_key().count(name="counts")


def test_a_key_that_changed_often_is_written_once_a_commit() -> None:
    app = App("held", emit="on_commit")
    counts(app).to_stream().to("out")
    with manual(app) as driver:
        out = driver.output_topic("out")
        driver.input_topic("in").pipe_many([("b", "x", 5), ("a", "x", 7), ("b", "x", 9), ("b", "x", 3)])
        assert out.read_records() == []

        driver.commit()

        assert [(r.key, r.value, r.timestamp) for r in out.read_records()] == [("b", 3, 9), ("a", 1, 7)]
        driver.commit()
        assert out.read_records() == []


@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
def test_a_crash_before_the_commit_forgets_updates_and_rows_together(stores: Any) -> None:
    app = App("crashed", emit="on_commit")
    counts(app).to_stream().to("out")
    with manual(app, stores=stores) as driver:
        out = driver.output_topic("out")
        driver.input_topic("in").pipe_many([("a", "x", 1), ("a", "x", 2)])
        driver.crash()
        driver.commit()

        assert out.read_key_values() == [("a", 2)]


def test_who_aggregates_further_takes_away_what_it_was_given() -> None:
    app = App("further", emit="on_commit")
    regrouped = counts(app).group_by(lambda key, count: ("all", count), key=str, value=int)
    regrouped.reduce(lambda total, n: total + n, lambda total, n: total - n, name="sum").to_stream().to("out")
    with manual(app) as driver:
        pipe = driver.input_topic("in").pipe
        for _ in range(3):
            pipe("a", "x")
            pipe("a", "x")
            pipe("b", "x")
            driver.commit()
        assert driver.output_topic("out").read_key_values()[-1] == ("all", 9)
        assert driver.store("sum").get("all") == 9


def test_headers_are_those_of_the_newest_record() -> None:
    app = App("headed", emit="on_commit")
    counts(app).to_stream().to("out")
    with manual(app) as driver:
        pipe = driver.input_topic("in").pipe
        pipe("a", "x", headers=[("n", b"1")])
        pipe("a", "x", headers=[("n", b"2")])
        driver.commit()
        record = driver.output_topic("out").read()
        assert record is not None and list(record.headers) == [("n", b"2")]


def test_windows_are_held_each_for_itself() -> None:
    app = App("windowed", emit="on_commit")
    grouped = app.stream("in", key=str, value=str).group_by_key()
    grouped.windowed_by(tumbling("10ms")).count(name="w").to_stream(lambda key, n: key.start, key=int).to("out")
    with manual(app) as driver:
        driver.input_topic("in").pipe_many([("a", "x", 1), ("a", "x", 2), ("a", "x", 12)])
        driver.commit()
        assert driver.output_topic("out").read_key_values() == [(0, 2), (10, 1)]


@dataclass
class Key:
    """A key that cannot be looked up in a dict."""

    name: str


def test_keys_that_can_change_in_place_are_told_apart_by_their_bytes() -> None:
    app = App("unhashable", emit="on_commit")
    rows = app.table("in", key=Key, value=int, store="rows")
    rows.to_stream().map(lambda key, value: (key.name, value), key=str, value=int).to("out")
    with manual(app) as driver:
        driver.input_topic("in").pipe_many([(Key("a"), 1, 1), (Key("b"), 2, 2), (Key("a"), 3, 3)])
        driver.commit()
        assert driver.output_topic("out").read_key_values() == [("a", 3), ("b", 2)]


def test_a_skipped_record_leaves_the_update_before_it_held() -> None:
    def choke(total: str, value: str) -> str:
        return total + value

    app = App("skipping", emit="on_commit", on_process_error="skip")
    stream = app.stream("in", key=str, value=str)
    stream.group_by_key().aggregate(lambda: "", choke, value=str, name="totals").to_stream().to("out")
    stream.peek(lambda value: 1 // (value != "bad"))
    with manual(app) as driver:
        driver.input_topic("in").pipe_many([("a", "x", 1), ("a", "bad", 2), ("b", "bad", 3)])
        driver.commit()
        assert driver.output_topic("out").read_key_values() == [("a", "x")]
        assert driver.dropped_records == 2


def test_what_fails_behind_a_held_update_stops_with_the_step_or_is_skipped() -> None:
    for policy in ("fail", "skip", "dead_letter"):
        app = App(f"behind-{policy}", emit="on_commit", on_process_error=policy)  # type: ignore[arg-type]
        counts(app).to_stream().map_values(lambda n: 10 // (n - 1), value=int, name="divide").to("out")
        with manual(app) as driver:
            driver.input_topic("in").pipe_many([("a", "x", 1), ("b", "x", 2), ("b", "x", 3)])
            if policy == "skip":
                driver.commit()
                assert driver.output_topic("out").read_key_values() == [("b", 10)]
                assert driver.dropped_records == 1
            else:
                with pytest.raises(StreamflowError, match="made step 'divide' raise ZeroDivisionError"):
                    driver.commit()


def test_a_topic_that_only_a_held_update_names_is_made() -> None:
    app = App("named", emit="on_commit")
    counts(app).to_stream().to(lambda key, n, context: f"out-{key}")
    with manual(app, partitions=2) as driver:
        driver.input_topic("in").pipe_many([("a", "x", 1), ("b", "x", 2), ("a", "x", 3)])
        driver.commit()
        assert driver.output_topic("out-a", key=str, value=int).read_key_values() == [("a", 2)]
        assert driver.output_topic("out-b", key=str, value=int).read_key_values() == [("b", 1)]


def test_the_last_update_of_each_key_is_what_every_update_ends_with() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    found: list[dict[Any, Any]] = []
    script = [("in", chance.choice("abcd"), chance.choice(["x", "y"]), chance.randrange(100)) for _ in range(200)]
    pauses = {n: chance.choice(["commit", "crash"]) for n in range(200) if chance.random() < 0.2}
    for emit in ("every_update", "on_commit"):
        app = App(f"same-{emit}", emit=emit)  # type: ignore[arg-type]
        stream = app.stream("in", key=str, value=str)
        table = stream.group_by(lambda value: value, key=str).count(name="n")
        table.filter(lambda n: n % 3 > 0).map_values(lambda n: n * 2, value=int).to_stream().to("out")
        table.group_by(lambda key, n: (n % 2, n), key=int, value=int).count(name="parity").to_stream().to("parities")
        with manual(app, partitions=3) as driver:
            for n, (topic, key, value, time) in enumerate(script):
                driver.input_topic(topic).pipe(key, value, time)
                if n in pauses:
                    getattr(driver, pauses[n])()
            driver.commit()
            found += [driver.output_topic("out").read_table(), driver.output_topic("parities").read_table()]
    assert found[:2] == found[2:]


def test_anything_else_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="emit is 'later'; write 'every_update', 'on_commit'"):
        App("wrong", emit="later")  # type: ignore[arg-type]
