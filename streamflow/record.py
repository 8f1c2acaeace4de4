"""The values that flow: a record, a windowed key, and where a record lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

K = TypeVar("K")
V = TypeVar("V")

Headers = Sequence[tuple[str, bytes]]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Windowed(NamedTuple, Generic[K]):
    """A key and the window it fell in, in milliseconds since the epoch.

    ``end`` is exclusive for tumbling and hopping windows, inclusive for sliding
    and session ones.

    >>> Windowed("a", 0, 60_000).key
    'a'
    """

    key: K
    start: int
    end: int


class Change(NamedTuple, Generic[V]):
    """What a table change is as the value of one record: the new value and the one it replaces; None is "no row".

    Only a regrouped table sends these (`KTable.group_by`), because the sum of a group must be told what to take away.

    >>> Change(new=2, old=None).new
    2
    """

    new: V | None
    old: V | None


@dataclass(frozen=True, slots=True)
class Record(Generic[K, V]):
    """One record as a user sees it; ``timestamp`` is in milliseconds since the epoch.

    >>> Record("a", 1, 0).replace(value=2).value
    2
    """

    key: K
    value: V
    timestamp: int
    headers: Headers = ()

    def replace(self, **changes: Any) -> Record[Any, Any]:
        """A copy with the named fields changed."""
        return replace(self, **changes)
