"""The words of `App` that build a graph node by node: sources, processors, sinks, stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from streamflow.builder import Builder
from streamflow.errors import TopologyError
from streamflow.naming import legal
from streamflow.operators.process import Process
from streamflow.processing import connected
from streamflow.processor import KeyValueStore, SessionStore, Store, VersionedStore, WindowStore
from streamflow.topology import Sink


class LowLevelWords:
    """The part of `App` that is Kafka Streams' Topology."""

    _builder: Builder

    def add_store(self, store: Store, *processors: str) -> str:
        """Declare a store, connected to ``processors`` that are there already; gives its name.

        >>> from streamflow import App
        >>> from streamflow.processor import KeyValueStore
        >>> App("demo").add_store(KeyValueStore("seen", key=str, value=int))
        'seen'
        """
        if not isinstance(store, KeyValueStore | WindowStore | SessionStore | VersionedStore):
            raise TopologyError(f"add_store takes a store of streamflow.processor, not {type(store).__name__}")
        name = self._builder.add_store(store.spec())
        for processor in processors:
            self.connect(processor, name)
        return name

    def connect(self, processor: str, *stores: str) -> None:
        """Let a processor use these stores, too."""
        step = self._builder.steps.get(processor)
        if step is None or not isinstance(step.meaning, Process):
            known = ", ".join(repr(s.name) for s in self._builder.steps.values() if isinstance(s.meaning, Process))
            raise TopologyError(
                f"there is no processor {processor!r} to connect a store to; there are {known or 'none'}"
            )
        names = tuple(dict.fromkeys((*step.meaning.names, *connected(self._builder, processor, stores))))
        self._builder.steps[processor] = replace(step, meaning=replace(step.meaning, names=names))

    def add_processor(self, name: str, factory: Callable[[], Any], *parents: str, stores: Sequence[str] = ()) -> str:
        """A processor step behind ``parents``; forwards to all its children, or by their names. Gives the name.

        >>> from streamflow import App
        >>> from streamflow.processor import Processor
        >>> class Through(Processor[bytes, bytes, bytes, bytes]):
        ...     def init(self, context):
        ...         self.context = context
        ...     def process(self, record):
        ...         self.context.forward(record, "right")
        >>> app = App("demo")
        >>> source = app.add_source("in", "topic")
        >>> middle = app.add_processor("middle", Through, source)
        >>> app.add_sink("left", "a", middle), app.add_sink("right", "b", middle)
        ('left', 'right')
        """
        self._there(name, parents)
        return self._builder.add(legal(name), Process(factory, connected(self._builder, name, stores)), *parents)

    def add_sink(
        self,
        name: str,
        topic: str | Callable[[Any, Any, Any], str],
        *parents: str,
        key: Any = bytes,
        value: Any = bytes,
        partitioner: Callable[[str, Any, Any, int], int] | None = None,
    ) -> str:
        """A sink step behind ``parents``: a topic, or ``f(key, value, context) -> topic``. Gives the name."""
        self._there(name, parents)
        builder = self._builder
        to = legal(topic) if isinstance(topic, str) else topic
        sink = Sink(to, builder.serde(key, name, "key"), builder.serde(value, name, "value"), partitioner)
        return builder.add(legal(name), sink, *parents)

    def _there(self, name: str, parents: Sequence[str]) -> None:
        if not parents:
            raise TopologyError(f"step '{name}' stands behind no other; name its parents behind its own arguments")
        for parent in parents:
            step = self._builder.steps.get(parent)
            if step is None or isinstance(step.meaning, Sink):
                known = ", ".join(repr(s.name) for s in self._builder.steps.values() if not isinstance(s.meaning, Sink))
                raise TopologyError(f"step '{name}' cannot stand behind {parent!r}; there are {known or 'none'}")
