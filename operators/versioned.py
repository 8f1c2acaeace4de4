"""Tables that remember what was: updates are put by their time, and only the newest one is the row of now.

An update older than the row of now goes into the table's history. It goes
downstream too, to those who look at updates one by one; those who make something
out of the rows of now (joins, groups) do not get it, for `Newest` stands before
them.

Source: Kafka Streams' versioned tables (KIP-914), by the fixtures of their tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.operators.contract import Emit, Passing, Scope
from streamflow.state.versioned import NOT_PUT


@dataclass(frozen=True)
class VersionedTableSource(Passing):
    """Each record is a version of its key's row in ``store``; one older than the history is dropped and counted."""

    store: str

    final = True
    """Updates that are held are to be of the row of now; `Newest` holds them."""

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        null_key, late = scope.dropped("null_key"), scope.dropped("late")
        store = scope.store(self.store)
        get_pair, put, sends_old = store.get_pair, store.put, scope.sends_old

        def process(key: Any, value: Any, timestamp: int) -> None:
            if key is None:
                null_key()
                return
            old = None
            if sends_old and (found := get_pair(key)) is not None:
                old = found[0]
            if put(key, value, timestamp) == NOT_PUT:
                late()
            else:
                emit(key, value, old, timestamp)

        return process


@dataclass(frozen=True)
class Newest(Passing):
    """Pass on updates that are the newest of their key in the versioned store ``versions``; others are dropped, and
    ``counted`` or not (those of a group are not, as in Kafka Streams)."""

    versions: str
    counted: bool = True

    @property
    def stores(self) -> Sequence[str]:
        return (self.versions,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        latest_time, out_of_order = scope.store(self.versions).latest_time, scope.dropped("out_of_order")
        counted = self.counted

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            if latest_time(key) > timestamp:
                if counted:
                    out_of_order()
            else:
                emit(key, new, old, timestamp)

        return process
