"""Serdes made of others: windowed keys, table changes, and "there was a value".

    windowed key    key || start (8 bytes, big endian); the size of the window is not in the bytes
    session key     key || end || start
    table change    new || 01          a row appeared
                    old || 00          a row went
                    varint(len new) || new || old || 02

The varint is unsigned, 7 bits a byte, low bits first.

Source: Kafka Streams' windowed serdes and its repartition topics of grouped tables.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streamflow.clock import Duration, milliseconds
from streamflow.errors import SerdeError
from streamflow.record import Change, Windowed
from streamflow.serdes.base import Serde, unreadable, unwritable, wrapped

_START = struct.Struct(">q")
_TIMES = struct.Struct(">qq")


def windowed_by_size(inner: Serde[Any], size_ms: int | None) -> Serde[Windowed[Any]]:
    """Keys of windows of ``size_ms``; None where it is not known, and such keys can only be written.

    >>> from streamflow.serdes.scalars import string
    >>> windowed_by_size(string, 60_000).serialize(Windowed("a", 1, 60_001))
    b'a\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01'
    """
    write, read, pack, unpack = inner.serialize, inner.deserialize, _START.pack, _START.unpack_from
    name = f"windowed({inner.name})"  # not the size: equal names are equal bytes

    def serialize(value: Any) -> bytes | None:
        if value is None:
            return None
        try:
            key = write(value.key)
            start = pack(value.start)
        except (AttributeError, struct.error):
            raise unwritable(name, value, "a windowed key is Windowed(key, start, end)") from None
        if key is None:
            raise unwritable(name, value, "its key is None")
        return key + start

    def deserialize(data: bytes | None) -> Any:
        if data is None:
            return None
        if len(data) < 8:
            raise unreadable(name, data, "shorter than the 8 bytes of a window's start")
        if size_ms is None:
            raise unreadable(name, data, 'the size of the window is not in the bytes; write windowed(str, "5m")')
        (start,) = unpack(data, len(data) - 8)
        return Windowed(read(data[:-8]), start, start + size_ms)

    made = Serde(serialize, deserialize, name, inner.immutable, placed_by=slice(None, -8), null_safe=True)
    return wrapped(lambda inner: windowed_by_size(inner, size_ms), inner, made)


def windowed_by_end(inner: Serde[Any], end_of: Callable[[int], int]) -> Serde[Windowed[Any]]:
    """The same bytes for windows that differ in length: ``end_of(start)`` tells where one ends."""
    made = windowed_by_size(inner, 0)
    read = made.deserialize

    def deserialize(data: bytes | None) -> Any:
        found: Any = read(data)
        return None if found is None else Windowed(found.key, found.start, end_of(found.start))

    made = replace(made, deserialize=deserialize)
    return wrapped(lambda inner: windowed_by_end(inner, end_of), inner, made)


def session_windowed_key(inner: Serde[Any]) -> Serde[Windowed[Any]]:
    """Keys of sessions: both times are in the bytes.

    >>> from streamflow.serdes.scalars import string
    >>> session_windowed_key(string).deserialize(b"a" + bytes(7) + b"\\x02" + bytes(7) + b"\\x01")
    Windowed(key='a', start=1, end=2)
    """
    write, read = inner.serialize, inner.deserialize
    name = f"session({inner.name})"

    def serialize(value: Any) -> bytes | None:
        if value is None:
            return None
        try:
            key = write(value.key)
            times = _TIMES.pack(value.end, value.start)
        except (AttributeError, struct.error):
            raise unwritable(name, value, "the key of a session is Windowed(key, start, end)") from None
        if key is None:
            raise unwritable(name, value, "its key is None")
        return key + times

    def deserialize(data: bytes | None) -> Any:
        if data is None:
            return None
        if len(data) < 16:
            raise unreadable(name, data, "shorter than the 16 bytes of a session's end and start")
        end, start = _TIMES.unpack_from(data, len(data) - 16)
        return Windowed(read(data[:-16]), start, end)

    made = Serde(serialize, deserialize, name, inner.immutable, placed_by=slice(None, -16), null_safe=True)
    return wrapped(session_windowed_key, inner, made)


def window_size(size: Duration | None) -> int | None:
    """A window's size as a user gives it, in milliseconds."""
    return None if size is None else milliseconds(size, "the size of a window")


def change_serde(inner: Serde[Any]) -> Serde[Change[Any]]:
    """Changes of a table in a repartition topic; ``inner`` is the serde of its values.

    >>> from streamflow.serdes.scalars import string
    >>> change_serde(string).serialize(Change("new", None)), change_serde(string).serialize(Change("n", "old"))
    (b'new\\x01', b'\\x01nold\\x02')
    """
    write, read = inner.serialize, inner.deserialize
    name = f"change({inner.name})"

    def serialize(change: Change[Any]) -> bytes | None:
        new = write(change.new)
        old = write(change.old)
        if new is None:
            if old is None:
                raise SerdeError("a change without a new and an old value cannot be written")
            return old + b"\x00"
        return new + b"\x01" if old is None else _varint(len(new)) + new + old + b"\x02"

    def deserialize(data: bytes | None) -> Any:
        kind = data[-1] if data else None
        if kind == 1:
            return Change(read(data[:-1]), None)  # type: ignore[index]
        if kind == 0:
            return Change(None, read(data[:-1]))  # type: ignore[index]
        if kind == 2:
            length, begin = _read_varint(data)  # type: ignore[arg-type]
            return Change(read(data[begin : begin + length]), read(data[begin + length : -1]))  # type: ignore[index]
        raise unreadable(name, data or b"")

    made = Serde(serialize, deserialize, name, inner.immutable, null_safe=True)
    return wrapped(change_serde, inner, made)


def _presence_out(value: Any) -> bytes | None:
    return None if value is None else b"\x01"


def _presence_in(data: bytes | None) -> Any:
    return None if data is None else True


presence: Serde[bool] = Serde(_presence_out, _presence_in, "presence", immutable=True, any_form=True, null_safe=True)
"""Whether there was a value: one byte or null, read from any bytes. Counting needs no more, so it sends no more."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes) -> tuple[int, int]:
    number = shift = 0
    for at, byte in enumerate(data):
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at + 1
        shift += 7
    raise unreadable("a length", data)
