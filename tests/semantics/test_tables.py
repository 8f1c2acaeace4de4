"""Semantics 1.4: tables out of tables, and aggregates that take back what a row said before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow import App, KTable
from tests.semantics.world import answer, world

Rows = list[tuple[Any, Any, int]]


def table(app: App) -> KTable[str, int]:
    return app.table("in", key=str, value=int)


FILTERS: dict[str, tuple[Callable[[KTable[str, int]], KTable[str, int]], list[Any]]] = {
    "a view sends a tombstone for every row that fails": (lambda t: t.filter(lambda v: v > 1), [None, 2, None, None]),
    "a kept one only for a row that had passed": (lambda t: t.filter(lambda v: v > 1, name="kept"), [2, None]),
    "filter_not is its opposite": (lambda t: t.filter_not(lambda v: v > 1, name="kept"), [1, None, 1, None]),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filtered_table(name: str) -> None:
    words, expected = FILTERS[name]
    found, _ = answer(lambda app: words(table(app)).to_stream().to("out"), ("a", 1), ("a", 2), ("a", 1), ("a", None))
    assert [value for _, value, _ in found] == expected


def test_map_values_is_not_asked_about_deleted_rows() -> None:
    def declare(app: App) -> None:
        table(app).map_values(lambda k, v: f"{k}{v + 1}", value=str, name="made").to_stream().to("out")

    with world(declare) as driver:
        driver.feed("in", ("a", 1), ("a", None), ("b", 5))
        assert driver.out() == [("a", "a2", 0), ("a", None, 0), ("b", "b6", 0)]
        assert dict(driver.store("made").all()) == {"b": "b6"}


def test_to_stream_gives_tombstones_too_and_may_give_another_key() -> None:
    def declare(app: App) -> None:
        table(app).to_stream(lambda k, v: k.upper(), key=str).to("out")

    assert answer(declare, ("a", 1), ("a", None)) == ([("A", 1, 0), ("A", None, 0)], 0)


def test_an_older_update_of_a_row_is_applied_all_the_same() -> None:
    with world(lambda app: app.table("in", key=str, value=int, name="rows").to_stream().to("out")) as driver:
        driver.feed("in", ("a", 1, 10), ("a", 2, 5))
        assert driver.out() == [("a", 1, 10), ("a", 2, 5)]
        assert driver.store("rows").get_with_timestamp("a") == (2, 5)


def regrouped(app: App) -> Any:
    return app.table("in", key=str, value=str).group_by(lambda k, v: (v[0], v), key=str, value=str)


MOVES: Rows = [("u", "a1", 0), ("w", "a2", 1), ("u", "b1", 2), ("w", "a3", 3), ("w", None, 4)]


def test_a_count_of_rows_goes_to_zero_and_is_never_deleted() -> None:
    found, _ = answer(lambda app: regrouped(app).count(name="n").to_stream().to("out"), *MOVES)
    # One group: one record for the taking and the giving. Two groups: the taking first.
    assert found == [("a", 1, 0), ("a", 2, 1), ("a", 1, 2), ("b", 1, 2), ("a", 1, 3), ("a", 0, 4)]


def test_a_reduction_takes_back_before_it_adds() -> None:
    def declare(app: App) -> None:
        regrouped(app).reduce(lambda t, v: f"{t}+{v}", lambda t, v: f"{t}-{v}", name="n").to_stream().to("out")

    values = [value for key, value, _ in answer(declare, *MOVES)[0] if key == "a"]
    assert values == ["a1", "a1+a2", "a1+a2-a1", "a1+a2-a1-a2+a3", "a1+a2-a1-a2+a3-a3"]


def test_an_aggregate_starts_from_the_initializer_and_may_take_the_key() -> None:
    def declare(app: App) -> None:
        words = regrouped(app)
        words.aggregate(
            str, lambda k, t, v: f"{t}+{k}{v}", lambda k, t, v: f"{t}-{k}{v}", value=str, name="n"
        ).to_stream().to("out")

    values = [value for key, value, _ in answer(declare, *MOVES[:3])[0] if key == "a"]
    assert values == ["+aa1", "+aa1+aa2", "+aa1+aa2-aa1"]


@pytest.mark.parametrize("gives", [None, (None, "v"), ("g", None)])
def test_a_row_that_is_given_no_group_is_in_none(gives: Any) -> None:
    def declare(app: App) -> None:
        rows = app.table("in", key=str, value=str)
        rows.group_by(lambda v: gives if v == "out" else ("g", v), key=str, value=str).count(name="n").to_stream().to(
            "out"
        )

    assert [value for _, value, _ in answer(declare, ("u", "in"), ("u", "out"), ("w", "out"))[0]] == [1, 0]


def test_regrouped_rows_meet_whichever_partitions_they_lie_in() -> None:
    def declare(app: App) -> None:
        users = app.table("in", key=str, value=str)
        users.group_by(lambda user, region: (region, user), key=str, value=str).count(name="n")

    with world(declare, partitions=4) as driver:
        driver.feed("in", *((f"user-{n}", "eu" if n % 3 else "us") for n in range(30)))
        driver.feed("in", *((f"user-{n}", "us") for n in range(30)))
        assert dict(driver.store("n").all()) == {"eu": 0, "us": 30}


def test_the_store_of_a_table_is_its_name_or_none() -> None:
    app = App("app")
    rows = table(app)
    assert (rows.store, rows.filter(bool).store, rows.filter(bool, store="big").store) == (None, None, "big")
    assert rows.map_values(lambda v: v, value=int, name="same").store == "same"
