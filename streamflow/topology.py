"""The graph: steps joined by names. Nothing runs here.

A `Topology` is what the fluent words build and what the plan cuts into
sub-topologies. Steps stand in the order in which they were declared, so a
parent always stands before its children.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamflow.operators.contract import Operator
from streamflow.serdes import Serde
from streamflow.state.spec import StoreSpec


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

    ``change`` sinks carry table changes to a repartition topic (old and new value in one record, or in two
    when their keys differ). ``drop_null_keys`` is for repartition topics.
    """

    topic: str | Callable[[Any, Any, Any], str]
    key: Serde[Any]
    value: Serde[Any]
    partitioner: Callable[[str, Any, Any, int], int] | None = None
    headers: Callable[..., Any] | None = None
    repartition: str | None = None


@dataclass(frozen=True)
class Repartition:
    """An internal topic that moves records to the partition of their new key. ``partitions`` None: as its inputs have."""

    name: str
    partitions: int | None = None


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
class Topology:
    """Steps, stores and repartition topics by name, in the order they were declared."""

    steps: Mapping[str, Step] = field(default_factory=dict[str, Step])
    stores: Mapping[str, StoreSpec] = field(default_factory=dict[str, StoreSpec])
    repartitions: Mapping[str, Repartition] = field(default_factory=dict[str, Repartition])
    copartitions: tuple[frozenset[str], ...] = ()
    """Sets of source steps whose topics must have equal partition counts."""
