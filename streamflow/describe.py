"""Kafka Streams' text of a topology, byte for byte, so that its readers and tools can be used.

The order in it is the reference's, and not obvious: steps stand by the size of
what lies below them, larger first, then by name; but a step's children stand
by the sizes known when each was noted, while the reference walks its steps in
the order of a Java hash map. So that walk is done here as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from streamflow.operators.keeps import Keeps
from streamflow.operators.self_join import StreamSelfJoin
from streamflow.topology import Sink, Source, Step, Topology, first_source, groups, stores_of


@dataclass
class _Node:
    """A step and, once connected, its neighbours; ``size`` counts what lies below it, as the reference does."""

    step: Step
    size: int = 1
    above: list[_Node] = field(default_factory=list["_Node"])
    below: list[_Node] = field(default_factory=list["_Node"])


def describe(topology: Topology) -> str:
    """The text of ``topology``."""
    parts = ["Topologies:\n "]
    for number, (steps, of) in enumerate(_groups(topology)):
        parts.append(f"  Sub-topology: {number}{of}\n")
        nodes = _connected(steps)
        parts.extend(_text(node) for node in sorted(nodes, key=_rank))
        parts.append("" if of else "\n")
    return "".join(parts)


def _groups(topology: Topology) -> list[tuple[list[Step], str]]:
    """The steps of each sub-topology, with those of tables that every worker has whole."""
    found = [([topology.steps[name] for name in names], "") for names in groups(topology)]
    for table in topology.globals.values():
        source = Step(table.source_step, table.source)
        kept = Step(table.step, Keeps((table.store.name,)), (table.source_step,))
        found.append(([source, kept], " for global store (will not generate tasks)"))
    if topology.naming == "kafka_streams":
        found.sort(key=lambda group: first_source(group[0]))
    return found


def _connected(steps: Iterable[Step]) -> list[_Node]:
    nodes = {step.name: _Node(step) for step in steps}
    ordered = [nodes[name] for name in java_order(nodes)]
    for node in ordered:
        for parent in node.step.parents:
            above = nodes[parent]
            _insert(node.above, above)
            _insert(above.below, node)
            _grow(above, node.size)
    return ordered


def _rank(node: _Node) -> tuple[int, str]:
    return -node.size, node.step.name


def _insert(nodes: list[_Node], node: _Node) -> None:
    """Before the first that comes after it, as things stand now; those already there may have changed their order."""
    place = next((place for place, other in enumerate(nodes) if _rank(node) < _rank(other)), len(nodes))
    nodes.insert(place, node)


def _grow(node: _Node, by: int) -> None:
    node.size += by
    for above in node.above:
        _grow(above, by)


def _text(node: _Node) -> str:
    step = node.step
    lines = [f"    {_head(node)}\n"]
    if not isinstance(step.meaning, Sink):
        lines.append(f"      --> {_names(node.below)}\n")
    if not isinstance(step.meaning, Source):
        lines.append(f"      <-- {_names(node.above)}\n")
    return "".join(lines)


def _head(node: _Node) -> str:
    step, meaning = node.step, node.step.meaning
    if isinstance(meaning, Source):
        topics = meaning.pattern.pattern if meaning.pattern else f"[{', '.join(meaning.topics)}]"
        return f"Source: {step.name} (topics: {topics})"
    if isinstance(meaning, Sink):
        if isinstance(meaning.topic, str):
            return f"Sink: {step.name} (topic: {meaning.topic})"
        return f"Sink: {step.name} (extractor: {getattr(meaning.topic, '__qualname__', 'function')})"
    shown_above = not isinstance(meaning, Keeps | StreamSelfJoin) and any(
        isinstance(above.step.meaning, Keeps) for above in node.above
    )
    unshown = getattr(meaning, "unshown", ())
    stores = () if shown_above else [store for store in stores_of(step) if store not in unshown]
    return f"Processor: {step.name} (stores: [{', '.join(java_order(stores))}])"


def _names(nodes: list[_Node]) -> str:
    return ", ".join(node.step.name for node in nodes) or "none"


def java_order(names: Iterable[str]) -> list[str]:
    """The order in which a Java hash map gives its keys: by bucket, then by insertion.

    >>> java_order(["sp-a", "sp-2", "sp-0"])
    ['sp-a', 'sp-0', 'sp-2']
    """
    names = list(names)
    buckets = 16
    while len(names) > buckets * 0.75:
        buckets *= 2
    return sorted(names, key=lambda name: _spread(name) & (buckets - 1))


def _spread(name: str) -> int:
    code = 0
    for letter in name:
        code = (code * 31 + ord(letter)) & 0xFFFFFFFF
    return code ^ (code >> 16)
