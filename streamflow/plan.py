"""From a graph to what runs: sub-topologies, their tasks, and the internal topics.

A **sub-topology** is what hangs together through records, stores or a topic
read twice; between two of them lies a repartition topic. A **task** is one
partition of it.

Its **name** is that of the first topic it reads as a stream (of the first table
if there is none). It has to outlive changes of the script, because
transactional ids and directories rest on it; so it is not the number, and a
table joined later does not change it.

A **fingerprint** says of a store what its bytes rest on: the kind of step that
keeps it, the serdes by name, and the windows' size and advance. Functions are
not in it, nor fields of a dataclass (a serde is named after its type): they may
change, and a change that cannot read old values shows when one is read. Nor
are steps without a store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from streamflow.errors import TopologyError
from streamflow.naming import anchor_of
from streamflow.operators.process import Process
from streamflow.partitions import Counts, count_partitions
from streamflow.serdes import for_topic
from streamflow.state.spec import StoreSpec
from streamflow.topic import NewTopic
from streamflow.topology import GlobalSource, Sink, Source, Step, Topology, external_topics, groups, stores_of
from streamflow.windows import SlidingWindow, TimeWindow

DAY_MS = 86_400_000
GLOBAL = "~"
"""No topic can be called so, and so no task."""
LONGEST = 249
_REPARTITION = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "segment.bytes": "52428800",
    "message.timestamp.type": "CreateTime",
}


@dataclass(frozen=True)
class SubTopology:
    """Steps that share records or stores, so one task runs them together.

    ``name`` is stable: it derives from sources and stores, not from ``number``, because transactional ids,
    directories and fencing between versions of a script rest on it. ``topics`` are full names. ``changelogs``
    maps each logged store to its changelog topic, ``reused`` each table to the topic it is read from, where that serves
    as its changelog; ``sinks`` maps each sink step with a fixed topic to its full name.
    ``fingerprints`` has one per store, to be compared with the store's own; ``fingerprint`` is one for all of them.
    """

    number: int
    name: str
    steps: tuple[Step, ...]
    topics: Mapping[str, tuple[str, ...]]  # source step -> topics it reads
    stores: tuple[StoreSpec, ...]
    changelogs: Mapping[str, str]
    sinks: Mapping[str, str]
    partitions: int
    fingerprint: str
    fingerprints: Mapping[str, str] = field(default_factory=dict[str, str])
    reused: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def inputs(self) -> frozenset[str]:
        """Every topic its tasks read."""
        return frozenset(topic for topics in self.topics.values() for topic in topics)


@dataclass(frozen=True)
class Plan:
    """All that a worker runs. A task is named ``<sub-topology>_<partition>``."""

    app_id: str
    subtopologies: tuple[SubTopology, ...]
    internal_topics: tuple[NewTopic, ...]
    partitions: Mapping[str, int]  # of every topic named, internal ones too
    globals: tuple[SubTopology, ...] = ()
    """Tables that every worker has whole, each as one that keeps a store and runs no steps. The table's own topic is
    the store's changelog. One that has steps is filled by a processor: its store is one for all partitions of the
    topic, and has no changelog."""


def task_name(sub: SubTopology, partition: int) -> str:
    """The name of a task: the same in every process that runs the same script."""
    return f"{sub.name}_{partition}"


def needed_topics(topology: Topology, partitions: int = 4) -> tuple[NewTopic, ...]:
    """The external topics that a script names, as they would be made; ``partitions`` where it does not say.

    Patterns and topics that are computed per record are not among them.
    """
    found: list[NewTopic] = []
    for name in external_topics(topology):
        declared = topology.topics.get(name, NewTopic(name, 0))
        found.append(NewTopic(name, declared.partitions or partitions, declared.config))
    return tuple(found)


def plan(topology: Topology, app_id: str, partitions: Mapping[str, int], topics: Iterable[str] | None = None) -> Plan:
    """What a worker of ``app_id`` runs.

    ``partitions`` has the partition count of every external topic there is; ``topics`` are the names that patterns
    are matched against, those of ``partitions`` if not given. Raises `TopologyError` when a source's topic does not
    exist, or when topics whose keys must meet have different partition counts.
    """
    counts = Counts(topology, app_id, partitions, tuple(partitions if topics is None else topics))
    parts = _united(groups(topology), counts)
    count_partitions(counts, parts)
    names = _names(topology, parts)
    subs = tuple(
        _sub(topology, app_id, counts, number, name, steps)
        for number, (name, steps) in enumerate(zip(names, parts, strict=True))
    )
    internal = (*_repartitions(topology, counts), *_changelogs(topology, subs))
    for topic in internal:
        if len(topic.name) > LONGEST:
            raise TopologyError(
                f"the internal topic '{topic.name}' has a name of {len(topic.name)} letters and Kafka takes {LONGEST}; "
                f"give the app or the step a shorter name"
            )
    known = {name: partitions[name] for name in external_topics(topology) if name in partitions}
    known |= {topic: counts.of(topic) for sub in subs for topic in sub.inputs}
    tables = tuple(_global(table, partitions) for table in topology.globals.values())
    return Plan(app_id, subs, internal, known | {topic.name: topic.partitions for topic in internal}, tables)


def _global(table: GlobalSource, partitions: Mapping[str, int]) -> SubTopology:
    if table.topic not in partitions:
        raise TopologyError(f"step '{table.step}' ({table.where}) reads topic '{table.topic}', which does not exist")
    steps: tuple[Step, ...] = ()
    if table.processor is not None:
        filling = Process(table.processor, (table.store.name,))
        source = Step(table.source_step, table.source, where=table.where)
        steps = (source, Step(table.step, filling, (table.source_step,), where=table.where))
    return SubTopology(
        number=-1,
        name=f"{GLOBAL}{table.store.name}",
        steps=steps,
        topics={table.source_step: (table.topic,)},
        stores=(table.store if steps else _kept_in(table.topic, table.store),),
        changelogs={} if steps else {table.store.name: table.topic},
        sinks={},
        partitions=1 if steps else partitions[table.topic],
        fingerprint="",
        fingerprints={},
    )


def _united(parts: list[list[str]], counts: Counts) -> list[list[str]]:
    """Sub-topologies, put together where a pattern turns out to match a topic that another one reads."""
    united: list[tuple[set[str], list[str]]] = []
    for steps in parts:
        topics = {topic for step in steps for topic in counts.topics.get(step, ())}
        for other in [each for each in united if each[0] & topics]:
            united.remove(other)
            topics, steps = topics | other[0], other[1] + steps
        united.append((topics, steps))
    return [sorted(steps, key=counts.order.__getitem__) for _, steps in united]


def _names(topology: Topology, parts: list[list[str]]) -> list[str]:
    names: list[str] = []
    for steps in parts:
        sources = [step for name in steps if isinstance((step := topology.steps[name]).meaning, Source)]
        tables = {parent for name in steps if topology.steps[name].table for parent in topology.steps[name].parents}
        # What a foreign-key join writes comes later, and changes no name.
        own = [step for step in sources if not _is_internal(step, topology, "topic")] or sources
        leading = next((s for s in own if s.name not in tables or _is_internal(s, topology, "repartition")), own[0])
        assert isinstance(leading.meaning, Source)
        pattern = leading.meaning.pattern
        name = anchor_of(leading.meaning.topics[:1], pattern.pattern if pattern else None)
        names.append(name if name not in names else f"{name}-{sum(each.startswith(name) for each in names) + 1}")
    return names


def _is_internal(step: Step, topology: Topology, suffix: str) -> bool:
    name = step.meaning.repartition if isinstance(step.meaning, Source) else None
    return name is not None and topology.repartitions[name].suffix == suffix


def _sub(topology: Topology, app_id: str, counts: Counts, number: int, name: str, steps: list[str]) -> SubTopology:
    mine = tuple(_addressed(topology.steps[step], app_id) for step in steps)
    used = dict.fromkeys(store for step in mine for store in stores_of(step))
    kept = [spec for spec in topology.stores.values() if spec.name in used]
    changelogs = {
        spec.name: f"{app_id}-{spec.name}-changelog" for spec in kept if spec.logged and spec.source_topic is None
    }
    reused = {spec.name: spec.source_topic for spec in kept if spec.source_topic is not None}
    stores = tuple(_kept_in(changelogs.get(spec.name) or reused.get(spec.name), spec) for spec in kept)
    fingerprints = {spec.name: _fingerprint(spec, mine) for spec in stores}
    return SubTopology(
        number=number,
        name=name,
        steps=mine,
        topics={step.name: counts.topics[step.name] for step in mine if isinstance(step.meaning, Source)},
        stores=stores,
        changelogs=changelogs,
        sinks={
            step.name: topic if step.meaning.repartition is None else f"{app_id}-{topic}"
            for step in mine
            if isinstance(step.meaning, Sink) and isinstance(topic := step.meaning.topic, str)
        },
        partitions=max(counts.of(topic) for step in steps for topic in counts.topics.get(step, ())),
        fingerprint=_digest(fingerprints),
        fingerprints=fingerprints,
        reused=reused,
    )


def _addressed(step: Step, app_id: str) -> Step:
    """A sink whose serdes know its topic. What goes to a topic of others is written anew, for its schema stands there
    under a subject of its own; in our own topics bytes may stay as they came."""
    sink = step.meaning
    if not isinstance(sink, Sink) or not isinstance(sink.topic, str):
        return step
    topic = sink.topic if sink.repartition is None else f"{app_id}-{sink.topic}"
    key, value = for_topic(sink.key, topic, "key"), for_topic(sink.value, topic, "value")
    if sink.repartition is None:
        key = key if key is sink.key else replace(key, name=f"{key.name} in {topic}")
        value = value if value is sink.value else replace(value, name=f"{value.name} in {topic}")
    return replace(step, meaning=replace(sink, key=key, value=value))


def _kept_in(changelog: str | None, spec: StoreSpec) -> StoreSpec:
    """A store whose serdes know its changelog."""
    if changelog is None or (spec.key.of_topic is None and spec.value.of_topic is None):
        return spec
    return replace(spec, key=for_topic(spec.key, changelog, "key"), value=for_topic(spec.value, changelog, "value"))


def _fingerprint(spec: StoreSpec, steps: Iterable[Step]) -> str:
    """In words, so that a refusal can show what was and what is."""
    text = f"{spec.kind} {spec.key.name} -> {spec.value.name}"
    for step in steps:
        if step.table and spec.name in stores_of(step):
            window = getattr(step.meaning, "window", None)
            text += f", {type(step.meaning).__name__} '{step.name}'"
            text += "" if window is None else f" of {_spelled(window)}"
    return text if spec.source_topic is None else f"{text}, read back from '{spec.source_topic}'"


def _spelled(window: object) -> str:
    """What of a window its rows rest on."""
    match window:
        case TimeWindow(size_ms=size, advance_ms=advance):
            return f"{size} ms every {advance} ms"
        case SlidingWindow(difference_ms=difference):
            return f"{difference} ms, sliding"
        case _:
            return "spans that the records tell"


def _digest(fingerprints: Mapping[str, str]) -> str:
    text = "\n".join(f"{name}: {fingerprints[name]}" for name in sorted(fingerprints))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _repartitions(topology: Topology, counts: Counts) -> Iterable[NewTopic]:
    for name in topology.repartitions:
        topic = counts.full(name)
        yield NewTopic(topic, counts.of(topic), _REPARTITION, internal=True)


def _changelogs(topology: Topology, subs: Iterable[SubTopology]) -> Iterable[NewTopic]:
    for sub in subs:
        for spec in sub.stores:
            if spec.logged and spec.source_topic is None:
                yield NewTopic(sub.changelogs[spec.name], sub.partitions, _changelog_config(spec), internal=True)


def _changelog_config(spec: StoreSpec) -> dict[str, str]:
    if not spec.segmented:
        return {"cleanup.policy": "compact"}
    # Retention would count the timestamps of the records, and old data would be gone at once: so it counts arrival.
    return {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(spec.retention_ms + DAY_MS),
        "message.timestamp.type": "LogAppendTime",
    }
