"""Types of keys and values: text to bytes and back, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.cli.forms import form, inner_key
from streamflow.errors import ConfigError, SerdeError

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"))


def over_json(name: str, data: bytes) -> bytes:
    """Bytes shown as JSON and read back."""
    return form(name).read(msgspec.json.decode(msgspec.json.encode(form(name).show(data))))


@given(st.binary())
def test_any_bytes_survive_json(data: bytes) -> None:
    assert over_json("bytes", data) == data
    assert over_json("str", data) == data


@given(INT64)
def test_ints_survive_json_and_plain_text(number: int) -> None:
    data = form("int").read(number)
    assert len(data) == 8
    assert over_json("int", data) == form("int").parse(form("int").text(data)) == data


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_json_and_plain_text(number: float) -> None:
    data = form("float").read(number)
    assert over_json("float", data) == form("float").parse(form("float").text(data)) == data


@given(TEXT, INT64)
def test_windowed_keys_survive_json(key: str, start: int) -> None:
    data = key.encode() + start.to_bytes(8, "big", signed=True)
    assert over_json("windowed:str:1m", data) == data
    assert inner_key("windowed:str:1m", data) == key.encode()


@given(INT64, INT64, INT64)
def test_session_keys_survive_json(key: int, start: int, end: int) -> None:
    data = b"".join(number.to_bytes(8, "big", signed=True) for number in (key, end, start))
    assert form("session:int").show(data) == {"key": key, "start": start, "end": end}
    assert over_json("session:int", data) == data
    assert inner_key("session:int", data) == data[:8]


def test_a_windowed_key_has_its_end_from_the_size() -> None:
    data = b"a" + (60_000).to_bytes(8, "big")
    assert form("windowed:str:1m").show(data) == {"key": "a", "start": 60_000, "end": 120_000}
    assert form("windowed:str:1m").text(data) == b"[a@60000/120000]"


def test_bytes_that_are_not_utf8_say_that_they_are_base64() -> None:
    assert form("str").show(b"\xff") == {"base64": "/w=="}
    assert form("bytes").text(b"\xff") == b"base64:/w=="


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("int", "7", "not a whole number"),
        ("int", True, "not a whole number"),
        ("int", 2**63, "does not fit"),
        ("float", "x", "not a number"),
        ("str", 7, "neither a string"),
        ("bytes", {"base64": "*"}, "not base64"),
        ("windowed:str:1m", "a", "no windowed key"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(SerdeError, match=told):
        form(name).read(value)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("int", b"x", "not a whole"),
        ("float", b"x", "not a number"),
        ("str", b"\xff", "UTF-8"),
        ("json", b"{", "not JSON"),
    ],
)
def test_text_of_another_type_is_refused(name: str, text: bytes, told: str) -> None:
    with pytest.raises(SerdeError, match=told):
        form(name).parse(text)


@pytest.mark.parametrize("name", ["", "integer", "windowed:str", "windowed:str:60", "session:", "windowed:nope:1m"])
def test_a_name_that_is_no_type_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        form(name)
