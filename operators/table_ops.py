"""Filter, map and read out a table: a change comes in, a change goes out.

A step that keeps its result in a store compares with what it stored; one
without recomputes the old value from the change's old value, if someone
downstream asked for it. So its function must give the same answer twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope


@dataclass(frozen=True)
class TableFilter(Passing):
    """Rows for which ``predicate`` is true (false with ``negate``); one that stops passing becomes a tombstone.

    Where old values are known (``store`` is given, or someone asked for them), a tombstone is sent only
    for a row that had passed. Else every update that fails sends one, even for a key never seen before.
    """

    predicate: Function
    negate: bool = False
    store: str | None = None

    @property
    def reads_key(self) -> bool:
        return self.predicate.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def stores(self) -> Sequence[str]:
        return () if self.store is None else (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        holds, takes_key, negate = self.predicate.fn, self.predicate.takes_key, self.negate

        def passing(key: Any, value: Any) -> Any:
            if value is None or (not (holds(key, value) if takes_key else holds(value))) is not negate:
                return None
            return value

        if self.store is not None:
            return _stored(scope, self.store, passing, emit, skips_absent=True)
        sends_old = scope.sends_old

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            new = passing(key, new)
            if sends_old:
                old = passing(key, old)
                if new is None and old is None:
                    return
            emit(key, new, old, timestamp)

        return process


@dataclass(frozen=True)
class TableMapValues(Passing):
    """Each row with ``f``'s result as its value; a tombstone passes without asking ``f``."""

    f: Function
    store: str | None = None

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return () if self.store is None else (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        fn, takes_key = self.f.fn, self.f.takes_key

        def mapped(key: Any, value: Any) -> Any:
            if value is None:
                return None
            return fn(key, value) if takes_key else fn(value)

        if self.store is not None:
            return _stored(scope, self.store, mapped, emit, skips_absent=False)
        sends_old = scope.sends_old

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            emit(key, mapped(key, new), mapped(key, old) if sends_old else None, timestamp)

        return process


@dataclass(frozen=True)
class ToStream(Passing):
    """The table's changes as records of a stream, tombstones too; ``f`` may give them another key."""

    f: Function | None = None

    @property
    def reads_key(self) -> bool:
        return self.f is not None and self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return self.f is not None

    @property
    def key_effect(self) -> Effect:
        return Effect.SAME if self.f is None else Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        if self.f is None:

            def forward(key: Any, new: Any, old: Any, timestamp: int) -> None:
                emit(key, new, timestamp)

            return forward

        fn, takes_key = self.f.fn, self.f.takes_key

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            emit(fn(key, new) if takes_key else fn(new), new, timestamp)

        return process


def _stored(scope: Scope, name: str, made: Any, emit: Emit, *, skips_absent: bool) -> Emit:
    """A step that keeps the row that ``made(key, value)`` gives."""
    store = scope.store(name)
    get_pair, put_pair = store.get_pair, store.put_pair
    sends_old = scope.sends_old
    reads_old = sends_old or skips_absent

    def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
        new = made(key, new)
        found = get_pair(key) if reads_old else None
        if new is None and found is None and skips_absent:
            return
        old = None if found is None else found[0]
        put_pair(key, new, timestamp)
        emit(key, new, old if sends_old else None, timestamp)

    return process
