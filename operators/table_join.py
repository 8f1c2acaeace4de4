"""Joins of two tables: a change of either side makes the row anew out of both.

Each side has a step of its own, which asks the other side's store, and both meet
in a third that keeps the joined rows where somebody needs them. A result has the
later timestamp of the two rows, or that of the only one.

    inner   nothing is said while the other side has no row
    left    the left side's row stands alone where the right side has none; the right side says nothing without it
    outer   either side's row stands alone

Where a side may stand alone, a change from nothing to nothing says nothing.
Everything else is said, a tombstone for a row that was never there too.

Source: Kafka Streams' KTableKTableInnerJoin, LeftJoin, RightJoin and OuterJoin, by the fixtures of their tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope


@dataclass(frozen=True)
class TableJoinSide(Passing):
    """The changes of one side, joined with the rows of the other, which ``store`` keeps.

    ``left`` says that they are the left side's; ``alone`` that a row of this side may stand alone, ``other_alone`` that
    one of the other side may. Then old values are asked for, to tell a change from nothing to nothing.
    """

    f: Function
    store: str
    left: bool
    alone: bool
    other_alone: bool

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
        get_pair = scope.store(self.store).get_pair
        fn, takes_key, left, alone, other_alone = self.f.fn, self.f.takes_key, self.left, self.alone, self.other_alone

        def joined(key: Any, mine: Any, other: Any) -> Any:
            one, two = (mine, other) if left else (other, mine)
            return fn(key, one, two) if takes_key else fn(one, two)

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            found = get_pair(key)
            if found is None:
                if not alone or (new is None and old is None):
                    return
                emit(key, None if new is None else joined(key, new, None), None, timestamp)
                return
            other, at = found
            row = None if new is None and not other_alone else joined(key, new, other)
            emit(key, row, None, at if at > timestamp else timestamp)

        return process


@dataclass(frozen=True)
class TableJoinMerge(Passing):
    """Where both sides meet; ``store`` keeps the joined rows, and so knows the old ones."""

    store: str | None = None

    @property
    def stores(self) -> Sequence[str]:
        return () if self.store is None else (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        if self.store is None:
            return emit
        store = scope.store(self.store)
        get_pair, put_pair, sends_old = store.get_pair, store.put_pair, scope.sends_old

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            before = None
            if sends_old and (found := get_pair(key)) is not None:
                before = found[0]
            put_pair(key, new, timestamp)
            emit(key, new, before, timestamp)

        return process
