"""Keys and values as text.

How a key is written in a path (``/`` in it as ``%2F``) or in a parameter, by the type of the store's keys:

    str          the text itself, percent-encoded UTF-8            /keys/whale      /keys/caf%C3%A9
    bytes        the bytes, percent-encoded                        /keys/%00%FF
    int          decimal digits                                    /keys/-42
    float        as Python reads it                                /keys/0.5
    UUID         its 36 letters                                    /keys/123e4567-e89b-12d3-a456-426614174000
    JSON types   JSON                                              /keys/%7B%22id%22%3A7%7D
    Windowed     JSON: {"key": ..., "start": milliseconds}
    your serde   the bytes it writes, percent-encoded

The text becomes the bytes that the store's own serde writes: the same bytes that placed the record. In answers a key
or a value is JSON; bytes are text where they are UTF-8, else base64 with ``"encoding": "base64"`` beside them (as is
whatever its serde cannot read).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from streamflow.errors import SerdeError
from streamflow.query import WrongQuestion
from streamflow.record import Windowed
from streamflow.serdes import Serde

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_SHOWN = 60


def key_bytes(serde: Serde[Any], text: bytes, what: str = "the key") -> bytes:
    """The bytes of a key that was written as text; `WrongQuestion` says what was expected.

    >>> from streamflow.serdes import serde_of
    >>> key_bytes(serde_of(int), b"-1")
    b'\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff'
    """
    expected, read = _reader(serde)
    try:
        data = serde.serialize(read(text))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, SerdeError, msgspec.MsgspecError) as error:
        raise WrongQuestion(f"{what} is {_shown(text)}; the keys of this store are {expected} ({error})") from error
    if data is None:
        raise WrongQuestion(f"{what} is {_shown(text)}, which is null; no row has the key null")
    return data


def prefix_bytes(serde: Serde[Any], text: bytes) -> bytes:
    """The bytes that keys begin with, for keys whose bytes are their text."""
    if serde.name not in ("string", "raw"):
        raise WrongQuestion(f"prefix is for keys of type str and bytes; those of this store are {_reader(serde)[0]}")
    return key_bytes(serde, text, "the prefix")


def shown_key(serde: Serde[Any], data: bytes) -> dict[str, Any]:
    """The fields of an answer that tell a key."""
    fragment, encoding = as_json(serde, data)
    return {"key": fragment} if encoding is None else {"key": fragment, "key_encoding": encoding}


def shown_value(serde: Serde[Any], data: bytes) -> dict[str, Any]:
    """The fields of an answer that tell a value."""
    fragment, encoding = as_json(serde, data)
    return {"value": fragment} if encoding is None else {"value": fragment, "encoding": encoding}


def as_json(serde: Serde[Any], data: bytes) -> tuple[msgspec.Raw, str | None]:
    r"""Bytes as a piece of JSON, and its encoding if it had to be base64.

    >>> from streamflow.serdes import serde_of
    >>> as_json(serde_of(bytes), b"\xff")[1], bytes(as_json(serde_of(int), bytes(8))[0])
    ('base64', b'0')
    """
    try:
        found = data.decode() if serde.name == "raw" else serde.deserialize(data)
        if isinstance(found, Windowed):
            found = found._asdict()
        return msgspec.Raw(_ENCODER.encode(found)), None
    except Exception:  # a serde of the user's may raise anything; the bytes can be told all the same
        return msgspec.Raw(_ENCODER.encode(base64.b64encode(data).decode())), "base64"


def _plain(value: Any) -> Any:
    """What msgspec does not know by itself: a pydantic model."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def _reader(serde: Serde[Any]) -> tuple[str, Callable[[bytes], Any]]:
    """What a key's text looks like, in words, and how it is read."""
    name = serde.name
    if name in _READERS:
        return _READERS[name]
    if name.startswith("json("):
        return f"JSON of {name[5:-1]}", serde.deserialize
    if name.startswith("msgpack("):
        # Through the type and back: fields in the type's own order.
        decode = msgspec.json.decode
        return f"{name[8:-1]}, written as JSON", lambda text: serde.deserialize(serde.serialize(decode(text)))
    if name.startswith("windowed("):
        return 'windowed, written as JSON: {"key": ..., "start": milliseconds}', _windowed
    return f"bytes of the serde {name!r}, percent-encoded", serde.deserialize


def _integer(text: bytes) -> int:
    found = text.decode()
    if not _INTEGER.fullmatch(found):
        raise ValueError("not a whole number")
    return int(found)


def _uuid(text: bytes) -> UUID:
    return UUID(text.decode())


def _windowed(text: bytes) -> Windowed[Any]:
    found = msgspec.json.decode(text, type=dict[str, Any])
    start = found["start"]
    return Windowed(found["key"], start, start)


_READERS: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "raw": ("bytes, percent-encoded", bytes),
    "string": ("str, percent-encoded UTF-8", bytes.decode),
    "int32": ("int of 4 bytes", _integer),
    "int64": ("int of 8 bytes", _integer),
    "float64": ("float", lambda text: float(text.decode())),
    "uuid": ("UUID", _uuid),
}


def _shown(text: bytes) -> str:
    found = repr(text.decode("utf-8", "backslashreplace"))
    return found if len(found) <= _SHOWN else found[: _SHOWN - 3] + "..."
