"""What a serde is, and how it tells that bytes are not what they should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any, Generic, TypeAlias, TypeVar

from streamflow.errors import SerdeError

T = TypeVar("T")

_SHOWN = 24


@dataclass(frozen=True)
class Serde(Generic[T]):
    """Two functions that are each other's inverse.

    None is null whatever the serde, so the functions are not asked about it; only with ``null_safe``, which says that
    both answer None to None by themselves. ``immutable`` says that a value cannot be changed in place (int, str, bytes, ...),
    so a store may hold the object itself instead of its bytes. ``name`` describes it
    in errors and in the fingerprint of a topology: equal names mean equal bytes. So a
    serde of one's own deserves a name; without one it is as good as any other unnamed.

    ``placed_by`` is the part of a key's bytes that chooses the partition, where that is not
    all of them (a windowed key lies where its key lies). ``any_form`` says that ``serialize``
    may be given the bytes a value came as instead of the value. ``layout`` is the `struct` format of a number of a
    fixed size, big endian, so that it can be packed together with something else.

    A serde whose bytes depend on the topic (a schema registry keeps a schema per topic) gives the one for a topic by
    ``of_topic(topic, "key" or "value")``. ``ready`` asks for what is needed from outside before the first value; it
    may block, and raises `StreamflowError`. ``type`` is what it writes values of, where it says so.

    >>> upper = Serde(lambda v: v.lower().encode(), lambda b: b.decode().upper(), name="upper")
    >>> upper.deserialize(upper.serialize("ABC")), upper.serialize(None)
    ('ABC', None)
    """

    serialize: Callable[[T], bytes | None]
    deserialize: Callable[[bytes | None], T]
    name: str = "custom"
    immutable: bool = False
    placed_by: slice | None = None
    any_form: bool = False
    null_safe: bool = False
    layout: str = ""
    of_topic: Callable[[str, str], Serde[T]] | None = None
    ready: Callable[[], object] | None = None
    type: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.null_safe:
            object.__setattr__(self, "serialize", _unless_none(self.serialize))
            object.__setattr__(self, "deserialize", _unless_none(self.deserialize))
            object.__setattr__(self, "null_safe", True)  # so that a copy is not wrapped once more


def _unless_none(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def guarded(value: Any) -> Any:
        return None if value is None else f(value)

    return guarded


def for_topic(serde: Serde[T], topic: str, role: str) -> Serde[T]:
    """The serde as it writes to a topic, as ``role`` (key or value); most write the same everywhere."""
    return serde if serde.of_topic is None else serde.of_topic(topic, role)


def wrapped(outer: Callable[[Serde[Any]], Serde[Any]], inner: Serde[Any], made: Serde[Any]) -> Serde[Any]:
    """``made``, which is ``outer(inner)``, following its inner serde from topic to topic."""
    of_topic = inner.of_topic
    if of_topic is None:
        return made

    def follow(topic: str, role: str) -> Serde[Any]:
        return outer(of_topic(topic, role))

    return replace(made, of_topic=follow, ready=inner.ready)


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
