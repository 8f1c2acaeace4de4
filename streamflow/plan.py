"""From a graph to what runs: sub-topologies, their tasks, and the internal topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamflow.state.spec import StoreSpec
from streamflow.topic import NewTopic
from streamflow.topology import Step


@dataclass(frozen=True)
class SubTopology:
    """Steps that share records or stores, so one task runs them together.

    ``name`` is stable: it derives from sources and stores, not from ``number``, because transactional ids,
    directories and fencing between versions of a script rest on it. ``topics`` are full names. ``changelogs``
    maps each logged store to its changelog topic; ``sinks`` maps each sink step with a fixed topic to its full name.
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


def task_name(sub: SubTopology, partition: int) -> str:
    """The name of a task: the same in every process that runs the same script."""
    return f"{sub.name}_{partition}"
