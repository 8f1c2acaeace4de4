"""``App(optimize="all")``: fewer topics and stores, the same results."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streamflow import App, ConfigError, StreamflowError
from streamflow.windows import tumbling
from tests.log.support import seeded
from tests.semantics.world import World, world

ALL = {"optimize": "all"}


def table_and_stream(app: App) -> None:
    rows = app.table("rows", key=str, value=int, store="kept")
    app.stream("in", key=str, value=str).left_join(rows, lambda v, row: f"{v}-{row}", value=str).to("out")


# --- a table's topic as its changelog


def test_a_table_has_no_changelog_of_its_own() -> None:
    with world(table_and_stream, settings=ALL) as driver:
        driver.feed("rows", ("a", 1)).feed("in", ("a", "x"))
        driver.commit()
        assert driver.out() == [("a", "x-1", 0)]
        assert not [name for name in driver.produced_topics if "changelog" in name]


@pytest.mark.parametrize("base", ["memory", "rocksdb"])
@pytest.mark.parametrize("partitions", [1, 4])
def test_the_table_is_the_committed_rows_after_a_crash_with_and_without_its_disk(base: Any, partitions: int) -> None:
    with world(table_and_stream, settings=ALL, stores=base, partitions=partitions) as driver:
        driver.feed("rows", ("a", 1), ("b", 2), ("c", 3), ("b", None), ("a", 4), (None, 9))
        driver.crash()
        driver.feed("rows", ("d", 5))
        _lose_the_disk(driver)
        driver.crash()
        driver.feed("in", ("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"))
        assert sorted(driver.out()) == [("a", "x-4", 0), ("b", "x-None", 0), ("c", "x-3", 0), ("d", "x-5", 0)]


def test_what_was_not_committed_is_not_in_the_table_after_a_crash() -> None:
    with world(table_and_stream, settings=ALL, commit="manual") as driver:
        driver.feed("rows", ("a", 1))
        driver.commit()
        driver.feed("rows", ("a", 2))
        driver.feed("in", ("a", "before"))
        driver.crash()
        assert [value for _, value, _ in driver.out()] == []
        driver.commit()
        assert driver.out() == [("a", "before-2", 0)]


def test_times_are_those_of_the_users_extractor_after_a_restore_too() -> None:
    def declare(app: App) -> None:
        app.table("rows", key=str, value=int, store="kept", timestamp=lambda value: value * 10 if value else 0)

    with world(declare, settings=ALL) as driver:
        driver.feed("rows", ("a", 7, 1), ("b", -1, 2))
        _lose_the_disk(driver)
        driver.crash()
        assert driver.store("kept").get_with_timestamp("a") == (7, 70)
        assert driver.store("kept").get("b") is None


def test_a_row_that_cannot_be_read_is_passed_over_again() -> None:
    def declare(app: App) -> None:
        app.table("rows", key=str, value=int, store="kept").filter(lambda value: value > 0, store="large")

    settings = {**ALL, "on_deserialize_error": "skip"}
    with world(declare, settings=settings) as driver:
        rows = driver.input_topic("rows", value=bytes)
        rows.pipe("a", (1).to_bytes(8), 0)
        rows.pipe("a", b"no number", 0)
        assert driver.dropped_records == 1
        _lose_the_disk(driver)
        driver.crash()
        assert driver.store("kept").get("a") == 1


def test_tables_that_forget_remember_or_are_written_by_processors_keep_their_changelogs() -> None:
    def declare(app: App) -> None:
        app.table("forgetting", key=str, value=int, ttl="1h")
        app.table("remembering", key=str, value=int, history="1h")

    app = App("app", optimize="all")
    declare(app)
    assert [spec.source_topic for spec in app.topology.stores.values()] == [None, None]


@pytest.mark.parametrize(
    ("settings", "text"),
    [({"on_process_error": "skip"}, "on_process_error"), ({"max_future": "1h"}, "leave out max_future")],
)
def test_settings_under_which_the_topic_is_not_the_table_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text), world(table_and_stream, settings={**ALL, **settings}):
        pass


def test_a_state_that_was_kept_otherwise_is_refused_and_not_lost() -> None:
    def declare(app: App) -> None:
        table_and_stream(app)
        app.stream("in", key=str, value=str).group_by_key().count(name="counts")

    app, optimized = App("app"), App("app", optimize="all")
    declare(app)
    declare(optimized)
    with World(app) as driver:
        driver.feed("rows", ("a", 1)).feed("in", ("a", "x"))
        driver._topology = optimized.topology
        driver._forget()
        with pytest.raises(StreamflowError, match=r"step 'kept'.* read back from 'rows'.*streamflow reset"):
            driver._plan()


def test_a_table_that_came_further_than_its_task_begins_is_made_anew() -> None:
    with world(table_and_stream, settings=ALL) as driver:
        for number in range(20):  # more commits than lie between two flushes
            driver.feed("rows", ("a", number))
        ahead = driver._places["in_0"].stores["kept"]
        ahead.position += 5
        ahead.handle(key_raw=False, value_raw=False).put("b", 7, 0)
        ahead.commit(replace(ahead.meta, position=ahead.position))
        ahead.flush(0)
        driver.crash()
        assert driver.store("kept").get("a") == 19
        assert driver.store("kept").get("b") is None


# --- repartition topics that are one


def two_aggregates(app: App) -> None:
    keyed = app.stream("in", key=str, value=str).select_key(lambda value: value[0], key=str)
    keyed.group_by_key().count(name="counts").to_stream().to("out")
    keyed.group_by_key().windowed_by(tumbling("10ms")).reduce(lambda a, b: a + b, name="texts")
    keyed.left_join(app.table("rows", key=str, value=int), lambda v, row: f"{v}{row}", value=str).to("joined")


def test_aggregates_and_joins_of_one_rekeyed_stream_share_a_topic() -> None:
    app, plain = App("app", optimize="all"), App("app")
    two_aggregates(app)
    two_aggregates(plain)
    assert len(app.topology.repartitions) == 1 < len(plain.topology.repartitions)
    with World(app, partitions=4) as driver:
        driver.input_topic("rows").pipe("a", 7, 0)
        driver.feed("in", ("1", "ab", 1), ("2", "ac", 2), ("3", "b", 3))
        assert sorted(driver.out()) == [("a", 1, 1), ("a", 2, 2), ("b", 1, 3)]
        assert sorted(driver.out("joined")) == [("a", "ab7", 1), ("a", "ac7", 2), ("b", "bNone", 3)]
        assert driver.store("texts").fetch("a", 0) == "abac"


def test_streams_that_are_written_in_other_ways_keep_topics_of_their_own() -> None:
    app = App("app", optimize="all")
    keyed = app.stream("in", key=str, value=str).select_key(str, key=str)
    keyed.group_by_key().count(name="one")
    keyed.map_values(len, value=int).group_by_key().reduce(max, name="two")
    assert len(app.topology.repartitions) == 2


# --- a stream joined with itself


def with_itself(within: Any, grace: str = "0ms") -> Callable[[App], None]:
    def declare(app: App) -> None:
        stream = app.stream("in", key=str, value=str)
        stream.join(stream, lambda a, b: f"{a}+{b}", within=within, grace=grace, value=str, name="pairs").to("out")

    return declare


@pytest.mark.parametrize("within", ["5ms", ("5ms", "0ms"), ("0ms", "3ms"), ("-2ms", "4ms"), ("4ms", "-1ms")])
@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
def test_a_self_join_gives_the_same_in_the_same_order_with_one_store(within: Any, stores: Any) -> None:
    rng = seeded()
    crashes = rng.random()
    rows = [
        (
            rng.choice(["a", "b", None]),
            rng.choice([str(n), str(n), None]),
            max(0, n + rng.randint(-9, 3)),
            rng.choice([[], [("h", bytes([n]))]]),
        )
        for n in range(60)
    ]
    plain = _results(with_itself(within, "4ms"), rows, {}, stores, random.Random(crashes))
    alone = _results(with_itself(within, "4ms"), rows, ALL, stores, random.Random(crashes))
    assert alone == plain and alone


def test_a_self_join_keeps_its_records_once() -> None:
    app = App("app", optimize="all")
    with_itself("5ms")(app)
    assert len(app.topology.stores) == 1


def _results(declare: Any, rows: Any, settings: Any, stores: Any, rng: random.Random) -> list[Any]:
    with world(declare, settings=settings, stores=stores) as driver:
        for row in rows:
            driver.feed("in", row)
            if rng.random() < 0.1:
                driver.crash()
        return [(r.key, r.value, r.timestamp, r.headers) for r in driver.records()]


def _lose_the_disk(driver: World) -> None:
    """What lies on disk is gone, as on another machine; the log is there."""
    driver._forget()
    driver._bases.clear()
    if driver._folder is not None:
        for path in sorted(Path(driver._folder).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
