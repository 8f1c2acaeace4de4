"""Types of more than one part are JSON, checked when read; what cannot be bytes is told when the graph is built."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

from streamflow import SerdeError, TopologyError, Windowed, serdes
from streamflow.serdes import is_immutable, serde_of, type_name


@dataclass
class Click:
    user: str
    url: str
    seconds: int = 0


@dataclass(frozen=True)
class Point:
    x: int
    y: int


@dataclass(frozen=True)
class Line:
    points: list[Point]


class Order(msgspec.Struct, frozen=True):
    id: str
    at: Point


class Row(TypedDict):
    name: str


class Pair(NamedTuple):
    left: int
    right: str


class Colour(enum.Enum):
    RED = "red"


class Plain:
    pass


@dataclass
class Tree:
    children: list[Tree] = field(default_factory=list)


@dataclass(frozen=True)
class Chain:
    next: Chain | None = None


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        (Click, Click("ann", "/a"), b'{"user":"ann","url":"/a","seconds":0}'),
        (Order, Order("1", Point(1, 2)), b'{"id":"1","at":{"x":1,"y":2}}'),
        (Row, {"name": "x"}, b'{"name":"x"}'),
        (Pair, Pair(1, "a"), b'[1,"a"]'),
        (list[int], [1, 2], b"[1,2]"),
        (dict[str, Point], {"a": Point(1, 2)}, b'{"a":{"x":1,"y":2}}'),
        (int | str, "a", b'"a"'),
        (bool, True, b"true"),
        (Colour, Colour.RED, b'"red"'),
        (Any, {"a": [1]}, b'{"a":[1]}'),
        (Tree, Tree([Tree()]), b'{"children":[{"children":[]}]}'),
    ],
)
def test_a_type_is_json(kind: Any, value: Any, data: bytes) -> None:
    serde = serde_of(kind)
    assert serde.serialize(value) == data
    assert serde.deserialize(data) == value


def test_a_value_of_another_shape_is_told_with_the_type_and_the_field() -> None:
    with pytest.raises(SerdeError, match=r"expected JSON of Click, found b'\{\"user\":1\}': Expected `str`, got `int`"):
        serde_of(Click).deserialize(b'{"user":1}')


def test_bytes_that_are_no_json_are_told() -> None:
    with pytest.raises(SerdeError, match="expected JSON of Click, found b'hello': JSON is malformed"):
        serde_of(Click).deserialize(b"hello")


@pytest.mark.parametrize("kind", [Plain, list[Plain], dict[str, Plain | None]])
def test_a_type_nobody_knows_the_fields_of_is_refused_when_declared(kind: Any) -> None:
    with pytest.raises(TopologyError, match="nothing is known about the fields of Plain"):
        serde_of(kind)


@pytest.mark.parametrize("kind", [5, "str", [int], {}])
def test_what_is_no_type_is_refused(kind: Any) -> None:
    with pytest.raises(TopologyError, match="a type or a Serde was expected, found"):
        serde_of(kind)


@pytest.mark.parametrize("kind", [int, str, Point, Order, tuple[int, ...], Colour, Literal["a"], int | None])
def test_what_cannot_be_changed_in_place_is_immutable(kind: Any) -> None:
    assert is_immutable(kind)


@pytest.mark.parametrize("kind", [Click, Line, list[int], dict, Row, Any, Tree, Chain, tuple[list[int], int], Plain])
def test_in_doubt_a_type_is_not_immutable(kind: Any) -> None:
    assert not is_immutable(kind)


def test_a_field_added_with_a_default_changes_neither_name_nor_reading() -> None:
    @dataclass
    class Before:
        user: str

    @dataclass
    class After:
        user: str
        url: str = "/"

    After.__qualname__ = Before.__qualname__
    before, after = serde_of(Before), serde_of(After)

    assert before.name == after.name
    assert after.deserialize(before.serialize(Before("ann"))) == After("ann", "/")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(dict[str, list[int]], "dict[str, list[int]]"), (int | None, "int | None"), (Point, "Point"),
     (tuple[int, ...], "tuple[int, ...]"), (Literal["a", 1], "Literal['a', 1]")],
)  # fmt: skip
def test_a_type_is_spelled_without_its_module(kind: Any, name: str) -> None:
    assert type_name(kind) == name


def test_messagepack_is_read_again() -> None:
    serde = serdes.msgpack(Point)
    assert serde.deserialize(serde.serialize(Point(1, 2))) == Point(1, 2)
    assert serde.name == "msgpack(Point)"


def test_a_windowed_key_is_the_key_and_the_start() -> None:
    serde = serdes.windowed(str, "1m")
    assert serde.serialize(Windowed("a", 60_000, 120_000)) == b"a" + (60_000).to_bytes(8, "big")
    assert serde.deserialize(b"a" + bytes(8)) == Windowed("a", 0, 60_000)
    assert serde.placed_by is not None
    assert (b"a" + bytes(8))[serde.placed_by] == b"a"


def test_a_windowed_key_of_unknown_size_can_be_written_and_not_read() -> None:
    serde = serde_of(Windowed[str])
    assert serde.serialize(Windowed("a", 0, 1)) == b"a" + bytes(8)
    with pytest.raises(SerdeError, match=r'write windowed\(str, "5m"\)'):
        serde.deserialize(b"a" + bytes(8))


def test_a_pydantic_model_is_its_own_json() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", a=(int, ...), b=(str, "x"))
    serde = serde_of(model)
    assert serde.serialize(model(a=1)) == b'{"a":1,"b":"x"}'
    assert serde.deserialize(b'{"a":1}') == model(a=1)
    with pytest.raises(SerdeError, match=r"expected JSON of Model, found .*: a: Input should be a valid integer"):
        serde.deserialize(b'{"a":"z"}')
