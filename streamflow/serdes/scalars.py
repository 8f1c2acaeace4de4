"""Serdes of single values, in the bytes that Java's serdes of the same types write.

    raw      the bytes themselves          int32, int64      big endian, two's complement
    string   UTF-8, no quotes              float64           big endian, IEEE 754
    uuid     its 36 letters as UTF-8       nothing           always null

None is null in all of them.
"""

from __future__ import annotations

import struct
import uuid as _uuid
from typing import Any

from streamflow.serdes.base import Serde, unreadable, unwritable


def _raw_out(value: bytes | None) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise unwritable("bytes", value)


def _string_out(value: str | None) -> bytes | None:
    try:
        return None if value is None else value.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise unwritable("str", value, "" if isinstance(error, AttributeError) else str(error)) from None


def _string_in(data: bytes | None) -> Any:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError as error:
        raise unreadable("str (UTF-8)", data, error.reason) from None  # type: ignore[arg-type]


def _uuid_out(value: _uuid.UUID | None) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, _uuid.UUID):
        raise unwritable("UUID", value)
    return str(value).encode()


def _uuid_in(data: bytes | None) -> Any:
    try:
        return None if data is None else _uuid.UUID(data.decode())
    except ValueError:
        raise unreadable("UUID (36 letters)", data) from None  # type: ignore[arg-type]


def _none_out(value: object) -> bytes | None:
    if value is not None:
        raise unwritable("None", value)
    return None


def _none_in(data: bytes | None) -> Any:
    if data is not None:
        raise unreadable("null", data)


def _number(name: str, form: str, python: str) -> Serde[Any]:
    """A number of a fixed size; ``python`` is its type as an error names it."""
    codec = struct.Struct(form)
    pack, unpack, size = codec.pack, codec.unpack, codec.size

    def serialize(value: Any) -> bytes | None:
        if value is None:
            return None
        try:
            return pack(value)
        except (struct.error, OverflowError) as error:
            raise unwritable(f"{python} ({name})", value, str(error)) from None

    def deserialize(data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            return unpack(data)[0]
        except struct.error:
            raise unreadable(f"{python} ({name}, {size} bytes)", data) from None

    return Serde(serialize, deserialize, name, immutable=True, null_safe=True, layout=form[1:])


def _same(data: bytes | None) -> Any:
    return data


raw: Serde[bytes] = Serde(_raw_out, _same, "raw", immutable=True, null_safe=True)
"""Bytes as they are."""
string: Serde[str] = Serde(_string_out, _string_in, "string", immutable=True, null_safe=True)
"""Text as UTF-8, never quoted."""
int32: Serde[int] = _number("int32", ">i", "int")
"""An integer in 4 bytes, as Java's ``Integer`` serde."""
int64: Serde[int] = _number("int64", ">q", "int")
"""An integer in 8 bytes, as Java's ``Long`` serde."""
float64: Serde[float] = _number("float64", ">d", "float")
"""A number in 8 bytes, as Java's ``Double`` serde."""
uuid: Serde[_uuid.UUID] = Serde(_uuid_out, _uuid_in, "uuid", immutable=True, null_safe=True)
"""A UUID as its text, as Java's ``UUID`` serde."""
nothing: Serde[None] = Serde(_none_out, _none_in, "none", immutable=True, null_safe=True)
"""Always null."""
