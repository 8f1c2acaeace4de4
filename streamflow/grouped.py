"""Grouped streams and tables, and what can be made of a group: a count, a reduction, an aggregation.

An aggregation keeps one total per key (or per key and window) in a store of its
own. ``name=`` names the step, the store and the changelog alike; ``store=`` is
another word for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from streamflow.builder import Builder, Known
from streamflow.clock import Duration, milliseconds
from streamflow.errors import TopologyError
from streamflow.functions import arity
from streamflow.operators.aggregate import Aggregate, Count, Reduce
from streamflow.operators.contract import Operator
from streamflow.operators.table_group import TableAggregate, TableCount, TableReduce
from streamflow.operators.window_aggregate import WindowAggregate, WindowCount, WindowReduce
from streamflow.record import Windowed
from streamflow.serdes import Serde, Typed, change_serde, int64, presence, windowed_by_size
from streamflow.serdes.hints import result, told
from streamflow.state.spec import StoreSpec
from streamflow.table import KTable
from streamflow.windows import TimeWindow

if TYPE_CHECKING:
    from streamflow.stream import KStream

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

Emit = Literal["on_update", "on_close"]
Make = Callable[[str, str], Operator]
"""``(step, store) -> operator``"""


@dataclass(frozen=True)
class _Named:
    """The names of an aggregation, as the user gave them."""

    name: str | None
    store: str | None

    @property
    def given(self) -> bool:
        return self.name is not None or self.store is not None


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
        return self._table("count", _Named(name, store), lambda step, kept: Count(kept), lambda step: int64, presence)

    @overload
    def reduce(self, f: Callable[[V, V], V], *, store: str | None = None, name: str | None = None) -> KTable[K, V]: ...
    @overload
    def reduce(
        self, f: Callable[[K, V, V], V], *, store: str | None = None, name: str | None = None
    ) -> KTable[K, V]: ...
    def reduce(self, f: Callable[..., V], *, store: str | None = None, name: str | None = None) -> KTable[K, V]:
        """The values of each key put together by ``f(total, value)``; the first value is the first total."""
        return self._table(
            "reduce", _Named(name, store), lambda step, kept: Reduce(kept, arity(f, "reducer", step)), self._own_value
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
            _Named(name, store),
            lambda step, kept: Aggregate(kept, arity(init, "initializer", step), arity(f, "aggregator", step)),
            lambda step: _total(self._builder, step, value, init, f),
        )

    def windowed_by(self, window: TimeWindow) -> WindowedKStream[K, V]:
        """The same per window of time, such as ``tumbling("1m")`` or ``hopping("5m", "1m")``."""
        if not isinstance(window, TimeWindow):
            raise TopologyError(f'windowed_by takes a window such as tumbling("1m"), not {window!r}')
        return WindowedKStream(self, window)

    def _own_value(self, step: str) -> Serde[Any]:
        return self._builder.need(self._stream._value, "value", step, "be stored")

    def _table(
        self, word: str, names: _Named, make: Make, total: Callable[[str], Serde[Any]], sent: Serde[Any] | None = None
    ) -> KTable[K, Any]:
        step, kept, parent, key = self._prepared(word, names, sent)
        builder = self._builder
        operator, value = make(step, kept), total(step)
        builder.add_store(StoreSpec(kept, "key_value", key, value))
        builder.add(step, operator, parent, table=True)
        return self._done(step, names, Known(key, step), Known(value, step))

    def _prepared(self, word: str, names: _Named, sent: Serde[Any] | None) -> tuple[str, str, str, Serde[Any]]:
        """The step, its store, the step before it and the key's serde; ``sent`` is what a topic between carries."""
        builder, stream = self._builder, self._stream
        step, kept = builder.naming.stateful(word, stream._anchor, names.name, names.store)
        key = builder.need(stream._key, "key", step, "be stored")
        parent = stream._step
        if stream._rekeyed:
            topic = kept if self._name is None else self._name
            around = builder.naming.repartition(topic, self._name is not None or names.given)
            if sent is None:
                what = f"go through the repartition topic '{topic}-repartition'"
                sent = builder.need(stream._value, "value", step, what)
            parent = builder.repartition(topic, around, parent, key, sent)
        else:
            builder.copartition(parent)
        return step, kept, parent, key

    def _done(self, step: str, names: _Named, key: Known, value: Known) -> KTable[Any, Any]:
        if not names.given:
            self._builder.unnamed(step)
        return KTable(self._builder, step, key, value, step)


class WindowedKStream(Generic[K, V]):
    """Records put together by key and window; made by ``windowed_by``.

    ``emit="on_update"`` sends each new total on, ``"on_close"`` only the last one of each window, when stream time
    has passed the window's end and grace. ``retention`` is how long windows stay to be asked for; at least (and by
    default) the window's size and grace.
    """

    def __init__(self, grouped: KGroupedStream[K, V], window: TimeWindow) -> None:
        self._grouped = grouped
        self._window = window

    def count(
        self,
        *,
        emit: Emit = "on_update",
        retention: Duration | None = None,
        store: str | None = None,
        name: str | None = None,
    ) -> KTable[Windowed[K], int]:
        """How many records each key has had in each window."""
        return self._table(
            "count",
            _Named(name, store),
            emit,
            retention,
            lambda step, kept: WindowCount(kept, self._window, emit),
            lambda step: int64,
            presence,
        )

    @overload
    def reduce(
        self, f: Callable[[V, V], V], *, emit: Emit = "on_update", retention: Duration | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[Windowed[K], V]: ...  # fmt: skip
    @overload
    def reduce(
        self, f: Callable[[K, V, V], V], *, emit: Emit = "on_update", retention: Duration | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[Windowed[K], V]: ...  # fmt: skip
    def reduce(
        self, f: Callable[..., V], *, emit: Emit = "on_update", retention: Duration | None = None,
        store: str | None = None, name: str | None = None,
    ) -> KTable[Windowed[K], V]:  # fmt: skip
        """The values of each key and window put together by ``f(total, value)``."""
        return self._table(
            "reduce",
            _Named(name, store),
            emit,
            retention,
            lambda step, kept: WindowReduce(kept, self._window, arity(f, "reducer", step), emit),
            self._grouped._own_value,
        )

    @overload
    def aggregate(
        self, init: Callable[[], T], f: Callable[[T, V], T | None], *, value: Typed[T] | None = None,
        emit: Emit = "on_update", retention: Duration | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[Windowed[K], T]: ...  # fmt: skip
    @overload
    def aggregate(
        self, init: Callable[[], T], f: Callable[[K, T, V], T | None], *, value: Typed[T] | None = None,
        emit: Emit = "on_update", retention: Duration | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[Windowed[K], T]: ...  # fmt: skip
    def aggregate(
        self, init: Callable[[], Any], f: Callable[..., Any], *, value: Any = None, emit: Emit = "on_update",
        retention: Duration | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[Windowed[K], Any]:  # fmt: skip
        """Each key's total per window: ``init()`` first, then ``f(total, value)``; ``value`` is its type."""
        return self._table(
            "aggregate",
            _Named(name, store),
            emit,
            retention,
            lambda step, kept: WindowAggregate(
                kept, self._window, arity(init, "initializer", step), arity(f, "aggregator", step), emit
            ),
            lambda step: _total(self._grouped._builder, step, value, init, f),
        )

    def _table(
        self,
        word: str,
        names: _Named,
        emit: Emit,
        retention: Duration | None,
        make: Make,
        total: Callable[[str], Serde[Any]],
        sent: Serde[Any] | None = None,
    ) -> KTable[Windowed[K], Any]:
        grouped, window = self._grouped, self._window
        step, kept, parent, key = grouped._prepared(word, names, sent)
        if emit not in ("on_update", "on_close"):
            raise TopologyError(f"step '{step}': emit is {emit!r}; write 'on_update' or 'on_close'")
        operator, value = make(step, kept), total(step)
        builder = grouped._builder
        builder.add_store(
            StoreSpec(
                kept, "window", key, value, retention_ms=self._retention(step, retention), window_ms=window.size_ms
            )
        )
        builder.add(step, operator, parent, table=True)
        return grouped._done(step, names, Known(windowed_by_size(key, window.size_ms), step), Known(value, step))

    def _retention(self, step: str, retention: Duration | None) -> int:
        least = self._window.size_ms + self._window.grace_ms
        if retention is None:
            return least
        found = milliseconds(retention, "retention")
        if found < least:
            raise TopologyError(
                f"step '{step}': a retention of {found} ms would forget windows that are still open; "
                f"their size and grace are {least} ms together, so keep them at least that long"
            )
        return found


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
        names = _Named(name, store)
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
            _Named(name, store),
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
            _Named(name, store),
            lambda step, kept: TableAggregate(
                kept,
                arity(init, "initializer", step),
                arity(adder, "adder", step),
                arity(subtractor, "subtractor", step),
            ),
            lambda step: _total(self._builder, step, value, init, adder),
        )

    def _table(
        self, word: str, names: _Named, make: Make, total: Callable[[str], Serde[Any]], sent: Serde[Any] | None = None
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


def _total(builder: Builder, step: str, value: Any, init: Callable[..., Any], f: Callable[..., Any]) -> Serde[Any]:
    """The serde of an aggregation's total: what the user says, else what ``init`` or ``f`` tell."""
    if value is not None:
        return builder.serde(value, step, "value")
    return builder.need(Known(told(result(init)) or told(result(f)), step), "value", step, "be stored")
