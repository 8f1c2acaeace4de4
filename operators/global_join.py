"""Joins of a stream with a table that every worker has whole: the record says which row, whatever its own key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope


@dataclass(frozen=True)
class StreamGlobalJoin(Passing):
    """Emit ``f(value, row)`` for each record, ``row`` being that of the key which ``on`` gives, as it is just now.

    Inner: no row, no result. With ``left`` the record goes on with None as its row. A null value is dropped and counted,
    and so is a record for which ``on`` gives None, unless it is one of a left join that has no key itself. The
    result keeps the record's key and timestamp. Updates of the table emit nothing.

    Source: Kafka Streams' KStreamGlobalKTableJoin, by the fixtures of its tests.
    """

    f: Function
    on: Function
    table: str
    left: bool = False

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key or self.on.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        find = scope.global_rows(self.table)
        null_key, null_value = scope.dropped("null_key"), scope.dropped("null_value")
        fn, takes_key, left = self.f.fn, self.f.takes_key, self.left
        on, on_takes_key = self.on.fn, self.on.takes_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            if value is None:
                null_value()
                return
            wanted = on(key, value) if on_takes_key else on(value)
            found = None
            if wanted is not None:
                found = find(wanted)
            elif not left or key is not None:
                null_key()
                return
            if found is not None or left:
                row = None if found is None else found[0]
                emit(key, fn(key, value, row) if takes_key else fn(value, row), timestamp)

        return process
