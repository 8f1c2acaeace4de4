"""Scalars are the bytes Java's serdes write, and bytes that are something else are told with their beginning."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow import SerdeError, serdes
from streamflow.serdes import serde_of

SCALARS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "raw": (serdes.raw, st.binary()),
    "string": (serdes.string, st.text()),
    "int32": (serdes.int32, st.integers(-(2**31), 2**31 - 1)),
    "int64": (serdes.int64, st.integers(-(2**63), 2**63 - 1)),
    "float64": (serdes.float64, st.floats(allow_nan=False)),
    "uuid": (serdes.uuid, st.uuids()),
}


@pytest.mark.parametrize("name", SCALARS)
@given(data=st.data())
def test_what_is_written_is_read_again(name: str, data: st.DataObject) -> None:
    serde, values = SCALARS[name]
    value = data.draw(values)
    assert serde.deserialize(serde.serialize(value)) == value


@pytest.mark.parametrize(
    ("serde", "value", "data"),
    [
        (serdes.string, "é", "é".encode()),
        (serdes.int32, -2, b"\xff\xff\xff\xfe"),
        (serdes.int64, 1, b"\x00\x00\x00\x00\x00\x00\x00\x01"),
        (serdes.float64, 1.5, b"\x3f\xf8\x00\x00\x00\x00\x00\x00"),
        (serdes.uuid, uuid.UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
    ],
)
def test_the_bytes_are_those_of_java(serde: Any, value: Any, data: bytes) -> None:
    assert serde.serialize(value) == data


@pytest.mark.parametrize("serde", [serde for serde, _ in SCALARS.values()] + [serdes.json(dict), serdes.presence])
def test_none_is_null_both_ways(serde: Any) -> None:
    assert serde.serialize(None) is None
    assert serde.deserialize(None) is None


@pytest.mark.parametrize(
    ("serde", "data", "text"),
    [
        (serdes.int64, b"abc", r"expected int \(int64, 8 bytes\), found b'abc'"),
        (serdes.string, b"\xff\xfe", r"expected str \(UTF-8\), found b'\\xff\\xfe': invalid start byte"),
        (serdes.uuid, b"x" * 99, "found 99 bytes beginning b'xxxxxxxxxxxxxxxxxxxxxxxx'"),
        (serdes.nothing, b"x", "expected null, found b'x'"),
    ],
)
def test_wrong_bytes_are_told_with_what_was_expected_and_found(serde: Any, data: bytes, text: str) -> None:
    with pytest.raises(SerdeError, match=text):
        serde.deserialize(data)


@pytest.mark.parametrize(
    ("serde", "value"),
    [(serdes.int64, "1"), (serdes.int64, 2**63), (serdes.string, 1), (serdes.raw, "text"), (serdes.uuid, "x")],
)
def test_a_value_of_another_type_is_not_written(serde: Any, value: Any) -> None:
    with pytest.raises(SerdeError, match=f"expected .* got {type(value).__name__}"):
        serde.serialize(value)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(bytes, "raw"), (str, "string"), (int, "int64"), (float, "float64"), (uuid.UUID, "uuid"), (type(None), "none"),
     (int | None, "int64"), (bool, "json(bool)"), (dict, "json(dict)")],
)  # fmt: skip
def test_a_type_chooses_its_serde(kind: Any, name: str) -> None:
    assert serde_of(kind).name == name
