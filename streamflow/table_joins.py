"""The words that put two tables together by their keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from streamflow.builder import Builder, Known, same_builder
from streamflow.errors import TopologyError
from streamflow.foreign_key import joined_by
from streamflow.functions import arity
from streamflow.operators.table_join import TableJoinMerge, TableJoinSide
from streamflow.serdes import Typed
from streamflow.serdes.hints import result, told

if TYPE_CHECKING:
    from streamflow.table import KTable

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")
R = TypeVar("R")


class TableJoinWords(Generic[K, V]):
    """The part of `KTable` that joins."""

    _builder: Builder
    _step: str
    _key: Known
    _value: Known
    _anchor: str

    @overload
    def join(
        self, other: KTable[K, V2], joiner: Callable[[V, V2], R], *, value: Typed[R] | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: KTable[K, V2], joiner: Callable[[K, V, V2], R], *, value: Typed[R] | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: KTable[K2, V2], joiner: Callable[[V, V2], R], *, on: Callable[[V], K2 | None],
        value: Typed[R] | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: KTable[K2, V2], joiner: Callable[[V, V2], R], *, on: Callable[[K, V], K2 | None],
        value: Typed[R] | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: KTable[K2, V2], joiner: Callable[[K, V, V2], R], *, on: Callable[[V], K2 | None],
        value: Typed[R] | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: KTable[K2, V2], joiner: Callable[[K, V, V2], R], *, on: Callable[[K, V], K2 | None],
        value: Typed[R] | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    def join(
        self, other: KTable[Any, Any], joiner: Callable[..., Any], *, on: Callable[..., Any] | None = None,
        value: Any = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, Any]:  # fmt: skip
        """The rows that both tables have, as ``joiner(mine, other)``; a change of either side makes the row anew.

        A result has the later timestamp of the two rows. ``value`` is its type; ``name`` or ``store`` keep the result in
        a store of that name.

        With ``on`` it is a foreign-key join: ``on(value)`` (or ``on(key, value)``) gives the other table's key, or None
        for none. Then any number of rows may name the same other row, and two topics carry questions and answers.

        >>> from streamflow import App
        >>> app = App("shop")
        >>> users = app.table("users", key=str, value=str)
        >>> points = app.table("points", key=str, value=int)
        >>> both = users.join(points, lambda user, n: f"{user}: {n}", value=str, name="both")
        >>> orders = app.table("orders", key=int, value=dict)
        >>> named = orders.join(users, lambda order, user: {**order, "user": user}, on=lambda order: order["user"], value=dict)
        """
        return self._met("join", other, joiner, value, store, name, on, alone=(False, False))

    @overload
    def left_join(
        self, other: KTable[K, V2], joiner: Callable[[V, V2 | None], R], *, value: Typed[R] | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: KTable[K, V2], joiner: Callable[[K, V, V2 | None], R], *, value: Typed[R] | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: KTable[K2, V2], joiner: Callable[[V, V2 | None], R], *, on: Callable[[V], K2 | None],
        value: Typed[R] | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: KTable[K2, V2], joiner: Callable[[V, V2 | None], R], *, on: Callable[[K, V], K2 | None],
        value: Typed[R] | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: KTable[K2, V2], joiner: Callable[[K, V, V2 | None], R], *, on: Callable[[V], K2 | None],
        value: Typed[R] | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: KTable[K2, V2], joiner: Callable[[K, V, V2 | None], R], *, on: Callable[[K, V], K2 | None],
        value: Typed[R] | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    def left_join(
        self, other: KTable[Any, Any], joiner: Callable[..., Any], *, on: Callable[..., Any] | None = None,
        value: Any = None, store: str | None = None, name: str | None = None,
    ) -> KTable[K, Any]:  # fmt: skip
        """Like `join`, but a row of this table that the other one lacks is there too, as ``joiner(mine, None)``."""
        return self._met("left-join", other, joiner, value, store, name, on, alone=(True, False))

    @overload
    def outer_join(
        self, other: KTable[K, V2], joiner: Callable[[V | None, V2 | None], R], *, value: Typed[R] | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    @overload
    def outer_join(
        self, other: KTable[K, V2], joiner: Callable[[K, V | None, V2 | None], R], *, value: Typed[R] | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[K, R]: ...  # fmt: skip
    def outer_join(
        self, other: KTable[K, Any], joiner: Callable[..., Any], *, value: Any = None, store: str | None = None,
        name: str | None = None,
    ) -> KTable[K, Any]:  # fmt: skip
        """The rows that either table has, as ``joiner(mine or None, other or None)``."""
        return self._met("outer-join", other, joiner, value, store, name, None, alone=(True, True))

    def _met(
        self,
        word: str,
        other: KTable[K, Any],
        joiner: Callable[..., Any],
        value: Any,
        store: str | None,
        name: str | None,
        on: Callable[..., Any] | None,
        *,
        alone: tuple[bool, bool],
    ) -> KTable[K, Any]:
        from streamflow.table import KTable

        if not isinstance(other, KTable):
            raise TopologyError(f"a table joins a table (app.table(...) or .to_table()), not {type(other).__name__}")
        builder, named = self._builder, name is not None or store is not None
        same_builder(builder, [other], name or word)
        if on is not None:
            foreign = builder.naming.foreign(word, self._anchor, name, store)
            me = cast("KTable[K, V]", self)
            return joined_by(me, other, joiner, on, value, foreign, left=alone[0], named=named)
        names = builder.naming.tables(word, self._anchor, name, store)
        f = arity(joiner, "joiner", names.step)
        known = Known(told(result(joiner)) if value is None else builder.serde(value, names.step, "value"), names.step)
        mine = builder.need(self._key, "key", names.step, "be looked up in a table")
        theirs = builder.need(other._key, "key", names.step, "be looked up in")
        if mine.name != theirs.name:
            raise TopologyError(
                f"step '{names.step}' joins a table keyed by {mine.name} with one keyed by {theirs.name}: equal keys would "
                f"not be the same bytes; read both with the same key type, or say with on= how a row names the other's key"
            )
        left_store, right_store = builder.materialise(self._step), builder.materialise(other._step)
        builder.copartition(self._step, other._step)
        left, right = alone
        builder.add(names.sides[0], TableJoinSide(f, right_store, True, left, right), builder.newest(self._step))
        builder.add(names.sides[1], TableJoinSide(f, left_store, False, right, left), builder.newest(other._step))
        builder.add(names.step, TableJoinMerge(), *names.sides, table=True)
        builder.may_store(names.step, names.store, self._key, known, named=named)
        return KTable(builder, names.step, self._key, known, names.step if named else self._anchor)
