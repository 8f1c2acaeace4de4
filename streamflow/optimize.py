"""What ``App(optimize="all")`` changes in a graph: fewer topics and fewer stores, the same results.

    a table read from a topic      is restored from that topic, and has no changelog of its own
    repartitions of one stream     share one topic
    a stream joined with itself    keeps its records once

Kafka Streams calls these ``reuse.ktable.source.topics``, ``merge.repartition.topics`` and
``single.store.self.join``. They change where state and records in flight lie, so an application that has run without
them begins anew (`streamflow reset`) or under another id.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamflow.operators.keeps import Keeps
from streamflow.operators.merge import Merge
from streamflow.operators.process import Process, TableTransform
from streamflow.operators.repartition_filter import DropNullKeys
from streamflow.operators.self_join import StreamSelfJoin
from streamflow.operators.stream_join import StreamStreamJoin
from streamflow.operators.table_source import TableSource
from streamflow.serdes import presence
from streamflow.topology import Sink, Source, Step, Topology, stores_of

__all__ = ["optimized"]


def optimized(topology: Topology) -> Topology:
    """The same application with less to keep."""
    return _join_self_once(_merge_repartitions(_reuse_topics(topology)))


def _reuse_topics(topology: Topology) -> Topology:
    stores = dict(topology.stores)
    written = {
        name
        for step in topology.steps.values()
        if isinstance(step.meaning, Process | TableTransform)
        for name in stores_of(step)
    }
    for step in topology.steps.values():
        if type(step.meaning) is not TableSource or step.meaning.store is None:
            continue
        source, spec = topology.steps[step.parents[0]].meaning, stores[step.meaning.store]
        # What forgets by itself must write down what it forgot, and a processor may put what it likes.
        if not isinstance(source, Source) or source.repartition is not None:
            continue
        if spec.logged and not spec.ttl_ms and spec.name not in written:
            stores[spec.name] = replace(spec, source_topic=source.topics[0])
    return replace(topology, stores=stores)


# --- repartition topics


def _merge_repartitions(topology: Topology) -> Topology:
    """Of the repartition topics that one step feeds alike, the first stands for all."""
    for routes in _alike(topology):
        topology = _merged(topology, routes)
    return topology


class _Route:
    """A repartition topic with the steps around it."""

    def __init__(self, topology: Topology, sink: Step, meaning: Sink) -> None:
        steps = topology.steps
        self.topic = meaning.repartition or ""
        self.sink, self.meaning = sink, meaning
        self.source = next(
            step
            for step in steps.values()
            if isinstance(step.meaning, Source) and step.meaning.repartition == self.topic
        )
        above = steps[sink.parents[0]]
        # The step in front of the sink drops null keys, or passes them on where a join needs them.
        self.filter = above if above.name in _filters(topology) else None
        self.origin = above.parents[0] if self.filter is not None else above.name


def _filters(topology: Topology) -> set[str]:
    sinks = [step for step in topology.steps.values() if isinstance(step.meaning, Sink) and step.meaning.repartition]
    above = [topology.steps[step.parents[0]] for step in sinks]
    fed = {step.name: [s for s in topology.steps.values() if step.name in s.parents] for step in above}
    return {
        step.name
        for step in above
        if isinstance(step.meaning, DropNullKeys) or (isinstance(step.meaning, Merge) and len(step.parents) == 1)
        if len(fed[step.name]) == 1
    }


def _alike(topology: Topology) -> list[list[_Route]]:
    groups: dict[tuple[Any, ...], list[_Route]] = {}
    for step in topology.steps.values():
        sink = step.meaning
        if not isinstance(sink, Sink) or sink.repartition is None or len(step.parents) != 1 or sink.partitioner:
            continue
        kind = topology.repartitions[sink.repartition]
        if kind.suffix == "repartition":
            route = _Route(topology, step, sink)
            groups.setdefault((route.origin, sink.key.name, kind.partitions), []).append(route)
    return [part for routes in groups.values() for part in _of_one_value(routes) if len(part) > 1]


def _of_one_value(routes: list[_Route]) -> list[list[_Route]]:
    """Those whose values are written alike. Who only counts takes values of any kind."""
    told = dict.fromkeys(name for route in routes if presence.name not in (name := route.meaning.value.name))
    if len(told) < 2:
        return [routes]
    return [[route for route in routes if route.meaning.value.name == name] for name in told]


def _merged(topology: Topology, routes: list[_Route]) -> Topology:
    first, *others = routes
    name = first.topic
    value = next(
        (route.meaning.value for route in routes if presence.name not in route.meaning.value.name), first.meaning.value
    )
    passes_null_keys = next((r.filter for r in routes if r.filter and isinstance(r.filter.meaning, Merge)), None)
    steps = dict(topology.steps)
    renamed: dict[str, str] = {}
    if topology.naming == "kafka_streams":
        around = zip(("filter", "sink", "source"), (first.filter, first.sink, first.source), strict=True)
        renamed = {step.name: f"{name}-repartition-{part}" for part, step in around if step is not None}
    for route in others:
        for step in (route.filter, route.sink, route.source):
            if step is not None:
                del steps[step.name]
        renamed[route.source.name] = renamed.get(first.source.name, first.source.name)
    if passes_null_keys is not None and first.filter is not None:
        steps[first.filter.name] = replace(first.filter, meaning=passes_null_keys.meaning)
    steps[first.sink.name] = replace(first.sink, meaning=replace(first.meaning, value=value))
    assert isinstance(first.source.meaning, Source)
    steps[first.source.name] = replace(first.source, meaning=replace(first.source.meaning, value=value))
    gone = {route.topic for route in others}
    return replace(
        topology,
        steps=_renamed(steps, renamed),
        repartitions={topic: kind for topic, kind in topology.repartitions.items() if topic not in gone},
        copartitions=tuple(
            dict.fromkeys(frozenset(renamed.get(name, name) for name in together) for together in topology.copartitions)
        ),
    )


def _renamed(steps: dict[str, Step], names: dict[str, str]) -> dict[str, Step]:
    return {
        names.get(name, name): replace(
            step, name=names.get(name, name), parents=tuple(names.get(parent, parent) for parent in step.parents)
        )
        for name, step in steps.items()
    }


# --- joins of a stream with itself


def _join_self_once(topology: Topology) -> Topology:
    for step in list(topology.steps.values()):
        if isinstance(step.meaning, StreamStreamJoin) and step.meaning.waiting is None:
            this, that = (topology.steps[parent] for parent in step.parents)
            one, two = topology.steps[this.parents[0]], topology.steps[that.parents[0]]
            if one.parents == two.parents and all(isinstance(s.meaning, Keeps) for s in (one, two, this, that)):
                topology = _joined_once(topology, step, step.meaning, one, (two, this, that))
    return topology


def _joined_once(
    topology: Topology, step: Step, meaning: StreamStreamJoin, one: Step, others: tuple[Step, ...]
) -> Topology:
    gone = {other.name for other in others}
    steps = {name: each for name, each in topology.steps.items() if name not in gone}
    alone = StreamSelfJoin(meaning.f, meaning.left_store, meaning.before_ms, meaning.after_ms, meaning.grace_ms)
    steps[step.name] = replace(step, meaning=alone, parents=(one.name,))
    stores = dict(topology.stores)
    dropped = stores.pop(meaning.right_store)
    kept = stores[meaning.left_store]
    stores[kept.name] = replace(kept, retention_ms=max(kept.retention_ms, dropped.retention_ms))
    return replace(topology, steps=steps, stores=stores)
