"""api.md, Serdes: every type goes in, is stored under itself as a key, and comes out; the bytes are the promised ones."""

from __future__ import annotations

import json
import struct
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest

from streamflow import App, Serde, Windowed, serdes
from tests.semantics.world import world


@dataclass(frozen=True)
class Data:
    x: int
    y: str = "d"


class Structure(msgspec.Struct, frozen=True):
    x: int


class Named(NamedTuple):
    x: int


class Typed(TypedDict):
    x: int


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


ID = uuid.UUID(int=5)
TYPES: dict[str, tuple[Any, Any, bytes]] = {
    "bytes": (bytes, b"\x00\xff", b"\x00\xff"),
    "str": (str, "é", b"\xc3\xa9"),
    "int": (int, -2, struct.pack(">q", -2)),
    "float": (float, 1.5, struct.pack(">d", 1.5)),
    "bool": (bool, True, b"true"),
    "UUID": (uuid.UUID, ID, str(ID).encode()),
    "dict": (dict, {"a": [1, None]}, as_json({"a": [1, None]})),
    "list": (list, [1, "a"], as_json([1, "a"])),
    "list[int]": (list[int], [1, 2], as_json([1, 2])),
    "dict of data": (dict[str, Data], {"k": Data(1)}, as_json({"k": {"x": 1, "y": "d"}})),
    "tuple": (tuple[str, int], ("a", 1), as_json(["a", 1])),
    "dataclass": (Data, Data(1), as_json({"x": 1, "y": "d"})),
    "Struct": (Structure, Structure(1), as_json({"x": 1})),
    "NamedTuple": (Named, Named(1), as_json([1])),
    "TypedDict": (Typed, {"x": 1}, as_json({"x": 1})),
    "union": (int | str, "a", as_json("a")),
    "optional": (int | None, 3, struct.pack(">q", 3)),
    "Windowed": (serdes.windowed(str, "1m"), Windowed("a", 5, 60_005), b"a" + struct.pack(">q", 5)),
    "int32": (serdes.int32, -2, struct.pack(">i", -2)),
    "int64": (serdes.int64, -2, struct.pack(">q", -2)),
    "float64": (serdes.float64, -2.5, struct.pack(">d", -2.5)),
    "string": (serdes.string, "a", b"a"),
    "raw": (serdes.raw, b"a", b"a"),
    "uuid": (serdes.uuid, ID, str(ID).encode()),
    "json(T)": (serdes.json(str), "a", b'"a"'),
    "msgpack(T)": (serdes.msgpack(dict[str, int]), {"a": 1}, b"\x81\xa1a\x01"),
    "Serde(f, g)": (Serde(lambda v: v[::-1].encode(), lambda b: b.decode()[::-1]), "abc", b"cba"),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_type_comes_out_as_it_went_in_and_its_bytes_are_the_promised_ones(name: str) -> None:
    kind, value, data = TYPES[name]

    def declare(app: App) -> None:
        stream = app.stream("in", key=kind, value=kind)
        stream.map(lambda k, v: (k, v), key=kind, value=kind).to("out")
        stream.group_by(lambda v: v, key=kind).reduce(lambda a, b: b, name="rows")

    with world(declare, partitions=3) as driver:
        driver.feed("in", (value, value, 1), (value, value, 2))
        assert driver.out() == [(value, value, 1), (value, value, 2)]
        assert driver.out(key=bytes, value=bytes)[0] == (data, data, 1)
        assert driver.store("rows").get(value) == value
        assert list(driver.store("rows").all()) == [(value, value)]


@pytest.mark.parametrize("name", TYPES)
def test_none_is_null_in_every_type(name: str) -> None:
    kind, value, _ = TYPES[name]
    with world(
        lambda app: app.table("in", key=kind, value=kind, name="rows").filter(lambda v: True).to_stream().to("out")
    ) as driver:
        driver.feed("in", (value, value), (value, None))
        assert driver.out(key=bytes, value=bytes)[-1][1] is None
        assert list(driver.store("rows").all()) == []
    serde = serdes.serde_of(kind)
    assert (serde.serialize(None), serde.deserialize(None)) == (None, None)


def test_two_functions_are_never_asked_about_none() -> None:
    asked: list[Any] = []
    serde: Serde[Any] = Serde(lambda v: asked.append(v) or b"x", lambda b: asked.append(b) or "x")  # type: ignore[func-returns-value]
    assert (serde.serialize(None), serde.deserialize(None), asked) == (None, None, [])


def test_a_field_added_with_a_default_reads_old_rows() -> None:
    assert serdes.serde_of(Data).deserialize(b'{"x":1}') == Data(1, "d")


def test_a_whole_number_may_stand_for_a_float_but_not_the_other_way_round() -> None:
    assert serdes.serde_of(float).serialize(3) == struct.pack(">d", 3.0)
    with pytest.raises(Exception, match=r"expected int \(int64\), got float 3.0"):
        serdes.serde_of(int).serialize(3.0)
