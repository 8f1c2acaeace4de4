"""Joins of a stream with a table: the stream asks, the table only answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.operators.grace_join import joining


@dataclass(frozen=True)
class StreamTableJoin(Passing):
    """Emit ``f(value, row)`` for each stream record, ``row`` being the table's value of its key just now.

    Inner: no row, no result, and a null key is dropped and counted. With ``left`` both go on with None as
    their row. A null value is dropped and counted either way. The result keeps the record's timestamp; a
    result of None is a value like any other. Updates of the table (``store``) emit nothing. Of a ``versioned`` table the
    row is the one of the record's time.

    Source: Kafka Streams' KStreamKTableJoin, by the fixtures of its tests.
    """

    f: Function
    store: str
    left: bool = False
    versioned: bool = False

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
        return (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        if self.versioned:
            return self._as_of(emit, scope)
        get_pair = scope.store(self.store).get_pair
        null_key, null_value = scope.dropped("null_key"), scope.dropped("null_value")
        fn, takes_key, left = self.f.fn, self.f.takes_key, self.left

        def process(key: Any, value: Any, timestamp: int) -> None:
            if value is None:
                null_value()
                return
            found = None
            if key is not None:
                found = get_pair(key)
            elif not left:
                null_key()
                return
            if found is not None or left:
                row = None if found is None else found[0]
                emit(key, fn(key, value, row) if takes_key else fn(value, row), timestamp)

        return process

    def _as_of(self, emit: Emit, scope: Scope) -> Emit:
        answer = joining(self.f, scope.store(self.store).get, emit, left=self.left)
        null_key, null_value, left = scope.dropped("null_key"), scope.dropped("null_value"), self.left

        def process(key: Any, value: Any, timestamp: int) -> None:
            if value is None:
                null_value()
            elif key is None and not left:
                null_key()
            else:
                answer(key, value, timestamp)

        return process
