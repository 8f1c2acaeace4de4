"""`CogroupedKStream`: several grouped streams that make one total, each in its own way.

All of them keep their totals in one store and share one stream time, for what
is late for one is late for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamflow.builder import Known, same_builder
from streamflow.clock import Duration
from streamflow.errors import TopologyError
from streamflow.functions import arity
from streamflow.operators.aggregate import Cogroup
from streamflow.operators.contract import Operator
from streamflow.operators.folds import Cogrouping
from streamflow.operators.keeps import Keeps
from streamflow.record import Windowed
from streamflow.serdes import Serde, Typed
from streamflow.state.spec import StoreSpec
from streamflow.totals import total_serde
from streamflow.windowed import Emit, check_emit, kept_in, merger_of, operator_of, retained
from streamflow.windows import Window, checked

if TYPE_CHECKING:
    from streamflow.grouped import KGroupedStream
    from streamflow.table import KTable

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

Parts = tuple[tuple["KGroupedStream[Any, Any]", Callable[..., Any]], ...]
"""Each grouped stream with its aggregator."""

Make = Callable[[str, str, Cogrouping], Operator]
"""``(step, store, what is done) -> operator``"""


class CogroupedKStream(Generic[K, T]):
    """Grouped streams with keys of type ``K`` that make totals of type ``T``; made by `KGroupedStream.cogroup`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @overload
    def cogroup(self, other: KGroupedStream[K, V], f: Callable[[T, V], T | None]) -> CogroupedKStream[K, T]: ...
    @overload
    def cogroup(self, other: KGroupedStream[K, V], f: Callable[[K, T, V], T | None]) -> CogroupedKStream[K, T]: ...
    def cogroup(self, other: KGroupedStream[K, Any], f: Callable[..., Any]) -> CogroupedKStream[K, T]:
        """One more stream: ``f(total, value)`` (or ``f(key, total, value)``) for each of its records."""
        from streamflow.grouped import KGroupedStream

        if not isinstance(other, KGroupedStream):
            raise TopologyError(f"cogroup takes a grouped stream (stream.group_by_key()), not {type(other).__name__}")
        return CogroupedKStream((*self._parts, (other, f)))

    def aggregate(
        self, init: Callable[[], T], *, value: Typed[T] | None = None, store: str | None = None, name: str | None = None
    ) -> KTable[K, T]:
        """Each key's total: ``init()`` first, then what the stream of each record says; ``value`` is its type.

        Null keys and null values are dropped and counted. A total of None deletes the row.
        """

        def kept(step: str, kept: str, key: Serde[Any], total: Serde[Any]) -> tuple[StoreSpec, Serde[Any]]:
            return StoreSpec(kept, "key_value", key, total), key

        def make(step: str, store: str, folding: Cogrouping) -> Operator:
            return Cogroup(store, folding)

        return _table(self._parts, init, None, value, store, name, kept, make)

    def windowed_by(self, window: Window) -> WindowedCogroupedKStream[K, T]:
        """The same per window of time."""
        return WindowedCogroupedKStream(self._parts, checked(window))


class WindowedCogroupedKStream(Generic[K, T]):
    """Grouped streams that make totals per key and window; made by `CogroupedKStream.windowed_by`."""

    def __init__(self, parts: Parts, window: Window) -> None:
        self._parts = parts
        self._window = window

    def aggregate(
        self,
        init: Callable[[], T],
        *,
        merge: Callable[[T, T], T] | Callable[[K, T, T], T] | None = None,
        value: Typed[T] | None = None,
        emit: Emit = "on_update",
        retention: Duration | None = None,
        store: str | None = None,
        name: str | None = None,
    ) -> KTable[Windowed[K], T]:
        """Each key's total per window; sessions that turn out to be one need ``merge(left_total, right_total)``.

        ``emit`` and ``retention`` as for one stream: ``"on_close"`` gives one final row per window.
        """
        window = self._window

        def kept(step: str, kept: str, key: Serde[Any], total: Serde[Any]) -> tuple[StoreSpec, Serde[Any]]:
            return kept_in(window, kept, key, total, retained(window, step, retention))

        def make(step: str, store: str, folding: Cogrouping) -> Operator:
            check_emit(step, emit)
            return operator_of(
                window, store, Cogrouping(folding.init, folding.fs, merger_of(window, step, merge)), emit
            )

        return _table(self._parts, init, merge, value, store, name, kept, make)


def _table(
    parts: Parts,
    init: Callable[..., Any],
    merge: Callable[..., Any] | None,
    value: Any,
    store: str | None,
    name: str | None,
    kept_as: Callable[[str, str, Serde[Any], Serde[Any]], tuple[StoreSpec, Serde[Any]]],
    make: Make,
) -> KTable[Any, Any]:
    from streamflow.table import KTable

    first = parts[0][0]
    builder, named = first._builder, name is not None or store is not None
    same_builder(builder, [grouped for grouped, _ in parts], name or "cogroup")
    names = builder.naming.cogrouped(first._stream._anchor, name, store, len(parts))
    step = names.step
    folding = Cogrouping(arity(init, "initializer", step), tuple(arity(f, "aggregator", step) for _, f in parts))
    operator, total = make(step, names.store, folding), total_serde(builder, step, value, init, parts[0][1])
    brought = [grouped._brought(step, f"{names.store}-{n}", named) for n, (grouped, _) in enumerate(parts, start=1)]
    key = brought[0][1]
    for _, other in brought:
        if other.name != key.name:
            raise TopologyError(
                f"step '{step}' puts together streams keyed by {key.name} and by {other.name}: equal keys would not be "
                f"the same bytes; read them with the same key type, or select_key first"
            )
    builder.copartition(*(parent for parent, _ in brought))
    spec, windowed = kept_as(step, names.store, key, total)
    builder.add_store(spec)
    sides = [
        builder.add(side, Keeps((names.store,)), parent) for side, (parent, _) in zip(names.sides, brought, strict=True)
    ]
    builder.add(step, operator, *sides, table=True)
    if not named:
        builder.unnamed(step)
    return KTable(builder, step, Known(windowed, step), Known(total, step), step)
