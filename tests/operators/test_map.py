"""The map family: what each makes new, and the mistakes that would otherwise go on silently."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from streamflow.errors import StreamflowError
from streamflow.operators.map import FlatMap, FlatMapValues, Map, MapValues, SelectKey
from tests.operators.bench import Bench, function, sink, source, step


class Pair(NamedTuple):
    key: str
    value: str


def through(operator: Any, key: Any = "k", value: Any = "v") -> list[tuple[Any, Any, int]]:
    bench = Bench(source(), step("s", operator), sink("s"))
    bench.pipe(key, value, 7)
    return bench.out()


def test_map_values_changes_the_value_alone() -> None:
    assert through(MapValues(function(str.upper))) == [("k", "V", 7)]


def test_map_values_may_look_at_the_key() -> None:
    assert through(MapValues(function(lambda key, value: key + value))) == [("k", "kv", 7)]


def test_select_key_changes_the_key_alone() -> None:
    assert through(SelectKey(function(str.upper))) == [("V", "v", 7)]
    assert through(SelectKey(function(lambda key, value: value + key))) == [("vk", "v", 7)]


def test_map_gives_key_and_value() -> None:
    assert through(Map(function(lambda value: (value, "new")))) == [("v", "new", 7)]
    assert through(Map(function(lambda key, value: (value, key)))) == [("v", "k", 7)]


@pytest.mark.parametrize("pair", [["a", "b"], Pair("a", "b")])
def test_a_list_or_a_named_tuple_is_a_pair_too(pair: Any) -> None:
    assert through(Map(function(lambda value: pair))) == [("a", "b", 7)]


@pytest.mark.parametrize("found", [None, "ab", ("a",), ("a", "b", "c"), {"a": 1, "b": 2}, 3])
@pytest.mark.parametrize("flat", [False, True])
def test_what_is_no_pair_is_refused_by_name(flat: bool, found: Any) -> None:
    operator = FlatMap(function(lambda value: [found])) if flat else Map(function(lambda value: found))

    with pytest.raises(StreamflowError, match=r"step 'step': .* must give a pair \(key, value\), but gave ") as caught:
        through(operator)

    assert repr(found) in str(caught.value)


def test_flat_map_gives_any_number_of_records() -> None:
    assert through(FlatMap(function(lambda value: [("a", "1"), ("b", "2")]))) == [("a", "1", 7), ("b", "2", 7)]
    assert through(FlatMap(function(lambda value: []))) == []


def test_flat_map_values_keeps_the_key() -> None:
    assert through(FlatMapValues(function(str.split)), value="a b") == [("k", "a", 7), ("k", "b", 7)]
    assert through(FlatMapValues(function(lambda key, value: iter((key, value))))) == [
        ("k", "k", 7),
        ("k", "v", 7),
    ]


@pytest.mark.parametrize("operator", [FlatMap, FlatMapValues])
def test_a_flat_map_that_forgot_its_return_is_told(operator: Any) -> None:
    with pytest.raises(StreamflowError, match=r"step 'step': .* iterable, but gave None; an empty list emits nothing"):
        through(operator(function(lambda value: None)))


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(StreamflowError) as caught:
        through(Map(function(lambda value: "x" * 10_000)))

    assert len(str(caught.value)) < 200
