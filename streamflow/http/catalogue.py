"""The topics of an application: what part each plays, and how its keys and values are read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamflow.plan import Plan
from streamflow.serdes import Serde, raw
from streamflow.topology import Sink, Source

DEAD_LETTERS = "dead letters"
_INTERNAL = ("repartition", "changelog", DEAD_LETTERS)


@dataclass(frozen=True)
class KnownTopic:
    """One topic. ``roles`` are of ``source, global table, sink, repartition, changelog, dead letters``.

    ``partitioner`` is the one with which a sink of the application places what it writes there, if it has its own.
    """

    name: str
    roles: tuple[str, ...]
    key: Serde[Any]
    value: Serde[Any]
    partitions: int
    internal: bool = False
    partitioner: Callable[[str, Any, Any, int], int] | None = None

    @property
    def takes_events(self) -> bool:
        """Whether events may be written to it over HTTP: what the application reads from outside."""
        return not self.internal and ("source" in self.roles or "global table" in self.roles)


def catalogue(plan: Plan, dead_letters: str = "") -> dict[str, KnownTopic]:
    """Every topic of a plan by name. A topic that is read and written is shown as it is read."""
    roles: dict[str, dict[str, None]] = {}
    serdes: dict[str, tuple[Serde[Any], Serde[Any]]] = {}
    partitioners: dict[str, Callable[[str, Any, Any, int], int]] = {}

    def add(topic: str, role: str, key: Serde[Any], value: Serde[Any]) -> None:
        roles.setdefault(topic, {})[role] = None
        serdes.setdefault(topic, (key, value))

    internal = {topic.name for topic in plan.internal_topics}
    for sub in plan.subtopologies:
        for step in sub.steps:
            if isinstance(source := step.meaning, Source):
                for topic in sub.topics[step.name]:
                    add(topic, "repartition" if topic in internal else "source", source.key, source.value)
    for sub in plan.globals:
        for step_name, topics in sub.topics.items():
            meaning = next((step.meaning for step in sub.steps if step.name == step_name), None)
            reads = meaning if isinstance(meaning, Source) else sub.stores[0]
            for topic in topics:
                add(topic, "global table", reads.key, reads.value)
    for sub in plan.subtopologies:
        for step in sub.steps:
            if isinstance(sink := step.meaning, Sink) and (to := sub.sinks.get(step.name)) is not None:
                add(to, "repartition" if to in internal else "sink", sink.key, sink.value)
                if sink.partitioner is not None:
                    partitioners[to] = sink.partitioner
        for spec in sub.stores:
            if (changelog := sub.changelogs.get(spec.name, "")) in internal:
                add(changelog, "changelog", spec.key if spec.kind == "key_value" else raw, _plain_value(spec))
    if dead_letters in plan.partitions:
        add(dead_letters, DEAD_LETTERS, raw, raw)
    return {
        name: KnownTopic(
            name,
            tuple(of),
            *serdes[name],
            plan.partitions[name],
            any(role in _INTERNAL for role in of),
            partitioners.get(name),
        )
        for name, of in roles.items()
        if name in plan.partitions
    }


def _plain_value(spec: Any) -> Serde[Any]:
    return spec.value if spec.kind == "key_value" else raw
