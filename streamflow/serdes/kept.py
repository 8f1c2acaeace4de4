"""Records as a join keeps them until their other half comes: a value with its headers, of one side or the other.

    value without headers    00 || value
    value with headers       01 || uint32 count || count times (name, value) || value
        name                 uint32 length || UTF-8
        value of a header    int32 length, -1 for null || bytes
    of one of two sides      side (00 the right one, 01 the left one) || the above

Integers are big endian. A value without headers stands for itself, one with headers is `Headed`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from streamflow.record import Headers
from streamflow.serdes.base import Serde, unreadable

_LENGTH = struct.Struct(">i")
_COUNT = struct.Struct(">I")


class Headed(NamedTuple):
    """A value and the headers its record had."""

    value: Any
    headers: Headers


def headed(inner: Serde[Any]) -> Serde[Any]:
    """Values of ``inner``, with the headers of those that have some.

    >>> from streamflow.serdes.scalars import string
    >>> serde = headed(string)
    >>> serde.serialize("a"), serde.deserialize(serde.serialize(Headed("a", (("kind", b"x"),))))
    (b'\\x00a', Headed(value='a', headers=(('kind', b'x'),)))
    """
    write, read, name = inner.serialize, inner.deserialize, f"headed({inner.name})"

    def serialize(value: Any) -> bytes | None:
        front = b"\x00"
        if value.__class__ is Headed:
            front, value = b"\x01" + _headers_out(value.headers), value.value
        data = write(value)
        return None if data is None else front + data

    def deserialize(data: bytes | None) -> Any:
        if data is None:
            return None
        if data[:1] == b"\x00":
            return read(data[1:])
        if data[:1] != b"\x01":
            raise unreadable(name, data)
        headers, end = _headers_in(data, 1)
        return Headed(read(data[end:]), headers)

    return Serde(serialize, deserialize, name, inner.immutable, null_safe=True)


def of_two_sides(left: Serde[Any], right: Serde[Any]) -> Serde[Any]:
    """``(from the left, value)``, the value written as its side writes it.

    >>> from streamflow.serdes.scalars import int64, string
    >>> serde = of_two_sides(string, int64)
    >>> serde.serialize((True, "a")), serde.deserialize(serde.serialize((False, 7)))
    (b'\\x01a', (False, 7))
    """

    def serialize(value: Any) -> bytes | None:
        from_left, kept = value
        return (b"\x01" + (left.serialize(kept) or b"")) if from_left else (b"\x00" + (right.serialize(kept) or b""))

    def deserialize(data: bytes | None) -> Any:
        if not data or data[0] > 1:
            raise unreadable(name, data or b"")
        return (True, left.deserialize(data[1:])) if data[0] else (False, right.deserialize(data[1:]))

    name = f"either({left.name}, {right.name})"
    return Serde(serialize, deserialize, name, left.immutable and right.immutable)


def _headers_out(headers: Headers) -> bytes:
    parts = [_COUNT.pack(len(headers))]
    for name, value in cast("Sequence[tuple[str, bytes | None]]", headers):
        encoded = name.encode()
        parts += _COUNT.pack(len(encoded)), encoded
        parts += (_LENGTH.pack(-1),) if value is None else (_LENGTH.pack(len(value)), value)
    return b"".join(parts)


def _headers_in(data: bytes, at: int) -> tuple[Headers, int]:
    """The headers that begin at ``at``, and where they end."""
    try:
        (count,), at = _COUNT.unpack_from(data, at), at + _COUNT.size
        found: list[tuple[str, Any]] = []
        for _ in range(count):
            (length,), at = _COUNT.unpack_from(data, at), at + _COUNT.size
            name, at = data[at : at + length].decode(), at + length
            (length,), at = _LENGTH.unpack_from(data, at), at + _LENGTH.size
            value, at = (None, at) if length < 0 else (data[at : at + length], at + length)
            found.append((name, value))
    except (struct.error, UnicodeDecodeError):
        raise unreadable("headers", data) from None
    return tuple(found), at
