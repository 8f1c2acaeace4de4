"""Keys and values as text: what ``--key TYPE`` and ``--value TYPE`` mean.

    str    UTF-8                      int    8 bytes, big endian (Java's Long)
    bytes  as they are                float  8 bytes, big endian (Java's Double)
    json   JSON text                  windowed:TYPE:SIZE   the key, then the window's start (8 bytes)
                                      session:TYPE         the key, then the window's end and start (8 bytes each)

In JSON a `str` is a string, `json` is itself, and bytes that are not UTF-8 are ``{"base64": "..."}``, which says
what was done to them and can be read back. As plain text they are ``base64:...``.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from streamflow.clock import milliseconds
from streamflow.errors import ConfigError, SerdeError

TYPES = "str, bytes, int, float, json, windowed:TYPE:SIZE or session:TYPE"

_INT = struct.Struct(">q")
_FLOAT = struct.Struct(">d")
_PAIR = struct.Struct(">qq")


@dataclass(frozen=True)
class Form:
    """One type. The functions never see None: a missing key or value is ``null`` everywhere.

    ``show`` gives what JSON holds, ``text`` what plain text holds; ``read`` takes what JSON held, ``parse`` the bytes
    of plain text. All raise `SerdeError` for what is not of the type. ``verbatim``: plain text and bytes are the same.
    """

    name: str
    show: Callable[[bytes], Any]
    read: Callable[[Any], bytes]
    parse: Callable[[bytes], bytes]
    verbatim: bool = False

    def text(self, data: bytes) -> bytes:
        """As plain text."""
        shown = self.show(data)
        if isinstance(shown, str):
            return shown.encode()
        if isinstance(shown, dict):
            fields = cast(dict[str, Any], shown)
            if "base64" in fields:
                return b"base64:" + str(fields["base64"]).encode()
            return f"[{fields['key']}@{fields['start']}/{fields['end']}]".encode()
        return msgspec.json.encode(shown)


def form(name: str) -> Form:
    """The form of a type's name. Raises `ConfigError` for a name that is none.

    >>> form("int").read(7), form("int").show(form("int").parse(b"7"))
    (b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07', 7)
    """
    if name in _PLAIN:
        return _PLAIN[name]
    kind, _, rest = name.partition(":")
    if kind == "windowed" and rest.count(":") == 1:
        inner, _, size = rest.partition(":")
        return _windowed(name, form(inner), milliseconds(size, f"the size in {name!r}"))
    if kind == "session" and rest:
        return _session(name, form(rest))
    raise ConfigError(f"{name!r} is no type; write {TYPES}")


def _show_text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _read_text(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.keys() == {"base64"} and isinstance(value["base64"], str):
        try:
            return b64decode(value["base64"], validate=True)
        except ValueError:
            raise SerdeError(f"{value['base64']!r} is not base64") from None
    raise SerdeError(f'{_short(value)} is neither a string nor {{"base64": "..."}}')


def _parse_text(data: bytes) -> bytes:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise SerdeError(f"{_short(data.rstrip())} is not UTF-8; with the type bytes it is taken as it is") from None
    return data


def _shown_number(layout: struct.Struct, name: str) -> Callable[[bytes], Any]:
    def show(data: bytes) -> Any:
        if len(data) != layout.size:
            raise SerdeError(f"{_short(data)} has {len(data)} bytes, but {name} has {layout.size}")
        return layout.unpack(data)[0]

    return show


def _read_int(value: Any) -> bytes:
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return _INT.pack(value)
        except struct.error:
            raise SerdeError(f"{value} does not fit into 64 bits") from None
    raise SerdeError(f"{_short(value)} is not a whole number")


def _read_float(value: Any) -> bytes:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _FLOAT.pack(value)
    raise SerdeError(f"{_short(value)} is not a number")


def _parse_int(data: bytes) -> bytes:
    try:
        return _INT.pack(int(data))
    except (ValueError, struct.error):
        raise SerdeError(f"{_short(data)} is not a whole number of 64 bits") from None


def _parse_float(data: bytes) -> bytes:
    try:
        return _FLOAT.pack(float(data))
    except ValueError:
        raise SerdeError(f"{_short(data)} is not a number") from None


def _show_json(data: bytes) -> Any:
    return msgspec.Raw(_parse_json(data))


def _parse_json(data: bytes) -> bytes:
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise SerdeError(f"{_short(data)} is not JSON: {error}") from None
    return data


def _windowed(name: str, inner: Form, size: int) -> Form:
    def show(data: bytes) -> Any:
        if len(data) < 8:
            raise SerdeError(f"{_short(data)} has no window behind its key")
        start = _INT.unpack(data[-8:])[0]
        return {"key": inner.show(data[:-8]), "start": start, "end": start + size}

    def read(value: Any) -> bytes:
        key, start, _ = _window_of(value)
        return inner.read(key) + _INT.pack(start)

    return Form(name, show, read, _no_plain_text(name))


def _session(name: str, inner: Form) -> Form:
    def show(data: bytes) -> Any:
        if len(data) < 16:
            raise SerdeError(f"{_short(data)} has no session behind its key")
        end, start = _PAIR.unpack(data[-16:])
        return {"key": inner.show(data[:-16]), "start": start, "end": end}

    def read(value: Any) -> bytes:
        key, start, end = _window_of(value)
        return inner.read(key) + _PAIR.pack(end, start)

    return Form(name, show, read, _no_plain_text(name))


def _window_of(value: Any) -> tuple[Any, int, int]:
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        start, end = fields.get("start"), fields.get("end", 0)
        if "key" in fields and type(start) is int and type(end) is int:
            return fields["key"], start, end
    raise SerdeError(f'{_short(value)} is no windowed key; write {{"key": ..., "start": ..., "end": ...}}')


def _no_plain_text(name: str) -> Callable[[bytes], bytes]:
    def parse(data: bytes) -> bytes:
        raise SerdeError(f"a {name.partition(':')[0]} key cannot be written as plain text; use --format json")

    return parse


def inner_key(name: str, key: bytes) -> bytes:
    """The bytes that choose the partition: a windowed key goes where its key goes."""
    tail = {"windowed": 8, "session": 16}.get(name.partition(":")[0], 0)
    return key[:-tail] if tail else key


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


_PLAIN = {
    "str": Form("str", _show_text, _read_text, _parse_text, verbatim=True),
    "bytes": Form("bytes", _show_text, _read_text, bytes, verbatim=True),
    "int": Form("int", _shown_number(_INT, "int"), _read_int, _parse_int),
    "float": Form("float", _shown_number(_FLOAT, "float"), _read_float, _parse_float),
    "json": Form("json", _show_json, msgspec.json.encode, _parse_json, verbatim=True),
}
