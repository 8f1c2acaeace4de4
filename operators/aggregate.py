"""Count, reduce and aggregate the records of a key, without windows.

All three drop (and count) a record whose key or value is null. The result
carries the greater of the record's timestamp and the stored one, so that it
never seems older than what it was made of. A total of None deletes the row and
goes downstream as a tombstone; the key's next record starts anew.

Source: Kafka Streams' KStreamAggregate and KStreamReduce, by the fixtures of
their tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.operators.folds import Cogrouping


@dataclass(frozen=True)
class _Aggregating(Passing):
    """A step that keeps one total per key in ``store``."""

    store: str

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)


@dataclass(frozen=True)
class Count(_Aggregating):
    """How many records each key has had. Neither key nor value is looked at, so neither need be decoded."""

    def build(self, emit: Emit, scope: Scope) -> Emit:
        store = scope.store(self.store)
        get_pair, put_pair = store.get_pair, store.put_pair
        null_key, null_value = scope.dropped("null_key"), scope.dropped("null_value")
        sends_old = scope.sends_old

        def process(key: Any, value: Any, timestamp: int) -> None:
            if key is None:
                null_key()
            elif value is None:
                null_value()
            elif (found := get_pair(key)) is None:
                put_pair(key, 1, timestamp)
                emit(key, 1, None, timestamp)
            else:
                old, at = found
                if at > timestamp:
                    timestamp = at
                count = old + 1
                put_pair(key, count, timestamp)
                emit(key, count, old if sends_old else None, timestamp)

        return process


@dataclass(frozen=True)
class Reduce(_Aggregating):
    """The values of each key put together two by two: ``f(total, value)``; the first value is the first total."""

    f: Function

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit:
        return _folding(self.store, None, self.f, emit, scope)


@dataclass(frozen=True)
class Aggregate(_Aggregating):
    """Each key's total: ``init()`` first, then ``f(total, value)`` for each of its records."""

    init: Function
    f: Function

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit:
        return _folding(self.store, self.init, self.f, emit, scope)


@dataclass(frozen=True)
class Cogroup(_Aggregating):
    """Each key's total, to which each parent adds in its own way."""

    cogrouping: Cogrouping

    @property
    def reads_key(self) -> bool:
        return self.cogrouping.reads_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> tuple[Emit, ...]:
        init = self.cogrouping.init
        return tuple(_folding(self.store, init, f, emit, scope) for f in self.cogrouping.fs)


def _folding(name: str, init: Function | None, f: Function, emit: Emit, scope: Scope) -> Emit:
    store = scope.store(name)
    get_pair, put_pair = store.get_pair, store.put_pair
    null_key, null_value = scope.dropped("null_key"), scope.dropped("null_value")
    start = None if init is None else init.fn
    fn, takes_key, sends_old = f.fn, f.takes_key, scope.sends_old

    def process(key: Any, value: Any, timestamp: int) -> None:
        if key is None:
            null_key()
            return
        if value is None:
            null_value()
            return
        found = get_pair(key)
        old = None
        if found is not None:
            total, at = found
            if at > timestamp:
                timestamp = at
            if sends_old:
                # Read once more: the function may change the total that it is given.
                old = get_pair(key)[0]
            total = fn(key, total, value) if takes_key else fn(total, value)
        elif start is None:
            total = value
        else:
            total = fn(key, start(), value) if takes_key else fn(start(), value)
        put_pair(key, total, timestamp)
        emit(key, total, old, timestamp)

    return process
