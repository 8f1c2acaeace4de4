"""`WindowedKStream`: records put together by key and window, and what can be made of them.

Which operator keeps the totals, in what kind of store, and what a windowed key
looks like in bytes depends on the kind of window; the words do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from streamflow.builder import Known
from streamflow.clock import Duration, milliseconds
from streamflow.errors import TopologyError
from streamflow.functions import Function, arity
from streamflow.operators.contract import Operator
from streamflow.operators.custom_aggregate import CustomAggregate
from streamflow.operators.folds import Aggregating, Cogrouping, Counting, Folding, Reducing
from streamflow.operators.session_aggregate import SessionAggregate
from streamflow.operators.sliding_aggregate import SlidingAggregate
from streamflow.operators.window_aggregate import WindowAggregate, WindowCogroup, WindowCount, WindowReduce
from streamflow.record import Windowed
from streamflow.serdes import (
    Serde,
    Typed,
    int64,
    presence,
    session_windowed_key,
    windowed_by_end,
    windowed_by_size,
)
from streamflow.state.spec import StoreSpec
from streamflow.table import KTable
from streamflow.totals import Named, total_serde
from streamflow.windows import CustomWindow, SessionWindow, SlidingWindow, TimeWindow, Window

if TYPE_CHECKING:
    from streamflow.grouped import KGroupedStream

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

Emit = Literal["on_update", "on_close"]


class WindowedKStream(Generic[K, V]):
    """Records put together by key and window; made by ``windowed_by``.

    ``emit="on_update"`` sends each new total on, ``"on_close"`` only the last one of each window, when stream time
    has passed the window's end and grace. ``retention`` is how long windows stay to be asked for; at least (and by
    default) the window's size and grace.
    """

    def __init__(self, grouped: KGroupedStream[K, V], window: Window) -> None:
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
            Named(name, store),
            emit,
            retention,
            lambda step: Counting(),
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
            Named(name, store),
            emit,
            retention,
            lambda step: Reducing(arity(f, "reducer", step)),
            self._grouped._own_value,
        )

    @overload
    def aggregate(
        self, init: Callable[[], T], f: Callable[[T, V], T | None], *,
        merge: Callable[[T, T], T] | Callable[[K, T, T], T] | None = None, value: Typed[T] | None = None,
        emit: Emit = "on_update", retention: Duration | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[Windowed[K], T]: ...  # fmt: skip
    @overload
    def aggregate(
        self, init: Callable[[], T], f: Callable[[K, T, V], T | None], *,
        merge: Callable[[T, T], T] | Callable[[K, T, T], T] | None = None, value: Typed[T] | None = None,
        emit: Emit = "on_update", retention: Duration | None = None, store: str | None = None, name: str | None = None,
    ) -> KTable[Windowed[K], T]: ...  # fmt: skip
    def aggregate(
        self, init: Callable[[], Any], f: Callable[..., Any], *, merge: Callable[..., Any] | None = None,
        value: Any = None, emit: Emit = "on_update", retention: Duration | None = None, store: str | None = None,
        name: str | None = None,
    ) -> KTable[Windowed[K], Any]:  # fmt: skip
        """Each key's total per window: ``init()`` first, then ``f(total, value)``; ``value`` is its type.

        Sessions that turn out to be one need ``merge(left_total, right_total)``.
        """
        return self._table(
            "aggregate",
            Named(name, store),
            emit,
            retention,
            lambda step: self._aggregating(step, init, f, merge),
            lambda step: total_serde(self._grouped._builder, step, value, init, f),
        )

    def _table(
        self,
        word: str,
        names: Named,
        emit: Emit,
        retention: Duration | None,
        folding: Callable[[str], Folding],
        total: Callable[[str], Serde[Any]],
        sent: Serde[Any] | None = None,
    ) -> KTable[Windowed[K], Any]:
        grouped, window = self._grouped, self._window
        step, kept, parent, key = grouped._prepared(word, names, sent)
        check_emit(step, emit)
        operator, value = operator_of(window, kept, folding(step), emit), total(step)
        builder = grouped._builder
        spec, windowed = kept_in(window, kept, key, value, retained(window, step, retention))
        builder.add_store(spec)
        builder.add(step, operator, parent, table=True)
        return grouped._done(step, names, Known(windowed, step), Known(value, step))

    def _aggregating(
        self, step: str, init: Callable[..., Any], f: Callable[..., Any], merge: Callable[..., Any] | None
    ) -> Aggregating:
        merger = merger_of(self._window, step, merge)
        return Aggregating(arity(init, "initializer", step), arity(f, "aggregator", step), merger)


def check_emit(step: str, emit: str) -> None:
    """Refuse what is no way to emit."""
    if emit not in ("on_update", "on_close"):
        raise TopologyError(f"step '{step}': emit is {emit!r}; write 'on_update' or 'on_close'")


def operator_of(window: Window, kept: str, folding: Folding, emit: Emit) -> Operator:
    """The step that keeps totals per window in the store ``kept``."""
    match window:
        case SessionWindow():
            return SessionAggregate(kept, window, folding, emit)
        case SlidingWindow():
            return SlidingAggregate(kept, window, folding, emit)
        case CustomWindow():
            return CustomAggregate(kept, window, folding, emit)
        case TimeWindow():
            match folding:
                case Counting():
                    return WindowCount(kept, window, emit)
                case Reducing(f):
                    return WindowReduce(kept, window, f, emit)
                case Aggregating(init, f):
                    return WindowAggregate(kept, window, init, f, emit)
                case Cogrouping():
                    return WindowCogroup(kept, window, folding, emit)


def kept_in(
    window: Window, kept: str, key: Serde[Any], value: Serde[Any], retention_ms: int
) -> tuple[StoreSpec, Serde[Any]]:
    """The store of totals per window, and the serde of windowed keys."""
    match window:
        case SessionWindow():
            return StoreSpec(kept, "session", key, value, retention_ms=retention_ms), session_windowed_key(key)
        case CustomWindow(size_ms=size):
            spec = StoreSpec(
                kept, "window", key, value, retention_ms=retention_ms, window_ms=size, end_of=window.end_of
            )
            return spec, windowed_by_end(key, window.end_of)
        case SlidingWindow(difference_ms=size) | TimeWindow(size_ms=size):
            spec = StoreSpec(kept, "window", key, value, retention_ms=retention_ms, window_ms=size)
            return spec, windowed_by_size(key, size)


def merger_of(window: Window, step: str, merge: Callable[..., Any] | None) -> Function | None:
    """How two totals become one: sessions need it, others never ask."""
    if (merge is not None) != isinstance(window, SessionWindow):
        raise TopologyError(
            f"step '{step}': sessions that turn out to be one need merge=f(left_total, right_total)"
            if merge is None
            else f"step '{step}': merge= is for sessions; windows of this kind never become one"
        )
    return None if merge is None else arity(merge, "merger", step)


def retained(window: Window, step: str, retention: Duration | None) -> int:
    """How long totals are kept, in milliseconds: as long as they may change, or longer."""
    match window:
        case SessionWindow(gap_ms=gap, grace_ms=grace):
            least = gap + grace + 1  # a session that ended so long ago may still be joined, to the millisecond
        case SlidingWindow(difference_ms=difference, grace_ms=grace):
            least = 2 * difference + grace + 1
        case TimeWindow(size_ms=size, grace_ms=grace) | CustomWindow(size_ms=size, grace_ms=grace):
            least = size + grace
    if retention is None:
        return least
    found = milliseconds(retention, "retention")
    if found < least:
        raise TopologyError(
            f"step '{step}': a retention of {found} ms would forget windows that are still open; "
            f"their size and grace are {least} ms together, so keep them at least that long"
        )
    return found
