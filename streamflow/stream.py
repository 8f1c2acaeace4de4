"""`KStream`: records that follow one another, and the words that can be said of them.

Every word declares a step and returns a new stream; nothing runs. A word that
may change the key marks the stream, and whatever needs equal keys in one
partition afterwards (grouping, joining, ``to_table``) sends it through a
repartition topic first. So does each such use for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, overload

from streamflow.builder import Builder, Known, same_builder
from streamflow.errors import TopologyError
from streamflow.functions import arity, contextual, required_arguments, spelled
from streamflow.grouped import KGroupedStream
from streamflow.naming import legal
from streamflow.operators.contract import Operator
from streamflow.operators.filter import Filter
from streamflow.operators.join import StreamTableJoin
from streamflow.operators.map import FlatMap, FlatMapValues, Map, MapValues, SelectKey
from streamflow.operators.merge import Merge
from streamflow.operators.peek import Foreach, Peek, Print
from streamflow.operators.split import Branch, Split
from streamflow.operators.table_source import ToTable
from streamflow.serdes import Typed
from streamflow.serdes.hints import item, pair, result, told
from streamflow.table import KTable
from streamflow.topic import Topic
from streamflow.topology import Sink

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")
R = TypeVar("R")

Predicate = Callable[[V], object] | Callable[[K, V], object]


class KStream(Generic[K, V]):
    """Records with keys of type ``K`` and values of type ``V``; made by `App.stream`."""

    def __init__(self, builder: Builder, step: str, key: Known, value: Known, anchor: str, rekeyed: bool) -> None:
        self._builder = builder
        self._step = step
        self._key = key
        self._value = value
        self._anchor = anchor
        self._rekeyed = rekeyed

    # --- one record, nothing kept

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
    def map_values(
        self, f: Callable[..., Any], *, value: Any = None, name: str | None = None
    ) -> KStream[K, Any]:
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
        self, f: Callable[[V], K2], *, key: Typed[K2] | None = None, name: str | None = None
    ) -> KStream[K2, V]: ...
    @overload
    def select_key(
        self, f: Callable[[K, V], K2], *, key: Typed[K2] | None = None, name: str | None = None
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
        """Write each record to standard output, behind ``[label]:`` if one is given."""
        self._next(self._name("print", name), Print(label))

    # --- several streams

    def merge(self, *streams: KStream[K, V], name: str | None = None) -> KStream[K, V]:
        """The records of this stream and of others; nothing is promised about their order."""
        step = self._name("merge", name)
        same_builder(self._builder, streams, step)
        every = (self, *streams)
        self._builder.add(step, Merge(), *(each._step for each in every))
        return KStream(
            self._builder,
            step,
            _agreed([each._key for each in every], step),
            _agreed([each._value for each in every], step),
            self._anchor,
            any(each._rekeyed for each in every),
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
        if not branches:
            raise TopologyError('a split needs at least one branch: split({"name": predicate}, default="rest")')
        if default in branches:
            raise TopologyError(f"the default branch of a split is called {default!r}, and so is another branch")
        step = self._name("split", name)
        predicates = tuple(arity(f, "predicate", f"{step}, branch '{branch}'") for branch, f in branches.items())
        self._builder.add(step, Split(predicates, default is not None), self._step)
        names = [*branches, default] if default is not None else [*branches]
        return {each: self._branch(step, each) for each in names}

    def _branch(self, split: str, branch: str) -> KStream[K, V]:
        child = self._builder.naming.branch(split, branch)
        self._builder.add(child, Branch(), split)
        anchor = f"{self._anchor}-{branch}"
        return KStream(self._builder, child, self._key, self._value, anchor, self._rekeyed)

    @overload
    def join(
        self, table: KTable[K, V2], joiner: Callable[[V, V2], R], *, value: Typed[R] | None = None,
        name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, table: KTable[K, V2], joiner: Callable[[K, V, V2], R], *, value: Typed[R] | None = None,
        name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    def join(
        self, table: KTable[K, Any], joiner: Callable[..., Any], *, value: Any = None, name: str | None = None
    ) -> KStream[K, Any]:
        """``joiner(value, row)`` for each record whose key has a row in ``table`` when the record is processed.

        Only the stream's records give results, with their own timestamps; an update of the table gives none.
        ``value`` is the result's type.
        """
        return self._join("join", table, joiner, value, name)

    @overload
    def left_join(
        self, table: KTable[K, V2], joiner: Callable[[V, V2 | None], R], *, value: Typed[R] | None = None,
        name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, table: KTable[K, V2], joiner: Callable[[K, V, V2 | None], R], *, value: Typed[R] | None = None,
        name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    def left_join(
        self, table: KTable[K, Any], joiner: Callable[..., Any], *, value: Any = None, name: str | None = None
    ) -> KStream[K, Any]:
        """Like `join`, but a record without a row (or without a key) goes on too, as ``joiner(value, None)``."""
        return self._join("left-join", table, joiner, value, name)

    # --- moving, keeping, sending

    def repartition(
        self,
        *,
        name: str | None = None,
        key: Typed[K] | None = None,
        value: Typed[V] | None = None,
        partitions: int | None = None,
        partitioner: Callable[[str, K, V, int], int] | None = None,
    ) -> KStream[K, V]:
        """Send the records through a topic of the application's own, so that equal keys meet in one partition.

        ``partitions`` is that topic's count (else as many as what comes in has), ``partitioner`` is
        ``f(topic, key, value, partitions) -> int``. Records without a key are dropped and counted.
        """
        builder = self._builder
        topic = legal(name) if name is not None else builder.naming.step("repartition", self._anchor)
        if partitions is not None and (not isinstance(partitions, int) or partitions < 1):
            raise TopologyError(f"step '{topic}': partitions is {partitions!r}; it must be a whole number of at least 1")
        around = builder.naming.repartition(topic, name is not None)
        stream = self.with_types(key=key, value=value)
        source = stream._sent(topic, around, partitions=partitions, partitioner=_partitioner(partitioner, topic))
        if name is None:
            builder.unnamed(source)
        return KStream(builder, source, stream._key, stream._value, topic, False)

    def to_table(self, *, store: str | None = None, name: str | None = None) -> KTable[K, V]:
        """The stream read as updates of a table: a null value deletes the row, a null key is dropped."""
        builder = self._builder
        step, kept = builder.naming.stateful("to-table", self._anchor, name, store)
        named = name is not None or store is not None
        stream = self
        if self._rekeyed:
            stream = self._rerouted(step, builder.naming.repartition(step, name is not None))
        builder.copartition(stream._step)
        builder.add(step, ToTable(), stream._step, table=True)
        builder.may_store(step, kept, stream._key, stream._value, named=named)
        if self._rekeyed and not named:
            builder.unnamed(step)
        return KTable(builder, step, stream._key, stream._value, step)

    def to(
        self,
        topic: str | Topic[K, V] | Callable[..., str],
        *,
        key: Typed[K] | None = None,
        value: Typed[V] | None = None,
        partitioner: Callable[[str, K, V, int], int] | None = None,
        headers: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Write the records to a topic, or to the one that ``topic(key, value, context)`` names for each.

        ``key`` and ``value`` are needed only where the types are not known. ``partitioner`` is
        ``f(topic, key, value, partitions) -> int``; without it Kafka's own rule counts. ``headers`` is
        ``f(key, value, context)`` and gives pairs of name and bytes; without it the record's headers go on.
        """
        step = self._name("sink", name)
        if isinstance(topic, Topic):
            key, value = key or topic.key, value or topic.value
            topic = topic.name
        stream = self.with_types(key=key, value=value)
        builder = self._builder
        if isinstance(topic, str):
            legal(topic)
            if topic in builder.topics_above(self._step):
                raise TopologyError(
                    f"step '{step}' writes to topic '{topic}', from which its own records come; they would go round "
                    f"for ever, so give it another topic"
                )
        elif callable(topic):
            topic = contextual(topic, "topic", step)
        else:
            raise TopologyError(f"step '{step}': a topic is a name, app.topic(...) or f(key, value, context), not {topic!r}")
        sink = Sink(
            topic,
            builder.need(stream._key, "key", step, "be written"),
            builder.need(stream._value, "value", step, "be written"),
            _partitioner(partitioner, step),
            None if headers is None else contextual(headers, "headers", step),
        )
        builder.add(step, sink, self._step)

    # --- grouping

    def group_by_key(self, *, name: str | None = None) -> KGroupedStream[K, V]:
        """Put together what has equal keys; ``name`` is that of the repartition topic, if one is needed."""
        return KGroupedStream(self, name)

    @overload
    def group_by(
        self, f: Callable[[V], K2], *, key: Typed[K2] | None = None, value: Typed[V] | None = None,
        name: str | None = None,
    ) -> KGroupedStream[K2, V]: ...  # fmt: skip
    @overload
    def group_by(
        self, f: Callable[[K, V], K2], *, key: Typed[K2] | None = None, value: Typed[V] | None = None,
        name: str | None = None,
    ) -> KGroupedStream[K2, V]: ...  # fmt: skip
    def group_by(
        self, f: Callable[..., Any], *, key: Any = None, value: Any = None, name: str | None = None
    ) -> KGroupedStream[Any, V]:
        """Put together what ``f(value)`` (or ``f(key, value)``) gives the same key; ``key`` is its type.

        The records go through a repartition topic; those whose new key is None are dropped and counted.
        """
        stream = self._keyed_by("group-by", f, key, name)
        return KGroupedStream(stream.with_types(value=value), name)

    def with_types(self, *, key: Typed[K2] | None = None, value: Typed[V2] | None = None) -> KStream[Any, Any]:
        """The same stream with its types said anew; no step, and nothing is converted."""
        return KStream(
            self._builder,
            self._step,
            self._key if key is None else Known(self._builder.serde(key, self._step, "key"), self._step),
            self._value if value is None else Known(self._builder.serde(value, self._step, "value"), self._step),
            self._anchor,
            self._rekeyed,
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
        return KStream(
            self._builder,
            step,
            self._key if key is None else key,
            self._value if value is None else value,
            self._anchor,
            self._rekeyed or key is not None,
        )

    def _rekeying(
        self, step: str, operator: Operator, hints: tuple[Any, Any], key: Any, value: Any
    ) -> KStream[Any, Any]:
        known_key = self._known(key, hints[0], step, "key")
        return self._next(step, operator, key=known_key, value=self._known(value, hints[1], step, "value"))

    def _keyed_by(self, word: str, f: Callable[..., Any], key: Any, name: str | None) -> KStream[Any, V]:
        step = self._name(word, name)
        return self._next(
            step, SelectKey(arity(f, "key selector", step)), key=self._known(key, result(f), step, "key")
        )

    def _join(
        self, word: str, table: KTable[K, Any], joiner: Callable[..., Any], value: Any, name: str | None
    ) -> KStream[K, Any]:
        if not isinstance(table, KTable):
            raise TopologyError(f"a stream joins a table (app.table(...) or .to_table()), not {type(table).__name__}")
        builder, stream, left = self._builder, self, word == "left-join"
        same_builder(builder, [table], name or word)
        if self._rekeyed:
            step, topic, around = builder.naming.joined(word, self._anchor, name, self._step)
        else:
            step, topic, around = self._name(word, name), "", ("", "", "")
        f = arity(joiner, "joiner", step)
        known = self._known(value, result(joiner), step, "value")
        self._check_keys(table, step)
        if self._rekeyed:
            stream = self._rerouted(topic, around, user=step)
        builder.copartition(stream._step, table._step)
        builder.add(step, StreamTableJoin(f, builder.materialise(table._step), left), stream._step)
        if self._rekeyed and name is None:
            builder.unnamed(step)
        return KStream(builder, step, stream._key, known, self._anchor, False)

    def _check_keys(self, table: KTable[K, Any], step: str) -> None:
        mine = self._builder.need(self._key, "key", step, "be looked up in a table")
        theirs = self._builder.need(table._key, "key", step, "be looked up in")
        if mine.name != theirs.name:
            raise TopologyError(
                f"step '{step}' joins a stream keyed by {mine.name} with a table keyed by {theirs.name}: equal keys would "
                f"not be the same bytes; read both with the same key type, or select_key first"
            )

    def _sent(
        self, topic: str, around: tuple[str, str, str], *, user: str = "", partitions: int | None = None,
        partitioner: Any = None,
    ) -> str:  # fmt: skip
        """The step that reads this stream back from a repartition topic."""
        builder, what = self._builder, f"go through the repartition topic '{topic}-repartition'"
        key = builder.need(self._key, "key", user or topic, what)
        value = builder.need(self._value, "value", user or topic, what)
        return builder.repartition(
            topic, around, self._step, key, value, partitions=partitions, partitioner=partitioner
        )

    def _rerouted(self, topic: str, around: tuple[str, str, str], *, user: str = "") -> KStream[K, V]:
        source = self._sent(topic, around, user=user)
        return KStream(self._builder, source, self._key, self._value, self._anchor, False)


def _agreed(every: list[Known], step: str) -> Known:
    """What several streams have in common."""
    names = {known.serde.name if known.serde is not None else None for known in every}
    if len(names) == 1:
        return every[0]
    return Known(None, step)


def _partitioner(f: Callable[..., int] | None, step: str) -> Callable[[str, Any, Any, int], int] | None:
    if f is not None and required_arguments(f, "partitioner", step) not in (4, None):
        raise TopologyError(
            f"step '{step}': its partitioner {spelled(f)} must take four arguments; "
            f"write it as f(topic, key, value, partitions)"
        )
    return f


