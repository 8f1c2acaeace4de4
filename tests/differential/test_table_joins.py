"""Any order of changes of two tables ends in the join of what they hold, each step of it the join of that moment."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App
from streamflow.testing import TopologyTestDriver
from tests.log.support import seeded

STORES = ("memory", "rocksdb")
Table = dict[str, int]


def joined(word: str, left: Table, right: Table) -> dict[str, str]:
    """The definition."""
    keys = {"join": left.keys() & right.keys(), "left_join": left.keys(), "outer_join": left.keys() | right.keys()}[
        word
    ]
    return {key: f"{left.get(key)}:{right.get(key)}" for key in keys}


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "not-kept"])
@pytest.mark.parametrize("word", ["join", "left_join", "outer_join"])
def test_each_change_makes_the_join_of_the_moment(word: str, kept: bool) -> None:
    choice = seeded()
    app = App("app")
    left, right = app.table("left", key=str, value=int), app.table("right", key=str, value=int)
    how: dict[str, Any] = {"name": "both"} if kept else {}
    getattr(left, word)(right, lambda one, other: f"{one}:{other}", value=str, **how).to_stream().to("out")
    tables: dict[str, Table] = {"left": {}, "right": {}}
    said: dict[str, str] = {}
    with TopologyTestDriver(app, partitions=choice.choice([1, 4]), stores=choice.choice(STORES)) as driver:
        out = driver.output_topic("out")
        for n in range(250):
            side, key = choice.choice(["left", "right"]), choice.choice("abcd")
            value = None if choice.random() < 0.3 else n
            driver.input_topic(side).pipe(key, value, choice.randint(0, 100))
            tables[side].pop(key, None) if value is None else tables[side].__setitem__(key, value)
            if choice.random() < 0.05:
                driver.crash()
            for record in out.read_records():
                assert record.key == key
                said.pop(key, None) if record.value is None else said.__setitem__(key, record.value)
            assert said == joined(word, tables["left"], tables["right"])
        if kept:
            assert dict(driver.store("both").all()) == said


def test_a_joined_table_is_grouped_with_the_right_old_values() -> None:
    choice = seeded()
    app = App("app")
    left, right = app.table("left", key=str, value=int), app.table("right", key=str, value=int)
    both = left.outer_join(right, lambda one, other: (one or 0) + (other or 0), value=int)
    sums = both.group_by(lambda key, value: ("all", value), key=str, value=int)
    sums.reduce(lambda a, b: a + b, lambda a, b: a - b, name="sum")
    tables: dict[str, Table] = {"left": {}, "right": {}}
    with TopologyTestDriver(app) as driver:
        for n in range(200):
            side, key = choice.choice(["left", "right"]), choice.choice("abcd")
            value = None if choice.random() < 0.3 else n
            driver.input_topic(side).pipe(key, value, n)
            tables[side].pop(key, None) if value is None else tables[side].__setitem__(key, value)
        assert (driver.store("sum").get("all") or 0) == sum(tables["left"].values()) + sum(tables["right"].values())
