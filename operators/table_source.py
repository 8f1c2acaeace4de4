"""A stream of updates becomes a table: from here on, records are changes.

Updates are applied in the order in which they arrive, an older timestamp
included. Without a store nothing is kept, and the old value of a change is
unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.operators.contract import Emit, Passing, Scope


@dataclass(frozen=True)
class TableSource(Passing):
    """Each record is the new row of its key; a null value deletes the row, a null key is dropped and counted.

    ``store`` keeps the rows. It is None when nobody needs them. The old row is read only if a step
    downstream asked for old values.
    """

    store: str | None = None

    @property
    def stores(self) -> Sequence[str]:
        return () if self.store is None else (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        null_key = scope.dropped("null_key")
        if self.store is None:

            def forward(key: Any, value: Any, timestamp: int) -> None:
                if key is None:
                    null_key()
                else:
                    emit(key, value, None, timestamp)

            return forward

        store = scope.store(self.store)
        get_pair, put_pair = store.get_pair, store.put_pair
        sends_old = scope.sends_old

        def process(key: Any, value: Any, timestamp: int) -> None:
            if key is None:
                null_key()
                return
            old = None
            if sends_old and (found := get_pair(key)) is not None:
                old = found[0]
            put_pair(key, value, timestamp)
            emit(key, value, old, timestamp)

        return process


@dataclass(frozen=True)
class ToTable(TableSource):
    """The same in the middle of a graph: a stream's records are read as updates of a table."""
