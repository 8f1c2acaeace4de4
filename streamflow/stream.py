"""`KStream`: records that follow one another, and the words that can be said of them.

Every word declares a step and returns a new stream; nothing runs. A word that
may change the key marks the stream, and whatever needs equal keys in one
partition afterwards (grouping, joining, ``to_table``) sends it through a
repartition topic first. So does each such use for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

from streamflow.builder import at_least_one
from streamflow.errors import TopologyError
from streamflow.functions import contextual, required_arguments, spelled
from streamflow.grouped import KGroupedStream
from streamflow.joins import JoinWords
from streamflow.naming import legal
from streamflow.operators.contract import Context
from streamflow.operators.table_source import ToTable
from streamflow.record import Headers
from streamflow.serdes import Typed
from streamflow.table import KTable
from streamflow.topic import Topic
from streamflow.topology import Sink

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")


class KStream(JoinWords[K, V]):
    """Records with keys of type ``K`` and values of type ``V``; made by `App.stream`."""

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


def _partitioner(f: Callable[..., int] | None, step: str) -> Callable[[str, Any, Any, int], int] | None:
    if f is not None and required_arguments(f, "partitioner", step) not in (4, None):
        raise TopologyError(
            f"step '{step}': its partitioner {spelled(f)} must take four arguments; "
            f"write it as f(topic, key, value, partitions)"
        )
    return f
