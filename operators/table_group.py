"""Group a table anew and aggregate it: what a row gave is taken back when the row changes.

The two halves meet in a repartition topic, whose values are a `Change`: what to
add and what to take away, either of them None. One record carries both when
they fall to one group, so that the group's total moves once and never shows the
state between. When they fall to two groups, the taking away goes first.

Source: Kafka Streams' KTableRepartitionMap, KTableAggregate and KTableReduce, by
the fixtures of their tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.operators.map import a_pair
from streamflow.record import Change


@dataclass(frozen=True)
class TableSelect(Passing):
    """Each row's ``(group, value)``, as ``f`` gives it, as changes: a table edge in, a stream edge of `Change` out.

    A row for which ``f`` gives None, or a group or value of None, is in no group. ``f`` is asked for the
    old row as well, so it must give the same answer twice.
    """

    f: Function

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def key_effect(self) -> Effect:
        return Effect.NEW

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        f, fn, takes_key = self.f, self.f.fn, self.f.takes_key

        def selected(key: Any, value: Any) -> Any:
            pair = None if value is None else fn(key, value) if takes_key else fn(value)
            if pair is None:
                return None
            group, value = a_pair(pair, f)
            return None if group is None or value is None else (group, value)

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            add, take = selected(key, new), selected(key, old)
            if take is not None:
                if add is not None and add[0] == take[0]:
                    emit(add[0], Change(add[1], take[1]), timestamp)
                    return
                emit(take[0], Change(None, take[1]), timestamp)
            if add is not None:
                emit(add[0], Change(add[1], None), timestamp)

        return process


@dataclass(frozen=True)
class _Regrouped(Passing):
    """A step that keeps one total per group in ``store``: a stream edge of `Change` in, a table edge out."""

    store: str

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)


@dataclass(frozen=True)
class TableCount(_Regrouped):
    """How many rows each group has now. A group that lost its last row counts 0; its row stays."""

    def build(self, emit: Emit, scope: Scope) -> Emit:
        def add(key: Any, total: Any, value: Any) -> int:
            return 1 if total is None else int(total + 1)

        def take(key: Any, total: Any, value: Any) -> int:
            return int(total - 1)

        return _regrouped(self.store, add, take, emit, scope)


@dataclass(frozen=True)
class TableReduce(_Regrouped):
    """Each group's values put together by ``adder(total, value)``, taken back by ``subtractor(total, value)``."""

    adder: Function
    subtractor: Function

    @property
    def reads_key(self) -> bool:
        return self.adder.takes_key or self.subtractor.takes_key

    def build(self, emit: Emit, scope: Scope) -> Emit:
        adder = self.adder.full

        def add(key: Any, total: Any, value: Any) -> Any:
            return value if total is None else adder(key, total, value)

        return _regrouped(self.store, add, self.subtractor.full, emit, scope)


@dataclass(frozen=True)
class TableAggregate(_Regrouped):
    """Each group's total: ``init()`` first, then ``adder`` and ``subtractor(total, value)`` as rows come and go."""

    init: Function
    adder: Function
    subtractor: Function

    @property
    def reads_key(self) -> bool:
        return self.adder.takes_key or self.subtractor.takes_key

    def build(self, emit: Emit, scope: Scope) -> Emit:
        init, adder = self.init.fn, self.adder.full

        def add(key: Any, total: Any, value: Any) -> Any:
            return adder(key, init() if total is None else total, value)

        return _regrouped(self.store, add, self.subtractor.full, emit, scope)


def _regrouped(
    name: str,
    add: Callable[[Any, Any, Any], Any],
    take: Callable[[Any, Any, Any], Any],
    emit: Emit,
    scope: Scope,
) -> Emit:
    store = scope.store(name)
    get_pair, put_pair = store.get_pair, store.put_pair
    null_key = scope.dropped("null_key")
    sends_old = scope.sends_old

    def process(key: Any, change: Change[Any], timestamp: int) -> None:
        if key is None:
            null_key()
            return
        new, gone = change
        total = old = None
        if (found := get_pair(key)) is not None:
            total, at = found
            if at > timestamp:
                timestamp = at
            if sends_old:
                # Read once more: the functions may change the total that they are given.
                old = get_pair(key)[0]
            if gone is not None:
                total = take(key, total, gone)
        if new is not None:
            total = add(key, total, new)
        put_pair(key, total, timestamp)
        emit(key, total, old, timestamp)

    return process
