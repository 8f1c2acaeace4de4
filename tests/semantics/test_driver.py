"""api.md, Testing and the store table: the driver itself, over one partition and over several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamflow import App, ConfigError, SerdeError, Windowed, tumbling
from streamflow.testing import TopologyTestDriver
from tests.semantics.world import World, world


def counting(app: App) -> None:
    app.stream("in", key=str, value=str).group_by_key().count(name="n").to_stream().to("out")


@pytest.fixture(params=[(1, "memory"), (3, "memory"), (3, "rocksdb")], ids=str)
def driver(request: pytest.FixtureRequest) -> Iterator[World]:
    partitions, stores = request.param
    with world(counting, partitions=partitions, stores=stores, wall_clock=500) as made:
        made.feed("in", ("a", "v", 10), ("b", "v", 20), ("c", "v", 30), ("a", "v", 40))
        yield made


def test_a_store_answers_every_word_of_reading(driver: World) -> None:
    store = driver.store("n")
    assert (store.get("a"), store.get("nobody"), store.name) == (2, None, "n")
    assert store.get_with_timestamp("a") == (2, 40) and store.get_with_timestamp("nobody") is None
    assert list(store.range("a", "b")) == [("a", 2), ("b", 1)]
    assert list(store.range(None, "b", reverse=True)) == list(store.range(None, "b", True)) == [("b", 1), ("a", 2)]
    assert list(store.all()) == [("a", 2), ("b", 1), ("c", 1)]
    assert list(store.all(reverse=True)) == list(store.all(True)) == [("c", 1), ("b", 1), ("a", 2)]
    assert list(store.prefix("a")) == [("a", 2)]
    assert list(store.all(with_timestamps=True)) == [("a", (2, 40)), ("b", (1, 20)), ("c", (1, 30))]
    assert store.approximate_size() >= 3


def test_a_store_answers_every_word_of_writing(driver: World) -> None:
    store = driver.store("n")
    store.put("d", 7)
    assert store.get_with_timestamp("d") == (7, 500)  # the driver's clock
    assert (store.put_if_absent("d", 8), store.put_if_absent("e", 9)) == (7, None)
    assert (store.delete("d"), store.delete("nobody")) == (7, None)
    store.put_all([("x", 1), ("y", 2)])
    assert list(store.range("d")) == [("e", 9), ("x", 1), ("y", 2)]
    driver.commit()
    driver.crash()
    driver.feed("in", ("x", "v", 50))
    assert list(driver.store("n").range("d")) == [("e", 9), ("x", 2), ("y", 2)]


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_window_store_answers_its_words(partitions: int) -> None:
    def declare(app: App) -> None:
        windows = app.stream("in", key=str, value=str).group_by_key().windowed_by(tumbling("1m", grace="1h"))
        windows.count(name="n", retention="1d")

    def w(key: str, start: int) -> Windowed[str]:
        return Windowed(key, start, start + 60_000)

    with world(declare, partitions=partitions) as driver:
        driver.feed("in", ("a", "v", 0), ("a", "v", 60_000), ("b", "v", 60_001), ("a", "v", 1))
        store = driver.store("n")
        assert (store.fetch("a", 0), store.fetch("a", 120_000)) == (2, None)
        assert list(store.fetch("a", 0, 60_000)) == [(0, 2), (60_000, 1)]
        assert list(store.fetch("a", 0, 60_000, reverse=True)) == [(60_000, 1), (0, 2)]
        assert list(store.fetch_range("a", "a", 0, 90_000)) == [(w("a", 0), 2), (w("a", 60_000), 1)]
        assert list(store.fetch_all(60_000, 60_000)) == [(w("a", 60_000), 1), (w("b", 60_000), 1)]
        everything = [(w("a", 0), 2), (w("a", 60_000), 1), (w("b", 60_000), 1)]
        assert list(store.all()) == everything and list(store.all(reverse=True)) == everything[::-1]
        assert next(iter(store.all(with_timestamps=True))) == (w("a", 0), (2, 1))
        store.put("c", 9, 60_000)
        assert store.fetch("c", 60_000) == 9


def test_output_is_read_once_and_in_order(driver: World) -> None:
    output = driver.output_topic("out")
    first = output.read()
    assert first is not None and (first.key, first.value, first.timestamp, first.headers) == ("a", 1, 10, ())
    assert output.read_key_values() == [("b", 1), ("c", 1), ("a", 2)]
    assert output.read() is None and output.read_records() == []
    driver.feed("in", ("b", "v", 50))
    assert output.read_table() == {"b": 2}
    assert driver.output_topic("out").read_table() == {"a": 2, "b": 2, "c": 1}


def test_a_record_without_a_timestamp_gets_the_drivers_clock_which_only_the_test_moves() -> None:
    with world(counting, wall_clock=1_000) as driver:
        source = driver.input_topic("in")
        source.pipe("a", "v")
        driver.advance_wall_clock("5s")
        source.pipe("a", "v")
        source.pipe_many([("b", "v"), ("b", "v", 7), ("b", "v", 8, [("h", b"1")])])
        assert [time for _, _, time in driver.out()] == [1_000, 6_000, 6_000, 6_000, 6_000]
        with pytest.raises(ConfigError, match="write a timedelta or a text"):
            driver.advance_wall_clock(5)  # type: ignore[arg-type]


def test_nothing_shows_before_a_manual_commit_and_a_crash_forgets_it() -> None:
    with world(counting, commit="manual", partitions=2) as driver:
        driver.feed("in", ("a", "v"))
        output = driver.output_topic("out")
        assert output.read() is None and driver.store("n").get("a") == 1
        driver.crash()
        assert output.read() is None and driver.store("n").get("a") == 1  # read again, counted once
        driver.commit()
        assert output.read_key_values() == [("a", 1)]
        driver.crash()
        assert output.read() is None and driver.store("n").get("a") == 1


def test_produced_topics_names_internal_ones_too(driver: World) -> None:
    assert driver.produced_topics == {"out", "app-n-changelog"}


def test_dropped_records_counts_over_crashes(driver: World) -> None:
    driver.feed("in", (None, "v"))
    driver.crash()
    driver.feed("in", ("a", None))
    assert driver.dropped_records == 2


def test_a_topic_without_a_declared_sink_is_bytes_unless_said() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=int).to(lambda value: "elsewhere")

    with world(declare) as driver:
        driver.feed("in", ("k", 1))
        assert driver.out("elsewhere") == [(b"k", (1).to_bytes(8, "big"), 0)]
        assert driver.out("elsewhere", key=str, value=int) == [("k", 1, 0)]
        with pytest.raises(SerdeError, match=r"'elsewhere' offset 0: expected int .*; say what is in it: output_topic"):
            driver.out("elsewhere", key=int)


def test_internal_topics_are_read_with_their_sinks_types() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=int).select_key(lambda v: v, key=int).repartition(name="r").to("out")

    with world(declare) as driver:
        driver.feed("in", ("k", 1))
        assert driver.out("app-r-repartition") == [(1, 1, 0)]


def test_serdes_of_an_input_may_be_others_than_the_sources() -> None:
    with world(counting) as driver:
        driver.input_topic("in", key=bytes, value=bytes).pipe(b"a", b"\xff")
        assert driver.store("n").get("a") == 1


def test_records_without_a_key_take_turns_and_a_partition_can_be_said() -> None:
    with world(lambda app: app.stream("in", value=str).to("out"), partitions=3) as driver:
        driver.feed("in", *((None, str(n)) for n in range(3)))
        assert {tp.partition for tp in driver.log.produced if tp.topic == "out"} == {0, 1, 2}
        driver.input_topic("in").pipe(None, "x", partition=1)
        assert len(driver.out()) == 4


def test_it_is_a_context_manager_and_keeps_nothing_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    app = App("app")
    counting(app)
    with TopologyTestDriver(app, stores="rocksdb") as driver:
        driver.input_topic("in").pipe("a", "v")
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []
