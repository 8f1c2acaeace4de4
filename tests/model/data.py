"""What one task of the model reads, keeps and writes.

Two inputs, one output, two stores. ``counts`` counts the records of each key;
``toggles`` holds a key after its first, third, ... record and deletes it after
the second, fourth, ... A record of key ``FILTERED`` has no effect but to move
the input position. One output record says for which input record it stands,
the count, and whether the toggle was set, so the outputs alone show whether
the two stores and the inputs were ever out of step.

The meta record of a commit lies in the changelog of the first store. Every
other changelog a commit writes to carries the bare sequence number (its mark):
without it nobody could tell that an old leader showed only part of *that*
changelog.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

INPUTS = ("in-0", "in-1")
OUTPUT = "out"
COUNTS = "counts-changelog"
TOGGLES = "toggles-changelog"
CHANGELOGS = (COUNTS, TOGGLES)
DESIGNATED = COUNTS

KEYS = ("a", "b", "c", "filtered")
FILTERED = "filtered"
TOGGLED = ("a", "b")
META = "\0meta"

Change = tuple[str, Any]
"""Key and value for a changelog; value None is a tombstone."""


class Output(NamedTuple):
    """One record of the output topic."""

    source: str
    uid: int
    key: str
    total: int
    toggle: bool | None


class Meta(NamedTuple):
    """What a commit says about itself. ``touched``: per changelog, the last commit that wrote to it."""

    seq: int
    id: int
    inputs: Mapping[str, int]
    touched: Mapping[str, int]


NO_META = Meta(0, 0, {}, {})


@dataclass
class Work:
    """The effects of some input records, uncommitted."""

    inputs: dict[str, int]
    outputs: list[Output] = field(default_factory=list[Output])
    changes: dict[str, list[Change]] = field(default_factory=dict[str, list[Change]])
    meta: Meta = NO_META


class Committed(NamedTuple):
    """The commit is visible; per changelog written, the position after its last record."""

    ends: Mapping[str, int]


class Fenced(NamedTuple):
    """A newer owner exists (or the coordinator expired the transaction)."""


class Doubtful(NamedTuple):
    """Nobody knows; recovery finds out."""


Outcome = Committed | Fenced | Doubtful
FENCED = Fenced()
DOUBTFUL = Doubtful()
