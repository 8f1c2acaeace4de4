"""`KTable`: the latest value of each key, and the words that can be said of it.

A table is a view until somebody needs its rows: it is given a store (and that
store a changelog) when it has a name, when a stream is joined with it, or when
it is regrouped. Until then changes just pass through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from streamflow.builder import Builder, Known
from streamflow.functions import arity
from streamflow.operators.contract import Operator
from streamflow.operators.table_group import TableSelect
from streamflow.operators.table_ops import TableFilter, TableMapValues, ToStream
from streamflow.processing import TransformWords
from streamflow.serdes import Typed
from streamflow.serdes.hints import pair, result, told
from streamflow.suppressing import SuppressWords
from streamflow.table_joins import TableJoinWords

if TYPE_CHECKING:
    from streamflow.grouped import KGroupedTable
    from streamflow.stream import KStream

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")


class KTable(TableJoinWords[K, V], SuppressWords[K, V], TransformWords[K, V]):
    """Rows with keys of type ``K`` and values of type ``V``; made by `App.table`, by an aggregation or ``to_table``."""

    def __init__(self, builder: Builder, step: str, key: Known, value: Known, anchor: str) -> None:
        self._builder = builder
        self._step = step
        self._key = key
        self._value = value
        self._anchor = anchor

    @property
    def store(self) -> str | None:
        """The name of the store that keeps the rows, or None while nobody needs one."""
        return self._builder.stored(self._step)

    @overload
    def filter(
        self, f: Callable[[V], object], *, store: str | None = None, name: str | None = None
    ) -> KTable[K, V]: ...
    @overload
    def filter(
        self, f: Callable[[K, V], object], *, store: str | None = None, name: str | None = None
    ) -> KTable[K, V]: ...
    def filter(self, f: Callable[..., object], *, store: str | None = None, name: str | None = None) -> KTable[K, V]:
        """The rows for which ``f(value)`` (or ``f(key, value)``) is true; one that stops to be so is deleted.

        ``name`` or ``store`` keep the result in a store of that name.
        """
        step, kept = self._builder.naming.stateful("table-filter", self._anchor, name, store)
        return self._next(step, TableFilter(arity(f, "predicate", step)), self._value, kept, name, store)

    @overload
    def filter_not(
        self, f: Callable[[V], object], *, store: str | None = None, name: str | None = None
    ) -> KTable[K, V]: ...
    @overload
    def filter_not(
        self, f: Callable[[K, V], object], *, store: str | None = None, name: str | None = None
    ) -> KTable[K, V]: ...
    def filter_not(
        self, f: Callable[..., object], *, store: str | None = None, name: str | None = None
    ) -> KTable[K, V]:
        """The rows for which ``f`` is false."""
        step, kept = self._builder.naming.stateful("table-filter-not", self._anchor, name, store)
        return self._next(step, TableFilter(arity(f, "predicate", step), negate=True), self._value, kept, name, store)

    @overload
    def map_values(
        self,
        f: Callable[[V], V2],
        *,
        value: Typed[V2] | None = None,
        store: str | None = None,
        name: str | None = None,
    ) -> KTable[K, V2]: ...
    @overload
    def map_values(
        self,
        f: Callable[[K, V], V2],
        *,
        value: Typed[V2] | None = None,
        store: str | None = None,
        name: str | None = None,
    ) -> KTable[K, V2]: ...
    def map_values(
        self, f: Callable[..., Any], *, value: Any = None, store: str | None = None, name: str | None = None
    ) -> KTable[K, Any]:
        """``f(value)`` (or ``f(key, value)``) in place of each row's value; ``value`` is its type.

        ``f`` is not asked about deleted rows. ``name`` or ``store`` keep the result in a store of that name.
        """
        step, kept = self._builder.naming.stateful("table-map-values", self._anchor, name, store)
        known = self._known(value, result(f), step, "value")
        return self._next(step, TableMapValues(arity(f, "mapper", step)), known, kept, name, store)

    @overload
    def to_stream(self, *, name: str | None = None) -> KStream[K, V]: ...
    @overload
    def to_stream(
        self, f: Callable[[V | None], K2], *, key: Typed[K2] | None = None, name: str | None = None
    ) -> KStream[K2, V]: ...
    @overload
    def to_stream(
        self, f: Callable[[K, V | None], K2], *, key: Typed[K2] | None = None, name: str | None = None
    ) -> KStream[K2, V]: ...
    def to_stream(
        self, f: Callable[..., Any] | None = None, *, key: Any = None, name: str | None = None
    ) -> KStream[Any, V]:
        """Every change as a record, a deleted row as one with a null value; ``f`` may give another key."""
        from streamflow.stream import KStream

        step = self._builder.naming.step("to-stream", self._anchor, name)
        function = None if f is None else arity(f, "key selector", step)
        known = self._key if f is None else self._known(key, result(f), step, "key")
        self._builder.add(step, ToStream(function), self._step)
        return KStream(self._builder, step, known, self._value, self._anchor, f is not None)

    @overload
    def group_by(
        self,
        f: Callable[[V], tuple[K2, V2] | None],
        *,
        key: Typed[K2] | None = None,
        value: Typed[V2] | None = None,
        name: str | None = None,
    ) -> KGroupedTable[K2, V2]: ...
    @overload
    def group_by(
        self,
        f: Callable[[K, V], tuple[K2, V2] | None],
        *,
        key: Typed[K2] | None = None,
        value: Typed[V2] | None = None,
        name: str | None = None,
    ) -> KGroupedTable[K2, V2]: ...
    def group_by(
        self, f: Callable[..., Any], *, key: Any = None, value: Any = None, name: str | None = None
    ) -> KGroupedTable[Any, Any]:
        """Each row as ``f`` gives it, ``(group, value)``; a row for which it gives None is in no group.

        ``f`` is also asked about the row that a new one replaces, so it must give the same answer twice.
        """
        from streamflow.grouped import KGroupedTable

        step = self._builder.naming.step("table-group-by", self._anchor, name)
        hints = pair(result(f))
        known_key = self._known(key, hints[0], step, "key")
        known_value = self._known(value, hints[1], step, "value")
        function = arity(f, "mapper", step)
        self._builder.keep_old(self._step)
        self._builder.add(step, TableSelect(function), self._builder.newest(self._step, counted=False))
        return KGroupedTable(self._builder, step, known_key, known_value, self._anchor, name)

    def _known(self, given: Any, hint: Any, step: str, keyword: str) -> Known:
        return Known(told(hint) if given is None else self._builder.serde(given, step, keyword), step)

    def _next(
        self, step: str, operator: Operator, value: Known, kept: str, name: str | None, store: str | None
    ) -> KTable[K, Any]:
        builder, named = self._builder, name is not None or store is not None
        builder.add(step, operator, self._step, table=True)
        builder.may_store(step, kept, self._key, value, named=named)
        return KTable(builder, step, self._key, value, step if named else self._anchor)
