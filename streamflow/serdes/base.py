"""What a serde is, and how it tells that bytes are not what they should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Generic, TypeAlias, TypeVar

from streamflow.errors import SerdeError

T = TypeVar("T")

_SHOWN = 24


@dataclass(frozen=True)
class Serde(Generic[T]):
    """Two functions that are each other's inverse; both answer None to None.

    ``immutable`` says that a value cannot be changed in place (int, str, bytes, ...),
    so a store may hold the object itself instead of its bytes. ``name`` describes it
    in errors and in the fingerprint of a topology: equal names mean equal bytes. So a
    serde of one's own deserves a name; without one it is as good as any other unnamed.

    ``placed_by`` is the part of a key's bytes that chooses the partition, where that is not
    all of them (a windowed key lies where its key lies). ``any_form`` says that ``serialize``
    may be given the bytes a value came as instead of the value.

    >>> upper = Serde(lambda v: None if v is None else v.lower().encode(),
    ...               lambda b: None if b is None else b.decode().upper(), name="upper")
    >>> upper.deserialize(upper.serialize("ABC"))
    'ABC'
    """

    serialize: Callable[[T], bytes | None]
    deserialize: Callable[[bytes | None], T]
    name: str = "custom"
    immutable: bool = False
    placed_by: slice | None = None
    any_form: bool = False


Typed: TypeAlias = type[T] | Serde[T] | UnionType
"""What a user may write as ``key=`` or ``value=``."""


def shown(data: Any) -> str:
    """The beginning of bytes or of a value, as an error shows it.

    >>> shown(b"x" * 100)
    "100 bytes beginning b'xxxxxxxxxxxxxxxxxxxxxxxx'"
    """
    if isinstance(data, bytes):
        if len(data) <= _SHOWN:
            return repr(data)
        return f"{len(data)} bytes beginning {data[:_SHOWN]!r}"
    text = repr(data)
    return text if len(text) <= 60 else text[:57] + "..."


def unreadable(expected: str, data: bytes, why: str = "") -> SerdeError:
    """The error for bytes that are not what their type says."""
    return SerdeError(f"expected {expected}, found {shown(data)}" + (f": {why}" if why else ""))


def unwritable(expected: str, value: Any, why: str = "") -> SerdeError:
    """The error for a value that its type cannot write."""
    return SerdeError(f"expected {expected}, got {type(value).__name__} {shown(value)}" + (f": {why}" if why else ""))
