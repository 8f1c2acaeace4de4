"""Several streams, one total: without windows and in each kind of them."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App, Windowed, hopping, session, sliding, tumbling, unlimited
from streamflow.errors import TopologyError
from streamflow.testing import TopologyTestDriver
from tests.log.support import seeded

STORES = ("memory", "rocksdb")


def carts_and_orders(app: App) -> Any:
    carts = app.stream("carts", key=str, value=int).group_by_key()
    orders = app.stream("orders", key=str, value=int).group_by_key()
    return carts.cogroup(lambda total, n: total + n).cogroup(orders, lambda total, n: total - n)


def found(driver: TopologyTestDriver) -> list[tuple[Any, Any, int]]:
    return [(r.key, r.value, r.timestamp) for r in driver.output_topic("out").read_records()]


@pytest.mark.parametrize("stores", STORES)
def test_each_stream_adds_to_the_total_in_its_own_way(stores: Any) -> None:
    app = App("app")
    carts_and_orders(app).aggregate(int, name="open").to_stream().to("out")
    with TopologyTestDriver(app, stores=stores) as driver:
        driver.input_topic("carts").pipe_many([("a", 5, 0), ("b", 1, 1), (None, 1, 2), ("a", None, 3)])
        driver.crash()
        driver.input_topic("orders").pipe_many([("a", 2, 4), ("a", 1, 3)])
        assert found(driver) == [("a", 5, 0), ("b", 1, 1), ("a", 3, 4), ("a", 2, 4)]
        assert driver.dropped_records == 2
        assert driver.store("open").get("a") == 2


def test_streams_with_new_keys_are_sent_to_their_partitions_first() -> None:
    app = App("app")
    left = app.stream("left", key=str, value=str).group_by(lambda v: v[0], key=str)
    right = app.stream("right", key=str, value=str).group_by(lambda v: v[0], key=str)
    both = left.cogroup(lambda total, v: total + v[1:]).cogroup(right, lambda key, total, v: total + key)
    both.aggregate(str, value=str, name="both").to_stream().to("out")
    with TopologyTestDriver(app, partitions=4) as driver:
        for n in range(8):
            driver.input_topic("left").pipe(str(n), f"{'xy'[n % 2]}{n}", n, partition=n % 4)
            driver.input_topic("right").pipe(str(n), "xy"[n % 2], n, partition=3 - n % 4)
        last = {key: value for key, value, _ in found(driver)}
        assert {*driver.produced_topics} >= {"app-both-1-repartition", "app-both-2-repartition"}
    assert last == {"x": "0x2x4x6x", "y": "1y3y5y7y"}


def test_a_table_of_several_streams_is_grouped_further_with_the_right_old_values() -> None:
    app = App("app")
    table = carts_and_orders(app).aggregate(int, name="open")
    sums = table.group_by(lambda key, total: ("all", total), key=str, value=int)
    sums.reduce(lambda a, b: a + b, lambda a, b: a - b, name="sum").to_stream().to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("carts").pipe_many([("a", 5, 0), ("b", 1, 1)])
        driver.input_topic("orders").pipe("a", 2, 4)
        assert found(driver)[-1][:2] == ("all", 4)


WINDOWS: list[tuple[Any, dict[str, Any]]] = [
    (tumbling("10ms", grace="5ms"), {}),
    (hopping("10ms", "5ms", grace="5ms"), {}),
    (sliding("10ms", grace="5ms"), {}),
    (session("10ms", grace="5ms"), {"merge": lambda a, b: a + b}),
]


@pytest.mark.parametrize("emit", ["on_update", "on_close"])
@pytest.mark.parametrize(("window", "how"), WINDOWS, ids=["tumbling", "hopping", "sliding", "session"])
def test_windows_of_several_streams_are_those_of_all_their_records_in_one(window: Any, how: Any, emit: Any) -> None:
    """Signed amounts in one stream, or pluses and minuses in two: the same windows, late records and final rows."""
    choice = seeded()
    app = App("app")
    both = carts_and_orders(app).windowed_by(window)
    both.aggregate(int, value=int, emit=emit, name="both", **how).to_stream().to("out")
    single = app.stream("all", key=str, value=int).group_by_key().windowed_by(window)
    single.aggregate(int, lambda a, b: a + b, value=int, emit=emit, name="one", **how).to_stream().to("expected")
    with TopologyTestDriver(app, stores=choice.choice(STORES)) as driver:
        for n in range(0, 300, 2):
            key, time, amount = choice.choice("abc"), max(0, n + choice.randint(-25, 5)), choice.randint(1, 9)
            topic = choice.choice(["carts", "orders"])
            driver.input_topic(topic).pipe(key, amount, time)
            driver.input_topic("all").pipe(key, amount if topic == "carts" else -amount, time)
            if choice.random() < 0.05:
                driver.crash()
        expected = [(r.key, r.value, r.timestamp) for r in driver.output_topic("expected").read_records()]
        assert found(driver) == expected
        assert len(expected) > 20
        assert driver.dropped_records > 0


def test_one_window_without_an_end_takes_all_streams() -> None:
    app = App("app")
    carts_and_orders(app).windowed_by(unlimited(10)).aggregate(int, value=int, name="both").to_stream().to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("carts").pipe_many([("a", 5, 0), ("a", 7, 10)])
        driver.input_topic("orders").pipe("a", 1, 99)
        assert [(key.key, key.start, value) for key, value, _ in found(driver)] == [("a", 10, 7), ("a", 10, 6)]
        assert isinstance(found(driver)[0][0], Windowed)


def test_streams_of_other_keys_and_what_is_no_stream_are_refused() -> None:
    app = App("app")
    one = app.stream("one", key=str, value=int).group_by_key().cogroup(lambda total, n: total + n)
    with pytest.raises(TopologyError, match="keyed by string and by int64"):
        one.cogroup(app.stream("two", key=int, value=int).group_by_key(), lambda total, n: total).aggregate(
            int, value=int, name="both"
        )
    with pytest.raises(TopologyError, match="takes a grouped stream"):
        one.cogroup(app.stream("three"), lambda total, n: total)  # type: ignore[call-overload]
    with pytest.raises(TopologyError, match="need merge="):
        one.windowed_by(session("1s")).aggregate(int, value=int, name="sessions")
