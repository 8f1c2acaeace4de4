"""How many partitions each topic has or must have.

An external topic has what it has. A repartition topic has what the user said;
else as many as the topics whose keys its records must meet; else as many as the
largest topic that its records come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from streamflow.errors import TopologyError
from streamflow.topology import Sink, Source, Step, Topology, keepers


class Counts:
    """The topics of each source step, with full names, and what is known of their partition counts."""

    def __init__(self, topology: Topology, app_id: str, external: Mapping[str, int], existing: Sequence[str]) -> None:
        self.topology = topology
        self.app_id = app_id
        self.order = {name: place for place, name in enumerate(topology.steps)}
        self._external = external
        self._internal = {
            self.full(name): made.partitions for name, made in topology.repartitions.items() if made.partitions
        }
        self.topics = {
            step.name: self._topics_of(step.meaning, existing)
            for step in topology.steps.values()
            if isinstance(step.meaning, Source)
        }

    def full(self, repartition: str) -> str:
        """A repartition topic's name in the log."""
        return f"{self.app_id}-{repartition}-{self.topology.repartitions[repartition].suffix}"

    def known(self, topic: str) -> int | None:
        """The partition count of a topic, None as long as it is not decided."""
        return self._internal.get(topic, self._external.get(topic) if not self.is_internal(topic) else None)

    def of(self, topic: str) -> int:
        """The partition count of a topic, once all are decided."""
        found = self.known(topic)
        assert found is not None, topic
        return found

    def decide(self, topic: str, partitions: int) -> None:
        """Settle the count of a repartition topic."""
        self._internal[topic] = partitions

    def is_internal(self, topic: str) -> bool:
        """Whether it is a repartition topic of this application."""
        return topic in {self.full(name) for name in self.topology.repartitions}

    def _topics_of(self, source: Source, existing: Sequence[str]) -> tuple[str, ...]:
        if source.repartition is not None:
            return (self.full(source.repartition),)
        if source.pattern is None:
            return source.topics
        ours = f"{self.app_id}-"
        return tuple(
            sorted(
                topic
                for topic in existing
                if source.pattern.fullmatch(topic)
                and not (topic.startswith(ours) and topic.endswith(("-changelog", "-repartition")))
                and not self.is_internal(topic)
            )
        )


def count_partitions(counts: Counts, parts: Sequence[Sequence[str]]) -> None:
    """Decide the count of every repartition topic; ``parts`` are the steps of each sub-topology."""
    _check_there(counts, parts)
    meeting = _meeting(counts)
    for topics in meeting:
        _check_equal(counts, topics)
    undecided = [topic for name in counts.topology.repartitions if counts.known(topic := counts.full(name)) is None]
    alike = [[topic for topic in topics if topic in undecided] for topics in meeting]
    alike += [[topic] for topic in undecided if not any(topic in topics for topics in alike)]
    todo = [(topics, {up for topic in topics for up in _above(counts, parts, topic)} - {*topics}) for topics in alike]
    todo = [(topics, above) for topics, above in todo if topics]
    while todo:
        # Where records come back to where they were, nobody is first: then what is known of the others decides.
        first = next((each for each in todo if all(counts.known(topic) for topic in each[1])), todo[0])
        for topic in first[0]:
            counts.decide(topic, max((counts.known(above) or 0 for above in first[1]), default=0) or 1)
        todo.remove(first)


def _meeting(counts: Counts) -> list[list[str]]:
    """Sets of topics that must have equal counts, put together where they overlap."""
    found: list[set[str]] = []
    for steps in counts.topology.copartitions:
        topics = {topic for step in steps for topic in counts.topics[step]}
        for other in [each for each in found if each & topics]:
            found.remove(other)
            topics |= other
        found.append(topics)
    return [sorted(topics) for topics in found if len(topics) > 1]


def _check_there(counts: Counts, parts: Sequence[Sequence[str]]) -> None:
    for steps in parts:
        for name in steps:
            for topic in counts.topics.get(name, ()):
                if not counts.is_internal(topic) and counts.known(topic) is None:
                    step = counts.topology.steps[name]
                    raise TopologyError(f"step '{name}' ({step.where}) reads topic '{topic}', which does not exist")
        sources = [name for name in steps if name in counts.topics]
        if not any(counts.topics[name] for name in sources):
            source = counts.topology.steps[sources[0]].meaning
            assert isinstance(source, Source) and source.pattern is not None
            raise TopologyError(
                f"step '{sources[0]}' reads the topics that match '{source.pattern.pattern}', and there is none; "
                f"create one first"
            )


def _check_equal(counts: Counts, topics: Sequence[str]) -> None:
    """Settle the open ones of topics that must be equal, or refuse."""
    external = [topic for topic in topics if not counts.is_internal(topic)]
    decided = [topic for topic in topics if counts.is_internal(topic) and counts.known(topic) is not None]
    if len({counts.of(topic) for topic in [*external, *decided]}) > 1:
        _refuse(counts, [*external, *decided])
    for topic in topics:
        if counts.known(topic) is None and (external or decided):
            counts.decide(topic, counts.of((external or decided)[0]))


def _refuse(counts: Counts, topics: Sequence[str]) -> NoReturn:
    listed = ", ".join(f"'{topic}' has {counts.of(topic)}" for topic in topics)
    meets = (step for step in counts.topology.steps.values() if len(_topics(counts, step) & set(topics)) > 1)
    step = next(meets, None)
    who = "" if step is None else f"step '{step.name}' ({step.where}): "
    raise TopologyError(
        f"{who}topics whose keys must meet have different partition counts: {listed}; "
        f"put .repartition() behind one of them, or make them with equal counts"
    )


def _topics(counts: Counts, step: Step) -> set[str]:
    """The topics from which a step's records come, and those of the tables that it looks into."""
    found: set[str] = set()
    seen: set[str] = set()
    todo = [step.name]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            found.update(counts.topics.get(name, ()))
            todo.extend(counts.topology.steps[name].parents)
            todo.extend(keepers(counts.topology, counts.topology.steps[name]))
    return found


def _above(counts: Counts, parts: Sequence[Sequence[str]], topic: str) -> set[str]:
    """The topics read by the sub-topology that writes a repartition topic, itself left out."""
    steps = counts.topology.steps
    for part in parts:
        for name in part:
            meaning = steps[name].meaning
            if isinstance(meaning, Sink) and meaning.repartition and counts.full(meaning.repartition) == topic:
                return {each for step in part for each in counts.topics.get(step, ())} - {topic}
    return set()
