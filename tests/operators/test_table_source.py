"""Streams read as tables: updates, deletions, and what is known of old rows."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.operators.table_ops import ToStream
from streamflow.operators.table_source import TableSource, ToTable
from streamflow.serdes import Serde, string
from streamflow.state.spec import StoreSpec
from tests.operators.bench import Bench, OldAndNew, Raw, function, sink, source, step

ROWS = StoreSpec("rows", "key_value", string, string)


@pytest.mark.parametrize("operator", [TableSource(None), TableSource("rows"), ToTable(None), ToTable("rows")])
def test_a_table_passes_on_updates_and_deletions(operator: Any) -> None:
    stores = [ROWS] if operator.stores else []
    bench = Bench(source(), step("t", operator), step("read", ToStream(), "t"), sink("read"), stores=stores)

    for time, value in enumerate(["1", "2", None, None, "3"]):
        bench.pipe("k", value, time)

    assert bench.out() == [("k", "1", 0), ("k", "2", 1), ("k", None, 2), ("k", None, 3), ("k", "3", 4)]


@pytest.mark.parametrize("operator", [TableSource(None), TableSource("rows")])
def test_a_null_key_is_dropped_and_counted(operator: Any) -> None:
    seen: list[Any] = []
    bench = Bench(source(), step("t", operator), step("see", OldAndNew(seen), "t"), stores=[ROWS])

    bench.pipe(None, "x")

    assert seen == [] and bench.drops == {("t", "null_key"): 1}


def test_a_tombstone_deletes_the_row() -> None:
    bench = Bench(source(), step("t", TableSource("rows")), stores=[ROWS])
    rows = bench.rows("rows")

    bench.pipe("k", "x", 3)
    before = rows.get_pair("k")
    bench.pipe("k", None, 4)

    assert before == ("x", 3) and rows.get("k") is None


def test_an_older_update_wins_when_it_arrives_later() -> None:
    bench = Bench(source(), step("t", TableSource("rows")), stores=[ROWS])

    bench.pipe("k", "new", 9)
    bench.pipe("k", "old", 2)

    assert bench.rows("rows").get_pair("k") == ("old", 2)


@pytest.mark.parametrize(
    ("store", "sends_old", "olds"),
    [("rows", True, [None, "1", "2", None]), ("rows", False, [None] * 4), (None, True, [None] * 4)],
)
def test_old_rows_are_known_only_to_a_table_with_a_store_that_was_asked_for_them(
    store: str | None, sends_old: bool, olds: list[Any]
) -> None:
    seen: list[Any] = []
    table = step("t", TableSource(store), sends_old=sends_old)
    bench = Bench(source(), table, step("see", OldAndNew(seen), "t"), stores=[ROWS])

    for value in ("1", "2", None, "3"):
        bench.pipe("k", value)

    assert [old for _, _, old in seen] == olds


def test_a_table_that_is_only_kept_stores_the_bytes_as_they_came() -> None:
    def refuse(value: Any) -> Any:
        raise AssertionError("decoded")

    never = Serde(refuse, refuse, "never")
    bench = Bench(
        source(key=never, value=never),
        step("t", TableSource("rows"), sends_old=True),
        step("read", ToStream(), "t"),
        sink("read", key=never, value=never),
        stores=[StoreSpec("rows", "key_value", never, never)],
    )

    bench.feed(Raw(b"\xff", b"\xfe", 7))

    assert bench.raw_out() == [(b"\xff", b"\xfe", 7, ())]
    assert bench.store("rows").changes() == [(b"\xff", b"\xfe", 7, [])]


def test_to_stream_may_give_another_key() -> None:
    both = function(lambda key, value: f"{key}{value}")
    bench = Bench(source(), step("t", TableSource(None)), step("read", ToStream(both), "t"), sink("read"))

    bench.pipe("k", "x", 3)
    bench.pipe("k", None, 4)

    assert bench.out() == [("kx", "x", 3), ("kNone", None, 4)]
