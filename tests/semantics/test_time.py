"""Semantics 1.11 and api.md: when a record happened, and whose time counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from streamflow import App, RecordError, TopologyError, tumbling
from tests.semantics.world import answer, world

FORMS: dict[str, tuple[Any, int]] = {
    "f(value)": (lambda value: int(value) + 1, 8),
    "f(key, value)": (lambda key, value: len(key) + int(value), 8),
    "f(key, value, context)": (lambda key, value, context: context.timestamp + 100, 105),
    "an aware datetime": (lambda value: datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1000),
    "another zone": (lambda value: datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
    "a float": (lambda value: 7.9, 7),
    "where it lies": (lambda key, value, context: context.partition + context.offset + len(context.topic), 2),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_source_says_when_its_records_happened(form: str) -> None:
    extractor, expected = FORMS[form]
    found = answer(lambda app: app.stream("in", key=str, value=str, timestamp=extractor).to("out"), ("k", "7", 5))
    assert found == ([("k", "7", expected)], 0)


def test_partition_time_is_the_greatest_seen() -> None:
    seen: list[int] = []

    def time_of(key: str, value: str, context: Any) -> int:
        seen.append(context.partition_time)
        return int(value)

    answer(
        lambda app: app.stream("in", key=str, value=str, timestamp=time_of).to("out"),
        ("k", "7"),
        ("k", "3"),
        ("k", "9"),
    )
    assert seen == [-1, 7, 7]


@pytest.mark.parametrize("gives", [None, -1, datetime(1960, 1, 1, tzinfo=UTC)])
def test_no_time_or_a_negative_one_drops_the_record_and_counts_it(gives: Any) -> None:
    found = answer(lambda app: app.stream("in", key=str, value=str, timestamp=lambda v: gives).to("out"), ("k", "v"))
    assert found == ([], 1)


@pytest.mark.parametrize("gives", ["2020-01-01", True, datetime(2020, 1, 1), object, float("nan")])
def test_what_is_no_time_follows_the_deserialize_policy(gives: Any) -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str, timestamp=lambda v: gives).to("out")

    with pytest.raises(RecordError, match=r"'in' partition 0 offset 0 .*could not be read") as told:
        answer(declare, ("k", "v"))
    assert told.value.kind == "deserialize"
    assert answer(declare, ("k", "v"), settings={"on_deserialize_error": "skip"}) == ([], 1)


def test_an_extractor_that_raises_follows_the_deserialize_policy() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str, timestamp=lambda v: int(v)).to("out")

    assert answer(declare, ("k", "7"), ("k", "x"), settings={"on_deserialize_error": "skip"}) == ([("k", "7", 7)], 1)


def test_an_extractor_of_the_wrong_shape_is_told() -> None:
    with pytest.raises(TopologyError, match=r"write it as f\(value\), f\(key, value\) or f\(key, value, context\)"):
        App("app").stream("in", timestamp=lambda a, b, c, d: 0)  # type: ignore[arg-type, misc]


def test_the_apps_extractor_is_for_every_source_without_its_own() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).to("out")
        app.table("rows", key=str, value=str).to_stream().to("rows-out")
        app.stream("own", key=str, value=str, timestamp=lambda value: 1).to("own-out")

    with world(declare, settings={"timestamp": lambda value: 99}) as driver:
        for topic, out, time in (("in", "out", 99), ("rows", "rows-out", 99), ("own", "own-out", 1)):
            assert driver.feed(topic, ("k", "v", 5)).out(out) == [("k", "v", time)]


def test_a_table_may_have_an_extractor() -> None:
    with world(lambda app: app.table("in", key=str, value=str, name="rows", timestamp=lambda value: 7)) as driver:
        driver.feed("in", ("k", "v", 5))
        assert driver.store("rows").get_with_timestamp("k") == ("v", 7)


def test_a_records_own_negative_time_is_an_error_under_the_deserialize_policy() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).to("out")

    with pytest.raises(RecordError, match="its timestamp is -5"):
        answer(declare, ("k", "v", -5))
    assert answer(declare, ("k", "v", -5), settings={"on_deserialize_error": "skip"}) == ([], 1)


def test_records_from_too_far_in_the_future_are_dropped_and_counted() -> None:
    found = answer(
        lambda app: app.stream("in", key=str, value=str).to("out"),
        ("k", "in time", 1_000 + 3_600_000), ("k", "too far", 1_001 + 3_600_000),
        settings={"max_future": "1h"}, wall_clock=1_000,
    )  # fmt: skip
    assert found == ([("k", "in time", 3_601_000)], 1)


def test_the_oldest_head_of_all_inputs_goes_first() -> None:
    def declare(app: App) -> None:
        table = app.table("rows", key=str, value=str)
        app.stream("in", key=str, value=str).join(table, lambda a, b: a + b, value=str).to("out")

    with world(declare, commit="manual") as driver:
        driver.feed("in", ("k", "v", 20)).feed("rows", ("k", "row", 10))
        driver.crash()  # nothing was committed, so both are read again, and now both are there
        driver.commit()
        assert driver.out() == [("k", "vrow", 20)]


def test_the_time_of_a_step_outlives_a_crash() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).group_by_key().windowed_by(tumbling("1m")).count(name="n").to_stream().to(
            "out"
        )

    with world(declare) as driver:
        driver.feed("in", ("a", "v", 120_000))
        driver.crash()
        driver.feed("in", ("a", "late", 0))
        assert driver.dropped_records == 1
