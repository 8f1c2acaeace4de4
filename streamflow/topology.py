"""The graph: steps joined by names. Nothing runs here.

A `Topology` is what the fluent words build and what the plan cuts into
sub-topologies. Steps stand in the order in which they were declared, so a
parent always stands before its children.

Repartition topics stand here without the application's prefix, as Kafka
Streams' description has them; the plan adds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamflow.operators.contract import Operator
from streamflow.serdes import Serde
from streamflow.state.spec import StoreSpec
from streamflow.topic import NewTopic


@dataclass(frozen=True)
class Source:
    """Where records come in: topics (or a pattern), how to read them, and when they happened.

    ``timestamp`` is the user's extractor in its three-argument form ``(key, value, context)``, or None.
    ``repartition`` names the repartition topic this reads (without the application's prefix).
    """

    topics: tuple[str, ...]
    key: Serde[Any]
    value: Serde[Any]
    pattern: re.Pattern[str] | None = None
    timestamp: Callable[[Any, Any, Any], Any] | None = None
    offset_reset: Literal["earliest", "latest", "fail"] = "earliest"
    repartition: str | None = None


@dataclass(frozen=True)
class Sink:
    """Where records go out. ``topic`` is a name or ``f(key, value, context) -> name``.

    ``repartition`` names the repartition topic this writes (without the application's prefix); then ``topic`` is
    that name with ``-repartition`` behind it. The changes of a regrouped table need no other sink: their value
    serde is `streamflow.serdes.change_serde`.
    """

    topic: str | Callable[[Any, Any, Any], str]
    key: Serde[Any]
    value: Serde[Any]
    partitioner: Callable[[str, Any, Any, int], int] | None = None
    headers: Callable[..., Any] | None = None
    repartition: str | None = None


@dataclass(frozen=True)
class Repartition:
    """An internal topic that moves records to their new key's partition; ``partitions`` None: as its inputs have.

    ``suffix`` stands behind its name: ``topic`` where the sides of a foreign-key join write to each other.
    """

    name: str
    partitions: int | None = None
    suffix: str = "repartition"


@dataclass(frozen=True)
class Step:
    """One node of the graph. ``table`` says that it emits changes; ``where`` is ``file:line`` of the user's call."""

    name: str
    meaning: Source | Sink | Operator
    parents: tuple[str, ...] = ()
    table: bool = False
    sends_old: bool = False
    generated: bool = False
    where: str = ""


@dataclass(frozen=True)
class GlobalSource:
    """A table that every worker has whole: the topic it is read from, and the names it has in a description.

    No task reads it, so it is no step; steps ask it by the name of its ``store``. ``processor`` makes what fills the
    store, where the topic's records are not its rows.
    """

    source: Source
    source_step: str
    step: str
    store: StoreSpec
    where: str = ""
    processor: Callable[[], Any] | None = None

    @property
    def topic(self) -> str:
        """What it is read from."""
        return self.source.topics[0]


@dataclass(frozen=True)
class Topology:
    """Steps, stores and repartition topics by name, in the order they were declared."""

    steps: Mapping[str, Step] = field(default_factory=dict[str, Step])
    stores: Mapping[str, StoreSpec] = field(default_factory=dict[str, StoreSpec])
    repartitions: Mapping[str, Repartition] = field(default_factory=dict[str, Repartition])
    copartitions: tuple[frozenset[str], ...] = ()
    """Sets of source steps whose topics must have equal partition counts."""
    topics: Mapping[str, NewTopic] = field(default_factory=dict[str, NewTopic])
    """Topics declared with `App.topic`: how they are to be made; ``partitions`` 0 where nobody said."""
    unnamed_stateful: tuple[str, ...] = ()
    """Stateful steps without a name of their own: what is renamed when the script changes around them."""
    naming: Literal["stable", "kafka_streams"] = "stable"
    globals: Mapping[str, GlobalSource] = field(default_factory=dict[str, GlobalSource])
    """Tables that every worker has whole, by their stores."""

    def describe(self) -> str:
        """Kafka Streams' text of the graph: sub-topologies, steps, stores, and who comes after whom."""
        from streamflow.describe import describe

        return describe(self)

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain data: ``steps``, ``stores``, ``repartitions``."""
        from streamflow.render import to_dict

        return to_dict(self)

    def to_mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        from streamflow.render import to_mermaid

        return to_mermaid(self)

    def to_svg(self) -> str:
        """The graph drawn: one SVG file that needs nothing else."""
        from streamflow.render import to_svg

        return to_svg(self)


def external_topics(topology: Topology) -> list[str]:
    """Topics that the script names: of its sources and its sinks with a fixed topic, in order of declaration.

    Patterns and computed topic names are not in it, nor are repartition topics.
    """
    found: dict[str, None] = {}
    for step in topology.steps.values():
        match step.meaning:
            case Source(repartition=None, topics=topics):
                found.update(dict.fromkeys(topics))
            case Sink(repartition=None, topic=str(topic)):
                found[topic] = None
            case _:
                pass
    found.update((table.topic, None) for table in topology.globals.values())
    return list(found)


def stores_of(step: Step) -> tuple[str, ...]:
    """The stores a step is connected to."""
    return () if isinstance(step.meaning, Source | Sink) else tuple(step.meaning.stores)


def keepers(topology: Topology, step: Step) -> list[str]:
    """The tables whose stores a step uses, itself among them if it is one."""
    used = set(stores_of(step))
    return [each.name for each in topology.steps.values() if each.table and used & set(stores_of(each))]


def groups(topology: Topology) -> list[list[str]]:
    """The steps of each sub-topology: connected by records, by a store, or by a topic that both read.

    Two source steps of one topic belong together because a task owns a partition of a topic, and commits one
    position for it. They stand in the order in which they were declared; with Kafka Streams' names as there: in
    the alphabetical order of their source steps.
    """
    joined: dict[str, str] = {}

    def find(name: str) -> str:
        while (above := joined.get(name, name)) != name:
            name = above
        return name

    first: dict[tuple[str, str], str] = {}
    for step in topology.steps.values():
        near = list(step.parents)
        for shared in _shared(step):
            near.append(first.setdefault(shared, step.name))
        for other in near:
            if find(other) != find(step.name):
                joined[find(step.name)] = find(other)

    found: dict[str, list[str]] = {}
    for name in topology.steps:
        found.setdefault(find(name), []).append(name)
    if topology.naming == "kafka_streams":
        return sorted(found.values(), key=lambda names: first_source(topology.steps[name] for name in names))
    return list(found.values())


def _shared(step: Step) -> list[tuple[str, str]]:
    """What makes this step one with others: its stores and the topics it reads."""
    if isinstance(step.meaning, Source):
        pattern = step.meaning.pattern
        return [("topic", topic) for topic in step.meaning.topics] + ([("pattern", pattern.pattern)] if pattern else [])
    return [("store", store) for store in stores_of(step)]


def first_source(steps: Iterable[Step]) -> tuple[bool, str]:
    """What the place of a sub-topology follows from in Kafka Streams' order; those that read a merged repartition
    topic come last."""
    sources = (step.name for step in steps if isinstance(step.meaning, Source))
    return min(((name.endswith("-repartition-source"), name) for name in sources), default=(False, ""))
