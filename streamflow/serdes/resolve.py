"""From what a user writes as ``key=`` or ``value=`` to a serde."""

from __future__ import annotations

import types
import typing
import uuid as _uuid
from typing import Any

from streamflow.clock import Duration
from streamflow.errors import TopologyError
from streamflow.record import Windowed
from streamflow.serdes import scalars
from streamflow.serdes.base import Serde, shown
from streamflow.serdes.compound import session_windowed_key, window_size, windowed_by_size
from streamflow.serdes.faust_serde import faust, is_faust
from streamflow.serdes.structured import json

_SCALARS: dict[Any, Serde[Any]] = {
    bytes: scalars.raw,
    str: scalars.string,
    int: scalars.int64,
    float: scalars.float64,
    _uuid.UUID: scalars.uuid,
    type(None): scalars.nothing,
    None: scalars.nothing,
}


def serde_of(kind: Any) -> Serde[Any]:
    """The serde of a type (or a serde itself): bytes, str, int, float and UUID in their own forms, else JSON.

    >>> serde_of(str).name, serde_of(list[int]).name
    ('string', 'json(list[int])')
    """
    if isinstance(kind, Serde):
        return kind  # pyright: ignore[reportUnknownVariableType] - of what, the user knows
    try:
        if kind in _SCALARS:
            return _SCALARS[kind]
    except TypeError:  # not hashable, so not a type
        pass
    if (kind := _without_none(kind)) in _SCALARS:
        return _SCALARS[kind]
    if kind is Windowed or typing.get_origin(kind) is Windowed:
        inner = typing.get_args(kind)
        return windowed_by_size(serde_of(inner[0] if inner else bytes), None)
    if is_faust(kind):
        return faust(kind)
    if not _is_type(kind):
        raise TopologyError(f"a type or a Serde was expected, found {shown(kind)}; write for example value=str")
    return json(kind)


def windowed(of: Any, size: Duration) -> Serde[Windowed[Any]]:
    """Keys of windows of a fixed ``size``, as an aggregation by time windows writes them.

    >>> windowed(str, "1m").deserialize(b"a" + bytes(8))
    Windowed(key='a', start=0, end=60000)
    """
    return windowed_by_size(serde_of(of), window_size(size))


def session_windowed(of: Any) -> Serde[Windowed[Any]]:
    """Keys of sessions, as an aggregation by sessions writes them.

    >>> session_windowed(str).deserialize(b"a" + bytes(16))
    Windowed(key='a', start=0, end=0)
    """
    return session_windowed_key(serde_of(of))


def _without_none(kind: Any) -> Any:
    """``T | None`` is ``T``: a null is a tombstone whatever the type, never the text ``null``."""
    arguments = typing.get_args(kind)
    if type(None) not in arguments or not _is_union(kind):
        return _hashable(kind)
    rest = tuple(each for each in arguments if each is not type(None))
    return typing.Union[rest]  # noqa: UP007 - made from a tuple


def _is_union(kind: Any) -> bool:
    return isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union


def _hashable(kind: Any) -> Any:
    try:
        hash(kind)
    except TypeError:
        raise TopologyError(
            f"a type or a Serde was expected, found {shown(kind)}; write for example value=str"
        ) from None
    return kind


def _is_type(kind: Any) -> bool:
    return isinstance(kind, type) or kind is Any or typing.get_origin(kind) is not None or _is_union(kind)
