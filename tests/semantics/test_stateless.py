"""Semantics 1.2: what happens to one record by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow import App, KStream, RecordError, StreamflowError
from tests.semantics.world import answer, world

ROWS = [("a", "x", 5), ("b", "yy", 6), (None, "zzz", 7)]
Words = Callable[[KStream[str, str]], KStream[Any, Any]]

X, YY, ZZZ = ROWS
Y, Z = ("b", "y", 6), (None, "z", 7)

ANSWERS: dict[str, tuple[Words, list[tuple[Any, Any, int]]]] = {
    "filter by value": (lambda s: s.filter(lambda v: len(v) > 1), [YY, ZZZ]),
    "filter by key": (lambda s: s.filter(lambda k, v: k == "a"), [X]),
    "filter_not by value": (lambda s: s.filter_not(lambda v: len(v) > 1), [X]),
    "filter_not by key": (lambda s: s.filter_not(lambda k, v: k == "a"), [YY, ZZZ]),
    "map_values by value": (lambda s: s.map_values(len, value=int), [("a", 1, 5), ("b", 2, 6), (None, 3, 7)]),
    "map_values by key": (
        lambda s: s.map_values(lambda k, v: f"{k}{v}", value=str),
        [("a", "ax", 5), ("b", "byy", 6), (None, "Nonezzz", 7)],
    ),
    "map": (lambda s: s.map(lambda v: (v, len(v)), key=str, value=int), [("x", 1, 5), ("yy", 2, 6), ("zzz", 3, 7)]),
    "map by key": (
        lambda s: s.map(lambda k, v: (v, k), key=str, value=str),
        [("x", "a", 5), ("yy", "b", 6), ("zzz", None, 7)],
    ),
    "flat_map": (
        lambda s: s.flat_map(lambda v: [(c, v) for c in v[1:]], key=str, value=str),
        [("y", "yy", 6), ("z", "zzz", 7), ("z", "zzz", 7)],
    ),
    "flat_map_values": (lambda s: s.flat_map_values(list, value=str), [X, Y, Y, Z, Z, Z]),
    "flat_map_values of a generator": (
        lambda s: s.flat_map_values(lambda k, v: (c for c in v if k), value=str),
        [X, Y, Y],
    ),
    "select_key": (
        lambda s: s.select_key(lambda v: v[0], key=str),
        [("x", "x", 5), ("y", "yy", 6), ("z", "zzz", 7)],
    ),
    "select_key gives None": (lambda s: s.select_key(lambda k, v: None, key=str), [(None, v, t) for _, v, t in ROWS]),
    "with a name": (
        lambda s: s.filter(lambda v: True, name="mine").map_values(lambda v: v, value=str, name="too"),
        ROWS,
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_word_makes_of_a_stream_what_it_says(name: str) -> None:
    words, expected = ANSWERS[name]
    assert answer(lambda app: words(app.stream("in", key=str, value=str)).to("out"), *ROWS) == (expected, 0)


def test_functions_that_python_brings_are_called_in_their_shortest_form() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).flat_map_values(str.split, value=str).map_values(max, value=str).to("out")

    assert answer(declare, ("k", "ab zy"))[0] == [("k", "b", 0), ("k", "z", 0)]


def test_peek_passes_on_and_foreach_and_print_end(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []

    def declare(app: App) -> None:
        stream = app.stream("in", key=str, value=str).peek(lambda value: seen.append(value))
        stream.foreach(lambda key, value: seen.append((key, value)))
        stream.print()
        stream.print("words")
        stream.to("out")

    assert answer(declare, ("k", "v"))[0] == [("k", "v", 0)]
    assert seen == ["v", ("k", "v")]
    assert capsys.readouterr().out == "k, v\n[words]: k, v\n"


def test_the_first_branch_that_holds_takes_the_record_and_the_default_the_rest() -> None:
    def declare(app: App) -> None:
        branches = app.stream("in", key=str, value=int).split(
            {"small": lambda n: n < 10, "even": lambda k, n: n % 2 == 0}, default="rest"
        )
        assert list(branches) == ["small", "even", "rest"]
        for name, stream in branches.items():
            stream.to(name)

    with world(declare) as driver:
        driver.feed("in", ("k", 2), ("k", 12), ("k", 13))
        assert [driver.out(name) for name in ("small", "even", "rest")] == [
            [("k", 2, 0)],
            [("k", 12, 0)],
            [("k", 13, 0)],
        ]


def test_what_no_branch_takes_is_left_out_without_a_default() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=int).split({"small": lambda n: n < 10})["small"].to("out")

    assert answer(declare, ("k", 2), ("k", 12)) == ([("k", 2, 0)], 0)


def test_merge_passes_on_what_comes_from_each() -> None:
    def declare(app: App) -> None:
        a, b, c = (app.stream(name, key=str, value=str) for name in "abc")
        a.merge(b, c).to("out")

    with world(declare) as driver:
        for name in "abc":
            driver.feed(name, ("k", name))
        assert [value for _, value, _ in driver.out()] == ["a", "b", "c"]


def test_to_table_drops_null_keys_and_deletes_on_null_values() -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).to_table(store="rows").to_stream().to("out")

    with world(declare) as driver:
        driver.feed("in", ("a", "1"), (None, "x"), ("a", None))
        assert driver.out() == [("a", "1", 0), ("a", None, 0)]
        assert driver.dropped_records == 1 and list(driver.store("rows").all()) == []


@pytest.mark.parametrize("gives", [None, "ab", 7, ("a",), ("a", "b", "c")])
def test_a_map_that_gives_no_pair_is_told(gives: Any) -> None:
    def declare(app: App) -> None:
        app.stream("in", key=str, value=str).map(lambda v: gives, key=str, value=str, name="pairs").to("out")

    with pytest.raises(RecordError, match=r"'in' partition 0 offset 0 .* step 'pairs'.* must give a pair"):
        answer(declare, ("k", "v"))


def test_a_flat_map_that_gives_none_is_told() -> None:
    with pytest.raises(RecordError, match="must give a list or another iterable, but gave None"):
        answer(
            lambda app: app.stream("in", value=str).flat_map_values(lambda v: None, value=str).to("out"), (None, "v")
        )


def test_headers_and_timestamps_pass_through_stateless_steps() -> None:
    def declare(app: App) -> None:
        stream = (
            app.stream("in", key=str, value=str).filter(lambda v: True).map(lambda k, v: (v, k), key=str, value=str)
        )
        stream.flat_map_values(lambda v: [v], value=str).peek(lambda v: None).to("out")

    with world(declare) as driver:
        driver.input_topic("in").pipe("k", "v", 77, [("h", b"1")])
        (record,) = driver.records()
        assert (record.timestamp, record.headers) == (77, (("h", b"1"),))


def test_a_merge_of_different_types_says_what_to_do_where_the_type_is_needed() -> None:
    app = App("app")
    merged = app.stream("a", key=str, value=str).merge(app.stream("b", key=str, value=int))  # type: ignore[arg-type]
    with pytest.raises(
        StreamflowError, match=r"step 'a-merge' .* merges values of different types; .*with_types\(value=...\)"
    ):
        merged.to("out")


def test_a_merge_asks_for_the_type_at_the_step_that_did_not_tell_it() -> None:
    app = App("app")
    made = app.stream("b", key=str, value=str).map_values(lambda value: value)
    with pytest.raises(StreamflowError, match="add value= to step 'b-map-values'"):
        app.stream("a", key=str, value=str).merge(made).to("out")
