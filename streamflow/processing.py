"""The words that take a processor of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamflow.builder import Builder, Known
from streamflow.clock import Duration, milliseconds
from streamflow.errors import TopologyError
from streamflow.functions import arity
from streamflow.operators.deduplicate import RETENTION, Deduplicate
from streamflow.operators.map_async import MapAsync, OnError
from streamflow.operators.process import Process, TableTransform
from streamflow.processor import Processor, ValueTransformer
from streamflow.serdes import Typed, int64, json
from streamflow.serdes.hints import result
from streamflow.state.spec import StoreSpec
from streamflow.stateless import StatelessWords

if TYPE_CHECKING:
    from streamflow.stream import KStream
    from streamflow.table import KTable

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")


class ProcessWords(StatelessWords[K, V]):
    """The part of `KStream` that hands records to a processor."""

    def process(
        self,
        factory: Callable[[], Processor[K, V, K2, V2]],
        *,
        stores: Sequence[str] = (),
        key: Typed[K2] | None = None,
        value: Typed[V2] | None = None,
        name: str | None = None,
    ) -> KStream[K2, V2]:
        """Each record to the processor that ``factory`` makes (a class does), which forwards what it likes.

        ``stores`` names those that it uses: of `App.add_store`, or of tables. ``key`` and ``value`` are the types that
        it forwards.
        """
        step = self._name("process", name)
        operator = Process(factory, connected(self._builder, step, stores))
        return self._next(step, operator, key=self._known(key, None, step, "key"), value=self._told(value, step))

    def process_values(
        self,
        factory: Callable[[], Processor[K, V, K, V2]],
        *,
        stores: Sequence[str] = (),
        value: Typed[V2] | None = None,
        name: str | None = None,
    ) -> KStream[K, V2]:
        """The same where the key stays as it is, so that nothing has to be moved to another partition."""
        step = self._name("process-values", name)
        operator = Process(factory, connected(self._builder, step, stores), fixed_key=True)
        return self._next(step, operator, value=self._told(value, step))

    @overload
    def map_async(
        self, f: Callable[[V], Coroutine[Any, Any, V2]], *, concurrency: int = 64, timeout: Duration | None = None,
        on_error: OnError = "fail", value: Typed[V2] | None = None, name: str | None = None,
    ) -> KStream[K, V2]: ...  # fmt: skip
    @overload
    def map_async(
        self, f: Callable[[K, V], Coroutine[Any, Any, V2]], *, concurrency: int = 64, timeout: Duration | None = None,
        on_error: OnError = "fail", value: Typed[V2] | None = None, name: str | None = None,
    ) -> KStream[K, V2]: ...  # fmt: skip
    def map_async(
        self, f: Callable[..., Any], *, concurrency: int = 64, timeout: Duration | None = None,
        on_error: OnError = "fail", value: Any = None, name: str | None = None,
    ) -> KStream[K, Any]:  # fmt: skip
        """``await f(value)`` (or ``f(key, value)``) in place of each value: a call of a service, say.

        At most ``concurrency`` calls of a task are under way at once, and results keep the order of their records. A
        commit waits for them, so each result is committed together with its record, exactly once; a call that a crash
        interrupts is made again. Give it a ``timeout``: a call that never ends holds up the commit. What raises is
        treated as ``on_error`` says; retries are for ``f`` to make.

        >>> from streamflow import App
        >>> async def price(order: dict) -> dict:
        ...     return {**order, "price": 7}
        >>> orders = App("shop").stream("orders", key=str, value=dict).map_async(price, timeout="2s", value=dict)
        """
        step = self._name("map-async", name)
        if not inspect.iscoroutinefunction(f) and not inspect.iscoroutinefunction(type(f).__call__):
            raise TopologyError(f"step '{step}': map_async takes a function declared with async def, not {f!r}")
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
            raise TopologyError(
                f"step '{step}': concurrency is {concurrency!r}; it must be a whole number of at least 1"
            )
        if on_error not in ("fail", "skip", "dead_letter"):
            raise TopologyError(f"step '{step}': on_error is {on_error!r}; write 'fail', 'skip' or 'dead_letter'")
        seconds = None if timeout is None else milliseconds(timeout, f"step '{step}': timeout") / 1000
        known = self._known(value, result(f), step, "value")
        return self._next(step, MapAsync(arity(f, "call", step), concurrency, seconds, on_error), value=known)

    @overload
    def deduplicate(
        self, *, by: Callable[[V], object], within: Duration, store: str | None = None, name: str | None = None
    ) -> KStream[K, V]: ...
    @overload
    def deduplicate(
        self, *, by: Callable[[K, V], object], within: Duration, store: str | None = None, name: str | None = None
    ) -> KStream[K, V]: ...
    def deduplicate(
        self, *, by: Callable[..., object], within: Duration, store: str | None = None, name: str | None = None
    ) -> KStream[K, V]:
        """The first record of each id, ``by(value)`` or ``by(key, value)``, a text, a number or bytes; None is no id.

        Another one of the same id passes when it lies more than ``within`` from the one that did. What is late by
        more than twice that is dropped and counted. Ids are told apart within a partition, so records of one id
        must have one key; where the key was changed they go through a repartition topic first.

        >>> from streamflow import App
        >>> orders = App("shop").stream("orders", key=str, value=dict)
        >>> once = orders.deduplicate(by=lambda order: order["id"], within="10m", name="once")
        """
        builder, named = self._builder, name is not None or store is not None
        step, kept = builder.naming.stateful("deduplicate", self._anchor, name, store)
        within_ms = milliseconds(within, "within")
        if within_ms < 1:
            raise TopologyError(f"step '{step}': within is {within!r}; it must be at least 1 ms")
        f = arity(by, "key selector", step)
        stream: StatelessWords[K, V] = self
        if self._rekeyed:
            stream = self._rerouted(step, builder.naming.repartition(step, named), user=step)
        builder.copartition(stream._step)
        spec = StoreSpec(
            kept, "window", json(Any), int64, timestamped=False, retention_ms=RETENTION * within_ms, window_ms=within_ms
        )
        builder.add_store(spec)
        passed = stream._next(step, Deduplicate(f, kept, within_ms))
        if not named:
            builder.unnamed(step)
        return passed

    def _told(self, value: Any, step: str) -> Known:
        return self._known(value, None, step, "value")


class TransformWords(Generic[K, V]):
    """The part of `KTable` that hands rows to a transformer."""

    _builder: Builder
    _step: str
    _key: Known
    _value: Known
    _anchor: str

    def transform_values(
        self,
        factory: Callable[[], ValueTransformer[K, V, V2]],
        *,
        stores: Sequence[str] = (),
        value: Typed[V2] | None = None,
        store: str | None = None,
        name: str | None = None,
    ) -> KTable[K, V2]:
        """Each row with the value that the transformer of ``factory`` gives, which may look into ``stores``.

        Where nothing keeps the result it is also asked about rows that are replaced, so it must give the same answer
        twice. ``name`` or ``store`` keep the result in a store of that name.
        """
        from streamflow.table import KTable

        builder, named = self._builder, name is not None or store is not None
        step, kept = builder.naming.stateful("table-transform-values", self._anchor, name, store)
        known = Known(None if value is None else builder.serde(value, step, "value"), step)
        builder.add(step, TableTransform(factory, connected(builder, step, stores)), self._step, table=True)
        builder.may_store(step, kept, self._key, known, named=named)
        return KTable(builder, step, self._key, known, step if named else self._anchor)


def connected(builder: Builder, step: str, stores: Sequence[str]) -> tuple[str, ...]:
    """The names of stores that are there."""
    if isinstance(stores, str):
        raise TopologyError(f"step '{step}': stores= takes a list of names, such as stores=[{stores!r}]")
    for store in stores:
        if store not in builder.stores:
            known = ", ".join(map(repr, builder.stores)) or "none"
            raise TopologyError(
                f"step '{step}' is connected to store {store!r}, which nobody has declared; known are {known}: "
                f"app.add_store(...) comes first, and a table has a store if it has a name"
            )
    return tuple(stores)
