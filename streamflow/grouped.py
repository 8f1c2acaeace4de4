"""Grouped streams and tables, and what can be made of a group: a count, a reduction, an aggregation.

An aggregation keeps one total per key (or per key and window) in a store of its
own. ``name=`` names the step, the store and the changelog alike; ``store=`` is
another word for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamflow.builder import Builder, Known
from streamflow.cogrouped import CogroupedKStream
from streamflow.functions import arity
from streamflow.operators.aggregate import Aggregate, Count, Reduce
from streamflow.operators.contract import Operator
from streamflow.operators.table_group import TableAggregate, TableCount, TableReduce
from streamflow.serdes import Serde, Typed, change_serde, int64, presence
from streamflow.state.spec import StoreSpec
from streamflow.table import KTable
from streamflow.totals import Named, total_serde
from streamflow.windowed import WindowedKStream
from streamflow.windows import Window, checked

if TYPE_CHECKING:
    from streamflow.stream import KStream

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

Make = Callable[[str, str], Operator]
"""``(step, store) -> operator``"""


class KGroupedStream(Generic[K, V]):
    """Records put together by key; made by ``group_by_key`` and ``group_by``."""

    def __init__(self, stream: KStream[K, V], name: str | None) -> None:
        self._stream = stream
        self._builder = stream._builder
        self._name = name

    def count(self, *, store: str | None = None, name: str | None = None) -> KTable[K, int]:
        """How many records each key has had; null keys and null values are dropped and counted.

        Counting looks at no value. So the JSON text ``null``, which only `serdes.json` of any type takes, is a value
        here, and is none behind a step that has read it.

        >>> from streamflow import App
        >>> App("demo").stream("words", value=str).group_by(lambda word: word, key=str).count(name="counts").store
        'counts'
        """
        return self._table("count", Named(name, store), lambda step, kept: Count(kept), lambda step: int64, presence)

    @overload
    def reduce(self, f: Callable[[V, V], V], *, store: str | None = None, name: str | None = None) -> KTable[K, V]: ...
    @overload
    def reduce(
        self, f: Callable[[K, V, V], V], *, store: str | None = None, name: str | None = None
    ) -> KTable[K, V]: ...
    def reduce(self, f: Callable[..., V], *, store: str | None = None, name: str | None = None) -> KTable[K, V]:
        """The values of each key put together by ``f(total, value)``; the first value is the first total."""
        return self._table(
            "reduce", Named(name, store), lambda step, kept: Reduce(kept, arity(f, "reducer", step)), self._own_value
        )

    @overload
    def aggregate(
        self, init: Callable[[], T], f: Callable[[T, V], T | None], *, value: Typed[T] | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[K, T]: ...  # fmt: skip
    @overload
    def aggregate(
        self, init: Callable[[], T], f: Callable[[K, T, V], T | None], *, value: Typed[T] | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[K, T]: ...  # fmt: skip
    def aggregate(
        self, init: Callable[[], Any], f: Callable[..., Any], *, value: Any = None, store: str | None = None,
        name: str | None = None,
    ) -> KTable[K, Any]:  # fmt: skip
        """Each key's total: ``init()`` first, then ``f(total, value)`` for each record; ``value`` is its type.

        A total of None deletes the row, and the key's next record starts from ``init()`` again.
        """
        return self._table(
            "aggregate",
            Named(name, store),
            lambda step, kept: Aggregate(kept, arity(init, "initializer", step), arity(f, "aggregator", step)),
            lambda step: total_serde(self._builder, step, value, init, f),
        )

    @overload
    def cogroup(self, f: Callable[[T, V], T | None]) -> CogroupedKStream[K, T]: ...
    @overload
    def cogroup(self, f: Callable[[K, T, V], T | None]) -> CogroupedKStream[K, T]: ...
    def cogroup(self, f: Callable[..., Any]) -> CogroupedKStream[K, Any]:
        """The beginning of one total out of several grouped streams: here ``f(total, value)`` says how this one adds to
        it. More streams follow with ``.cogroup(other, f)``, and at last ``.aggregate(init)``.

        >>> from streamflow import App
        >>> app = App("shop")
        >>> carts, orders = app.stream("carts", key=str, value=int), app.stream("orders", key=str, value=int)
        >>> both = carts.group_by_key().cogroup(lambda total, cart: total + cart)
        >>> table = both.cogroup(orders.group_by_key(), lambda total, order: total - order).aggregate(int, value=int)
        """
        return CogroupedKStream(((self, f),))

    def windowed_by(self, window: Window) -> WindowedKStream[K, V]:
        """The same per window of time, such as ``tumbling("1m")``, ``hopping("5m", "1m")`` or ``session("30m")``."""
        return WindowedKStream(self, checked(window))

    def _own_value(self, step: str) -> Serde[Any]:
        return self._builder.need(self._stream._value, "value", step, "be stored")

    def _table(
        self, word: str, names: Named, make: Make, total: Callable[[str], Serde[Any]], sent: Serde[Any] | None = None
    ) -> KTable[K, Any]:
        step, kept, parent, key = self._prepared(word, names, sent)
        builder = self._builder
        operator, value = make(step, kept), total(step)
        builder.add_store(StoreSpec(kept, "key_value", key, value))
        builder.add(step, operator, parent, table=True)
        return self._done(step, names, Known(key, step), Known(value, step))

    def _prepared(self, word: str, names: Named, sent: Serde[Any] | None) -> tuple[str, str, str, Serde[Any]]:
        """The step, its store, the step before it and the key's serde; ``sent`` is what a topic between carries."""
        step, kept = self._builder.naming.stateful(word, self._stream._anchor, names.name, names.store)
        return step, kept, *self._brought(step, kept, names.given, sent)

    def _brought(self, step: str, topic: str, given: bool, sent: Serde[Any] | None = None) -> tuple[str, Serde[Any]]:
        """The step whose records lie where their keys belong, and the key's serde; ``topic`` is what a repartition
        topic on the way is called unless the grouping has a name, ``given`` by the user or not."""
        builder, stream = self._builder, self._stream
        key = builder.need(stream._key, "key", step, "be stored")
        parent = stream._step
        if stream._rekeyed:
            topic = topic if self._name is None else self._name
            around = builder.naming.repartition(topic, self._name is not None or given)
            if sent is None:
                what = f"go through the repartition topic '{topic}-repartition'"
                sent = builder.need(stream._value, "value", step, what)
            parent = builder.repartition(topic, around, parent, key, sent)
        else:
            builder.copartition(parent)
        return parent, key

    def _done(self, step: str, names: Named, key: Known, value: Known) -> KTable[Any, Any]:
        if not names.given:
            self._builder.unnamed(step)
        return KTable(self._builder, step, key, value, step)


class KGroupedTable(Generic[K, V]):
    """Rows put together by a group that each of them names; made by ``KTable.group_by``.

    A row that changes is first taken out of its group (``subtractor``), then put into the one it is in now (``adder``).
    """

    def __init__(self, builder: Builder, step: str, key: Known, value: Known, anchor: str, name: str | None) -> None:
        self._builder = builder
        self._step = step
        self._key = key
        self._value = value
        self._anchor = anchor
        self._name = name

    def count(self, *, store: str | None = None, name: str | None = None) -> KTable[K, int]:
        """How many rows each group has now; an emptied group counts 0."""
        names = Named(name, store)
        return self._table("count", names, lambda step, kept: TableCount(kept), lambda step: int64, presence)

    def reduce(
        self,
        adder: Callable[[V, V], V] | Callable[[K, V, V], V],
        subtractor: Callable[[V, V], V] | Callable[[K, V, V], V],
        *,
        store: str | None = None,
        name: str | None = None,
    ) -> KTable[K, V]:
        """The values of each group: ``adder(total, value)`` puts one in, ``subtractor(total, value)`` takes it out."""
        return self._table(
            "reduce",
            Named(name, store),
            lambda step, kept: TableReduce(kept, arity(adder, "adder", step), arity(subtractor, "subtractor", step)),
            lambda step: self._builder.need(self._value, "value", step, "be stored"),
        )

    def aggregate(
        self,
        init: Callable[[], T],
        adder: Callable[[T, V], T] | Callable[[K, T, V], T],
        subtractor: Callable[[T, V], T] | Callable[[K, T, V], T],
        *,
        value: Typed[T] | None = None,
        store: str | None = None,
        name: str | None = None,
    ) -> KTable[K, T]:
        """Each group's total: ``init()`` first, then ``adder`` and ``subtractor``; ``value`` is its type."""
        return self._table(
            "aggregate",
            Named(name, store),
            lambda step, kept: TableAggregate(
                kept,
                arity(init, "initializer", step),
                arity(adder, "adder", step),
                arity(subtractor, "subtractor", step),
            ),
            lambda step: total_serde(self._builder, step, value, init, adder),
        )

    def _table(
        self, word: str, names: Named, make: Make, total: Callable[[str], Serde[Any]], sent: Serde[Any] | None = None
    ) -> KTable[K, Any]:
        builder = self._builder
        step, kept, topic, around = builder.naming.regrouped(
            f"table-{word}", self._anchor, names.name, names.store, self._name
        )
        what = f"go through the repartition topic '{topic}-repartition'"
        key = builder.need(self._key, "key", step, what)
        if sent is None:
            sent = builder.need(self._value, "value", step, what)
        operator, value = make(step, kept), total(step)
        parent = builder.repartition(topic, around, self._step, key, change_serde(sent))
        builder.add_store(StoreSpec(kept, "key_value", key, value))
        builder.add(step, operator, parent, table=True)
        if not names.given:
            builder.unnamed(step)
        return KTable(builder, step, Known(key, step), Known(value, step), step)
