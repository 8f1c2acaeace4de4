"""Records as a join keeps them until their other half comes: a value with its headers, of one side or the other.

    value without headers    00 || value
    value with headers       01 || uint32 count || count times (name, value) || value
        name                 uint32 length || UTF-8
        value of a header    int32 length, -1 for null || bytes
    of one of two sides      side (00 the right one, 01 the left one) || the above
    with its key             uint32 length || key || value
    a row that is held back  int64 time || what there is of: 01 old, 02 new, 04 headers, added up || each of them
        old, new             uint32 length || value
        headers              as above, from the count on

Integers are big endian. A value without headers stands for itself, one with headers is `Headed`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from streamflow.record import Headers
from streamflow.serdes.base import Serde, unreadable, wrapped

_LENGTH = struct.Struct(">i")
_COUNT = struct.Struct(">I")
_BEGIN = struct.Struct(">qB")
_ALONE = struct.Struct(">qBI")


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


def with_key(key: Serde[Any], value: Serde[Any]) -> Serde[tuple[Any, Any]]:
    """``(key, value)`` as one value.

    >>> from streamflow.serdes.scalars import int64, string
    >>> serde = with_key(string, int64)
    >>> serde.deserialize(serde.serialize(("a", 7)))
    ('a', 7)
    """

    def serialize(pair: tuple[Any, Any]) -> bytes | None:
        first = key.serialize(pair[0]) or b""
        second = value.serialize(pair[1])
        return None if second is None else _COUNT.pack(len(first)) + first + second

    def deserialize(data: bytes | None) -> Any:
        name = f"with_key({key.name}, {value.name})"
        if data is None or len(data) < _COUNT.size:
            raise unreadable(name, data or b"")
        end = _COUNT.size + _COUNT.unpack_from(data)[0]
        return key.deserialize(data[_COUNT.size : end]), value.deserialize(data[end:])

    return Serde(serialize, deserialize, f"with_key({key.name}, {value.name})", key.immutable and value.immutable)


Buffered: TypeAlias = tuple[int, Any, Any, Headers]
"""A row of a table that is held back: the time it waits from, what was said of it last, its newest value and that one's
headers. A plain tuple, for one is made for each update."""


def buffered(inner: Serde[Any]) -> Serde[Buffered]:
    """Rows that are held back, of a table with values of ``inner``.

    >>> from streamflow.serdes.scalars import string
    >>> serde = buffered(string)
    >>> serde.deserialize(serde.serialize((7, None, "a", ())))
    (7, None, 'a', ())
    """
    write, read, name = inner.serialize, inner.deserialize, f"buffered({inner.name})"

    def serialize(row: Buffered | None) -> bytes | None:
        if row is None:
            return None
        at, old, new, headers = row
        if old is None and not headers and new is not None:
            data = write(new)
            return None if data is None else _ALONE.pack(at, 2, len(data)) + data
        kind, parts = 0, b""
        for flag, value in ((1, old), (2, new)):
            if (data := write(value)) is not None:
                kind |= flag
                parts += _COUNT.pack(len(data)) + data
        if headers:
            kind |= 4
            parts += _headers_out(headers)
        return _BEGIN.pack(at, kind) + parts

    def deserialize(data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            (at, kind), place = _BEGIN.unpack_from(data), _BEGIN.size
            values: list[Any] = [None, None]
            for nth in (0, 1):
                if kind & 1 << nth:
                    (length,) = _COUNT.unpack_from(data, place)
                    place += _COUNT.size + length
                    values[nth] = read(data[place - length : place])
        except struct.error:
            raise unreadable(name, data) from None
        return at, values[0], values[1], (_headers_in(data, place)[0] if kind & 4 else ())

    made = Serde(serialize, deserialize, name, inner.immutable, null_safe=True)
    return wrapped(buffered, inner, made)


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
