"""Map and its kin: a record, its value or its key made anew; one record or several.

What a user's function gives back is checked where a mistake would otherwise go
on silently: a text of two letters would unpack as a pair, and a flat map that
forgot its ``return`` would look like one that gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streamflow.errors import StreamflowError
from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope


@dataclass(frozen=True)
class _Mapping(Passing):
    """A step that puts every record through ``f``."""

    f: Function

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True


@dataclass(frozen=True)
class MapValues(_Mapping):
    """Emit each record with ``f``'s result as its value; the key stays, so it stays in its partition."""

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        fn, takes_key = self.f.fn, self.f.takes_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            emit(key, fn(key, value) if takes_key else fn(value), timestamp)

        return process


@dataclass(frozen=True)
class SelectKey(_Mapping):
    """Emit each record under the key that ``f`` gives."""

    @property
    def key_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        fn, takes_key = self.f.fn, self.f.takes_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            emit(fn(key, value) if takes_key else fn(value), value, timestamp)

        return process


@dataclass(frozen=True)
class Map(_Mapping):
    """Emit the pair ``(key, value)`` that ``f`` gives for each record. Anything that is no pair is an error."""

    @property
    def key_effect(self) -> Effect:
        return Effect.NEW

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        f, fn, takes_key = self.f, self.f.fn, self.f.takes_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            pair = fn(key, value) if takes_key else fn(value)
            if pair.__class__ is not tuple or len(pair) != 2:
                pair = a_pair(pair, f)
            emit(pair[0], pair[1], timestamp)

        return process


@dataclass(frozen=True)
class FlatMapValues(_Mapping):
    """Emit one record for each value of the iterable that ``f`` gives; the key stays."""

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        f, fn, takes_key = self.f, self.f.fn, self.f.takes_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            values = fn(key, value) if takes_key else fn(value)
            if values is None:
                values = an_iterable(values, f)
            for each in values:
                emit(key, each, timestamp)

        return process


@dataclass(frozen=True)
class FlatMap(Map):
    """Emit one record for each pair ``(key, value)`` of the iterable that ``f`` gives."""

    def build(self, emit: Emit, scope: Scope) -> Emit:
        f, fn, takes_key = self.f, self.f.fn, self.f.takes_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            pairs = fn(key, value) if takes_key else fn(value)
            if pairs is None:
                pairs = an_iterable(pairs, f)
            for pair in pairs:
                if pair.__class__ is not tuple or len(pair) != 2:
                    pair = a_pair(pair, f)
                emit(pair[0], pair[1], timestamp)

        return process


def a_pair(found: Any, f: Function) -> Any:
    """``found`` if it is a pair in another guise (a list, a named tuple), else an error that names the step."""
    pair: Any = found
    if isinstance(found, tuple | list) and len(pair) == 2:
        return pair
    raise StreamflowError(f"step {f.step!r}: its function must give a pair (key, value), but gave {shown(found)}")


def an_iterable(found: Any, f: Function) -> Iterable[Any]:
    """``found`` if it can be iterated over, else an error that names the step."""
    values: Iterable[Any] = found
    if isinstance(found, Iterable):
        return values
    raise StreamflowError(
        f"step {f.step!r}: its function must give a list or another iterable, but gave {shown(found)}; "
        "an empty list emits nothing"
    )


def shown(found: Any) -> str:
    """A value for an error message: short, and on one line."""
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:77]}..."
