"""`KStream`: records that follow one another, and the words that can be said of them.

Every word declares a step and returns a new stream; nothing runs. A word that
may change the key marks the stream, and whatever needs equal keys in one
partition afterwards (grouping, joining, ``to_table``) sends it through a
repartition topic first. So does each such use for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

from streamflow.builder import at_least_one, same_builder
from streamflow.errors import TopologyError
from streamflow.functions import arity, contextual, required_arguments, spelled
from streamflow.grouped import KGroupedStream
from streamflow.naming import legal
from streamflow.operators.contract import Context
from streamflow.operators.join import StreamTableJoin
from streamflow.operators.table_source import ToTable
from streamflow.record import Headers
from streamflow.serdes import Typed
from streamflow.serdes.hints import result
from streamflow.stateless import StatelessWords
from streamflow.table import KTable
from streamflow.topic import Topic
from streamflow.topology import Sink

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")
R = TypeVar("R")


class KStream(StatelessWords[K, V]):
    """Records with keys of type ``K`` and values of type ``V``; made by `App.stream`."""

    # --- joining

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
        ``f(topic, key, value, partitions) -> int``. Records without a key are dropped, unless a left join comes next.
        """
        builder = self._builder
        topic = legal(name) if name is not None else builder.naming.step("repartition", self._anchor)
        at_least_one(partitions, f"step '{topic}'")
        around = builder.naming.repartition(topic, name is not None)
        stream = self.with_types(key=key, value=value)
        source = stream._sent(topic, around, partitions=partitions, partitioner=_partitioner(partitioner, topic))
        if name is None:
            builder.unnamed(source)
        return stream._at(source, stream._key, stream._value, anchor=topic)

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
        topic: str | Topic[K, V] | Callable[[K, V, Context], str],
        *,
        key: Typed[K] | None = None,
        value: Typed[V] | None = None,
        partitioner: Callable[[str, K, V, int], int] | None = None,
        headers: Callable[[K, V, Context], Headers] | None = None,
        name: str | None = None,
    ) -> None:
        """Write the records to a topic, or to the one that ``topic(key, value, context)`` names for each.

        ``key`` and ``value`` are needed only where the types are not known. ``partitioner`` is
        ``f(topic, key, value, partitions) -> int``; without it Kafka's own rule counts. ``headers`` is
        ``f(key, value, context)`` and gives pairs of name and bytes; without it the record's headers go on.
        """
        step = self._name("sink", name)
        stream = self.with_types(key=key, value=value)
        if isinstance(topic, Topic):
            declared = cast("Topic[Any, Any]", topic)
            stream = self.with_types(key=key or declared.key, value=value or declared.value)
            topic = declared.name
        builder = self._builder
        if isinstance(topic, str):
            legal(topic)
            if topic in builder.passes_all_of(self._step):
                raise TopologyError(
                    f"step '{step}' writes every record of topic '{topic}' to '{topic}' again; they would go round for "
                    f"ever, so filter them first or give it another topic"
                )
        elif callable(topic):
            topic = contextual(topic, "topic", step)
        else:
            raise TopologyError(
                f"step '{step}': a topic is a name, app.topic(...) or f(key, value, context), not {topic!r}"
            )
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
        self, f: Callable[[V], K2 | None], *, key: Typed[K2] | None = None, value: Typed[V] | None = None,
        name: str | None = None,
    ) -> KGroupedStream[K2, V]: ...  # fmt: skip
    @overload
    def group_by(
        self, f: Callable[[K, V], K2 | None], *, key: Typed[K2] | None = None, value: Typed[V] | None = None,
        name: str | None = None,
    ) -> KGroupedStream[K2, V]: ...  # fmt: skip
    def group_by(
        self, f: Callable[..., Any], *, key: Any = None, value: Any = None, name: str | None = None
    ) -> KGroupedStream[Any, V]:
        """Put together what ``f(value)`` (or ``f(key, value)``) gives the same key; ``key`` is its type.

        The records go through a repartition topic; those whose new key is None are left out.
        """
        stream = self._keyed_by("group-by", f, key, name)
        return KGroupedStream(stream.with_types(value=value), name)

    # --- how it is done

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
        return self._at(step, stream._key, known)

    def _check_keys(self, table: KTable[K, Any], step: str) -> None:
        mine = self._builder.need(self._key, "key", step, "be looked up in a table")
        theirs = self._builder.need(table._key, "key", step, "be looked up in")
        if mine.name != theirs.name:
            raise TopologyError(
                f"step '{step}' joins a stream keyed by {mine.name} with a table keyed by {theirs.name}: equal keys "
                f"would not be the same bytes; read both with the same key type, or select_key first"
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
        return self._at(source, self._key, self._value)


def _partitioner(f: Callable[..., int] | None, step: str) -> Callable[[str, Any, Any, int], int] | None:
    if f is not None and required_arguments(f, "partitioner", step) not in (4, None):
        raise TopologyError(
            f"step '{step}': its partitioner {spelled(f)} must take four arguments; "
            f"write it as f(topic, key, value, partitions)"
        )
    return f
