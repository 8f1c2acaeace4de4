"""Topics as they are asked for and as they are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streamflow.serdes import Serde

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class NewTopic:
    """A topic to create. ``config`` holds Kafka's names: ``cleanup.policy``, ``retention.ms``, ..."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict[str, str])
    internal: bool = False


@dataclass(frozen=True)
class TopicInfo:
    """A topic that exists. ``id`` differs between two lives of one name."""

    name: str
    partitions: int
    config: Mapping[str, str]
    id: str


@dataclass(frozen=True)
class Topic(Generic[K, V]):
    """A topic as a script declares it with `App.topic`: how its keys and values are read and written."""

    name: str
    key: Serde[K]
    value: Serde[V]
