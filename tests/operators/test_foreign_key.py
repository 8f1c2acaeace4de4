"""Foreign-key joins: each left row with the right row that its value names, over partitions and crashes."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App
from streamflow.errors import TopologyError
from streamflow.testing import TopologyTestDriver
from tests.log.support import seeded

STORES = ("memory", "rocksdb")


def orders_with_users(app: App, word: str = "join", **how: Any) -> Any:
    orders = app.table("orders", key=int, value=dict)
    users = app.table("users", key=str, value=str)
    join = getattr(orders, word)
    return join(users, lambda order, user: f"{order['n']}:{user}", on=lambda order: order["user"], value=str, **how)


def build(word: str = "join", **how: Any) -> App:
    app = App("app")
    orders_with_users(app, word, **how).to_stream().to("out")
    return app


def order(n: int, user: str | None) -> dict[str, Any]:
    return {"n": n, "user": user}


def rows(driver: TopologyTestDriver) -> list[tuple[Any, Any, int]]:
    return [(r.key, r.value, r.timestamp) for r in driver.output_topic("out").read_records()]


@pytest.mark.parametrize("stores", STORES)
@pytest.mark.parametrize("partitions", [1, 4])
def test_a_right_row_reaches_all_left_rows_that_name_it_wherever_they_lie(stores: Any, partitions: int) -> None:
    with TopologyTestDriver(build(), stores=stores, partitions=partitions) as driver:
        orders, users = driver.input_topic("orders"), driver.input_topic("users")
        for n in range(10):
            orders.pipe(n, order(n, "ada" if n % 2 else "bob"), n)
        driver.crash()
        users.pipe("ada", "Ada", 50)
        assert sorted(rows(driver)) == [(n, f"{n}:Ada", 50) for n in (1, 3, 5, 7, 9)]
        users.pipe("ada", None, 60)
        assert sorted(rows(driver)[5:]) == [(n, None, 60) for n in (1, 3, 5, 7, 9)]


def test_answers_go_to_the_partition_that_asked_however_that_was_chosen() -> None:
    with TopologyTestDriver(build(), partitions=4) as driver:
        driver.input_topic("users").pipe("ada", "Ada", 0)
        for partition in range(4):
            driver.input_topic("orders").pipe(partition, order(partition, "ada"), 1, partition=partition)
        assert sorted(rows(driver)) == [(n, f"{n}:Ada", 1) for n in range(4)]


def test_a_foreign_key_that_becomes_null_deletes_the_row_of_an_inner_join() -> None:
    with TopologyTestDriver(build()) as driver:
        driver.input_topic("users").pipe("ada", "Ada", 0)
        driver.input_topic("orders").pipe_many([(1, order(1, "ada"), 1), (1, order(1, None), 2), (1, None, 3)])
        assert rows(driver) == [(1, "1:Ada", 1), (1, None, 2)]
        assert driver.dropped_records == 1
        driver.input_topic("users").pipe("ada", "Ada L.", 4)
        assert len(rows(driver)) == 2


def test_a_left_join_has_a_row_without_a_right_one_and_says_everything_once() -> None:
    with TopologyTestDriver(build("left_join")) as driver:
        orders, users = driver.input_topic("orders"), driver.input_topic("users")
        orders.pipe_many([(1, order(1, None), 1), (1, order(2, "ada"), 2)])
        users.pipe("ada", "Ada", 3)
        orders.pipe_many([(1, order(3, "bob"), 4), (1, None, 5)])
        assert rows(driver) == [(1, "1:None", 1), (1, "2:None", 2), (1, "2:Ada", 3), (1, "3:None", 4), (1, None, 5)]


def test_a_table_joined_with_itself_finds_its_own_rows() -> None:
    app = App("app")
    people = app.table("people", key=str, value=dict)
    pairs = people.join(
        people, lambda one, boss: f"{one['name']} < {boss['name']}", on=lambda one: one.get("boss"), value=str
    )
    pairs.to_stream().to("out")
    with TopologyTestDriver(app, partitions=3) as driver:
        people_in = driver.input_topic("people")
        people_in.pipe("a", {"name": "Ann", "boss": "b"}, 0)
        people_in.pipe("b", {"name": "Bea"}, 1)
        people_in.pipe("b", {"name": "Beatrix"}, 2)
        assert [value for _, value, _ in rows(driver)] == ["Ann < Bea", "Ann < Beatrix"]


def test_the_result_can_be_kept_looked_up_and_grouped() -> None:
    app = App("app")
    joined = orders_with_users(app, name="named")
    joined.group_by(lambda value: (value.partition(":")[2], 1), key=str, value=int).count(name="per-user")
    with TopologyTestDriver(app, stores="rocksdb") as driver:
        driver.input_topic("users").pipe_many([("ada", "Ada", 0), ("bob", "Bob", 0)])
        driver.input_topic("orders").pipe_many(
            [(1, order(1, "ada"), 1), (2, order(2, "ada"), 2), (1, order(1, "bob"), 3)]
        )
        driver.crash()
        assert driver.store("named").get(1) == "1:Bob"
        assert dict(driver.store("per-user").all()) == {"Ada": 1, "Bob": 1}


@pytest.mark.parametrize("crash", [False, True])
def test_a_row_that_is_deleted_and_comes_again_at_once_without_its_right_row_is_gone(crash: bool) -> None:
    with TopologyTestDriver(build(), commit="manual", stores="rocksdb") as driver:
        orders = driver.input_topic("orders")
        driver.input_topic("users").pipe("ada", "Ada", 0)
        orders.pipe(1, order(1, "ada"), 1)
        driver.commit()
        orders.pipe(1, None, 2)
        orders.pipe(1, order(2, "nobody"), 3)  # before the right side has heard of the deletion
        if crash:
            driver.crash()
        driver.commit()
        assert rows(driver)[0] == (1, "1:Ada", 1)
        assert rows(driver)[-1] == (1, None, 3)
        orders.pipe(2, order(2, "nobody"), 4)
        driver.commit()
        assert len(rows(driver)) == 2


@pytest.mark.parametrize("word", ["join", "left_join"])
def test_any_order_of_changes_ends_in_the_join_of_the_tables(word: str) -> None:
    """The last word on each row is the join of what the tables hold, whatever happened in which order, over crashes."""
    choice = seeded()
    orders_now: dict[int, dict[str, Any]] = {}
    users_now: dict[str, str] = {}
    partitions, stores, commit = choice.choice([1, 4]), choice.choice(STORES), choice.choice(["every_record", "manual"])
    with TopologyTestDriver(build(word), partitions=partitions, stores=stores, commit=commit) as driver:  # type: ignore[arg-type]
        orders, users = driver.input_topic("orders"), driver.input_topic("users")
        for n in range(300):
            if choice.random() < 0.6:
                key = choice.randrange(8)
                value = None if choice.random() < 0.2 else order(n, choice.choice(["a", "b", "c", None]))
                orders.pipe(key, value, n)
                orders_now.pop(key, None) if value is None else orders_now.__setitem__(key, value)
            else:
                name, user = choice.choice("abc"), None if choice.random() < 0.3 else f"u{n}"
                users.pipe(name, user, n)
                users_now.pop(name, None) if user is None else users_now.__setitem__(name, user)
            if choice.random() < 0.05:
                driver.crash()
            if choice.random() < 0.1:
                driver.commit()
        driver.commit()
        last = {key: value for key, value, _ in rows(driver) if value is not None}
        for key, value, _ in rows(driver):
            if value is None:
                last.pop(key, None)
            else:
                last[key] = value
    expected = {}
    for key, row in orders_now.items():
        user = users_now.get(row["user"]) if row["user"] is not None else None
        if user is not None or word == "left_join":
            expected[key] = f"{row['n']}:{user}"
    assert last == expected


def test_a_type_that_is_not_known_is_asked_for_by_name() -> None:
    app = App("app")
    orders = app.table("orders", key=int, value=dict).map_values(lambda order: order["user"])
    with pytest.raises(TopologyError, match="their type is not known; add value="):
        orders.join(app.table("users", key=str, value=str), lambda a, b: a, on=lambda user: user, value=str)
