"""The words of a stream that keep nothing: each record is seen once, by itself, and passed on or not.

What they share is here too: how a word becomes a step, and what is known of the
types on its way. `KStream` adds the words that keep, join, group and send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamflow.builder import Builder, Known, same_builder
from streamflow.errors import TopologyError
from streamflow.functions import arity
from streamflow.naming import Around
from streamflow.operators.contract import Operator
from streamflow.operators.filter import Filter
from streamflow.operators.map import FlatMap, FlatMapValues, Map, MapValues, SelectKey
from streamflow.operators.merge import Merge
from streamflow.operators.peek import Foreach, Peek, Print
from streamflow.operators.split import Branch, Split
from streamflow.serdes import Typed
from streamflow.serdes.hints import item, pair, result, told

if TYPE_CHECKING:
    from streamflow.stream import KStream

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")

Predicate = Callable[[V], object] | Callable[[K, V], object]


class StatelessWords(Generic[K, V]):
    """The part of `KStream` that keeps nothing."""

    def __init__(self, builder: Builder, step: str, key: Known, value: Known, anchor: str, rekeyed: bool) -> None:
        self._builder = builder
        self._step = step
        self._key = key
        self._value = value
        self._anchor = anchor
        self._rekeyed = rekeyed

    @overload
    def filter(self, f: Callable[[V], object], *, name: str | None = None) -> KStream[K, V]: ...
    @overload
    def filter(self, f: Callable[[K, V], object], *, name: str | None = None) -> KStream[K, V]: ...
    def filter(self, f: Callable[..., object], *, name: str | None = None) -> KStream[K, V]:
        """Only the records for which ``f(value)`` (or ``f(key, value)``) is true.

        >>> from streamflow import App
        >>> words = App("demo").stream("words", value=str).filter(lambda word: len(word) > 3)
        """
        step = self._name("filter", name)
        return self._next(step, Filter(arity(f, "predicate", step)))

    @overload
    def filter_not(self, f: Callable[[V], object], *, name: str | None = None) -> KStream[K, V]: ...
    @overload
    def filter_not(self, f: Callable[[K, V], object], *, name: str | None = None) -> KStream[K, V]: ...
    def filter_not(self, f: Callable[..., object], *, name: str | None = None) -> KStream[K, V]:
        """Only the records for which ``f(value)`` (or ``f(key, value)``) is false."""
        step = self._name("filter-not", name)
        return self._next(step, Filter(arity(f, "predicate", step), negate=True))

    @overload
    def map_values(
        self, f: Callable[[V], V2], *, value: Typed[V2] | None = None, name: str | None = None
    ) -> KStream[K, V2]: ...
    @overload
    def map_values(
        self, f: Callable[[K, V], V2], *, value: Typed[V2] | None = None, name: str | None = None
    ) -> KStream[K, V2]: ...
    def map_values(self, f: Callable[..., Any], *, value: Any = None, name: str | None = None) -> KStream[K, Any]:
        """``f(value)`` (or ``f(key, value)``) in place of each value; ``value`` is its type, if ``f`` does not say it.

        >>> from streamflow import App
        >>> lengths = App("demo").stream("words", value=str).map_values(len, value=int)
        """
        step = self._name("map-values", name)
        known = self._known(value, result(f), step, "value")
        return self._next(step, MapValues(arity(f, "mapper", step)), value=known)

    @overload
    def flat_map_values(
        self, f: Callable[[V], Iterable[V2]], *, value: Typed[V2] | None = None, name: str | None = None
    ) -> KStream[K, V2]: ...
    @overload
    def flat_map_values(
        self, f: Callable[[K, V], Iterable[V2]], *, value: Typed[V2] | None = None, name: str | None = None
    ) -> KStream[K, V2]: ...
    def flat_map_values(
        self, f: Callable[..., Iterable[Any]], *, value: Any = None, name: str | None = None
    ) -> KStream[K, Any]:
        """One record per thing that ``f(value)`` gives, under the same key; ``value`` is the type of one of them."""
        step = self._name("flat-map-values", name)
        known = self._known(value, item(result(f)), step, "value")
        return self._next(step, FlatMapValues(arity(f, "mapper", step)), value=known)

    @overload
    def map(
        self,
        f: Callable[[V], tuple[K2, V2]],
        *,
        key: Typed[K2] | None = None,
        value: Typed[V2] | None = None,
        name: str | None = None,
    ) -> KStream[K2, V2]: ...
    @overload
    def map(
        self,
        f: Callable[[K, V], tuple[K2, V2]],
        *,
        key: Typed[K2] | None = None,
        value: Typed[V2] | None = None,
        name: str | None = None,
    ) -> KStream[K2, V2]: ...
    def map(
        self, f: Callable[..., tuple[Any, Any]], *, key: Any = None, value: Any = None, name: str | None = None
    ) -> KStream[Any, Any]:
        """The record ``(key, value)`` that ``f`` gives in place of each; ``key`` and ``value`` are their types."""
        step = self._name("map", name)
        return self._rekeying(step, Map(arity(f, "mapper", step)), pair(result(f)), key, value)

    @overload
    def flat_map(
        self,
        f: Callable[[V], Iterable[tuple[K2, V2]]],
        *,
        key: Typed[K2] | None = None,
        value: Typed[V2] | None = None,
        name: str | None = None,
    ) -> KStream[K2, V2]: ...
    @overload
    def flat_map(
        self,
        f: Callable[[K, V], Iterable[tuple[K2, V2]]],
        *,
        key: Typed[K2] | None = None,
        value: Typed[V2] | None = None,
        name: str | None = None,
    ) -> KStream[K2, V2]: ...
    def flat_map(
        self, f: Callable[..., Iterable[Any]], *, key: Any = None, value: Any = None, name: str | None = None
    ) -> KStream[Any, Any]:
        """One record per ``(key, value)`` that ``f`` gives."""
        step = self._name("flat-map", name)
        return self._rekeying(step, FlatMap(arity(f, "mapper", step)), pair(item(result(f))), key, value)

    @overload
    def select_key(
        self, f: Callable[[V], K2 | None], *, key: Typed[K2] | None = None, name: str | None = None
    ) -> KStream[K2, V]: ...
    @overload
    def select_key(
        self, f: Callable[[K, V], K2 | None], *, key: Typed[K2] | None = None, name: str | None = None
    ) -> KStream[K2, V]: ...
    def select_key(self, f: Callable[..., Any], *, key: Any = None, name: str | None = None) -> KStream[Any, V]:
        """Each record under the key that ``f(value)`` (or ``f(key, value)``) gives; ``key`` is its type."""
        return self._keyed_by("select-key", f, key, name)

    @overload
    def peek(self, f: Callable[[V], object], *, name: str | None = None) -> KStream[K, V]: ...
    @overload
    def peek(self, f: Callable[[K, V], object], *, name: str | None = None) -> KStream[K, V]: ...
    def peek(self, f: Callable[..., object], *, name: str | None = None) -> KStream[K, V]:
        """Call ``f`` for each record and pass it on. After a crash it may be called again for the same record."""
        step = self._name("peek", name)
        return self._next(step, Peek(arity(f, "action", step)))

    @overload
    def foreach(self, f: Callable[[V], object], *, name: str | None = None) -> None: ...
    @overload
    def foreach(self, f: Callable[[K, V], object], *, name: str | None = None) -> None: ...
    def foreach(self, f: Callable[..., object], *, name: str | None = None) -> None:
        """Call ``f`` for each record; nothing comes after. After a crash it may be called again for the same one."""
        step = self._name("foreach", name)
        self._next(step, Foreach(arity(f, "action", step)))

    def print(self, label: str | None = None, *, name: str | None = None) -> None:
        """Write each record to standard output as a line ``key, value``; with a label as ``[label]: key, value``."""
        self._next(self._name("print", name), Print(label))

    def merge(self, *streams: KStream[K, V], name: str | None = None) -> KStream[K, V]:
        """The records of this stream and of others; nothing is promised about their order."""
        step = self._name("merge", name)
        same_builder(self._builder, streams, step)
        every = (self, *streams)
        self._builder.add(step, Merge(), *(each._step for each in every))
        return self._at(
            step,
            _agreed([each._key for each in every], step),
            _agreed([each._value for each in every], step),
            rekeyed=any(each._rekeyed for each in every),
        )

    def split(
        self, branches: Mapping[str, Predicate[V, K]], *, default: str | None = None, name: str | None = None
    ) -> dict[str, KStream[K, V]]:
        """Each record to the first branch whose predicate holds, else to ``default``, else nowhere.

        >>> from streamflow import App
        >>> orders = App("demo").stream("orders", value=int)
        >>> sorted(orders.split({"big": lambda n: n > 100}, default="small"))
        ['big', 'small']
        """
        if not isinstance(branches, Mapping) or not branches:
            raise TopologyError('a split needs at least one branch: split({"name": predicate}, default="rest")')
        if default in branches:
            raise TopologyError(f"the default branch of a split is called {default!r}, and so is another branch")
        step = self._name("split", name)
        predicates = tuple(arity(f, "predicate", f"{step}-{branch}") for branch, f in branches.items())
        self._builder.add(step, Split(predicates, default is not None), self._step)
        names = [*branches, default] if default is not None else [*branches]
        return {each: self._branch(step, each) for each in names}

    def _branch(self, split: str, branch: str) -> KStream[K, V]:
        child = self._builder.naming.branch(split, branch)
        self._builder.add(child, Branch(), split)
        return self._at(child, self._key, self._value, anchor=f"{self._anchor}-{branch}", rekeyed=self._rekeyed)

    def with_types(self, *, key: Typed[K2] | None = None, value: Typed[V2] | None = None) -> KStream[Any, Any]:
        """The same stream with its types said anew; no step, and nothing is converted."""
        return self._at(
            self._step,
            self._key if key is None else Known(self._builder.serde(key, self._step, "key"), self._step),
            self._value if value is None else Known(self._builder.serde(value, self._step, "value"), self._step),
            rekeyed=self._rekeyed,
        )

    # --- how it is done

    def _name(self, word: str, name: str | None) -> str:
        return self._builder.naming.step(word, self._anchor, name)

    def _known(self, given: Any, hint: Any, step: str, keyword: str) -> Known:
        """What is known of a result: what the user says, else what the function's annotation tells."""
        return Known(told(hint) if given is None else self._builder.serde(given, step, keyword), step)

    def _next(
        self, step: str, operator: Operator, *, key: Known | None = None, value: Known | None = None
    ) -> KStream[Any, Any]:
        self._builder.add(step, operator, self._step)
        return self._at(
            step,
            self._key if key is None else key,
            self._value if value is None else value,
            rekeyed=self._rekeyed or key is not None,
        )

    def _at(
        self, step: str, key: Known, value: Known, *, anchor: str | None = None, rekeyed: bool = False
    ) -> KStream[Any, Any]:
        """A stream of the same kind that stands for another step."""
        new: Any = type(self)
        return new(self._builder, step, key, value, self._anchor if anchor is None else anchor, rekeyed)  # type: ignore[no-any-return]

    def _rekeying(
        self, step: str, operator: Operator, hints: tuple[Any, Any], key: Any, value: Any
    ) -> KStream[Any, Any]:
        known_key = self._known(key, hints[0], step, "key")
        return self._next(step, operator, key=known_key, value=self._known(value, hints[1], step, "value"))

    def _keyed_by(self, word: str, f: Callable[..., Any], key: Any, name: str | None) -> KStream[Any, V]:
        step = self._name(word, name)
        return self._next(step, SelectKey(arity(f, "key selector", step)), key=self._known(key, result(f), step, "key"))

    def _sent(
        self, topic: str, around: Around, *, user: str = "", partitions: int | None = None, partitioner: Any = None
    ) -> str:
        """The step that reads this stream back from a repartition topic."""
        builder, what = self._builder, f"go through the repartition topic '{topic}-repartition'"
        key = builder.need(self._key, "key", user or topic, what)
        value = builder.need(self._value, "value", user or topic, what)
        return builder.repartition(
            topic, around, self._step, key, value, partitions=partitions, partitioner=partitioner
        )

    def _rerouted(self, topic: str, around: Around, *, user: str = "") -> KStream[K, V]:
        source = self._sent(topic, around, user=user)
        return self._at(source, self._key, self._value)


def _agreed(every: list[Known], step: str) -> Known:
    """What several streams have in common; where one of them does not tell, it is the one to be asked."""
    names = {known.serde.name if known.serde is not None else None for known in every}
    if len(names) == 1:
        return every[0]
    return next((known for known in every if known.serde is None), Known(None, step))
