"""Removing rows from the front of partitions: retention, delete-records, and what deleted topics left.

A partition's start moves first, in a small transaction, and is what readers see
from then on. The rows below it are removed afterwards, some at a time, so that
nobody waits long; a process that dies in between leaves work, not damage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamflow.log.embedded import batches, catalog
from streamflow.log.embedded.catalog import Policy
from streamflow.log.embedded.control import PARTITION, TRASH, Change, PartitionRow, View
from streamflow.record import TopicPartition

_AT_ONCE = 256  # rows removed in one transaction
_FRONT = "SELECT id, head, length(data) FROM batches WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
_LOOKED_AT = 10_000  # rows that one look at a partition goes through


@dataclass
class Chores:
    """What retention has found to do: partition id -> its new start, and partitions with rows to remove."""

    starts: dict[int, int]
    sweep: list[int]


def chores(view: View, now: int) -> Chores:
    """Look through all partitions; touches only what is expired."""
    found = Chores({}, [int(name) for _, name, _ in view.scan(TRASH)])
    for at, id, row, policy in catalog.partitions(view):
        start = expired(view, id, row, policy, now, catalog.place(at)) if policy.delete else row.start
        if start > row.start:
            found.starts[id] = start
        if start > row.first:
            found.sweep.append(id)
    return found


def expired(view: View, id: int, row: PartitionRow, policy: Policy, now: int, name: str) -> int:
    """Where the partition should begin, by the age of its rows since they were appended, and by its size."""
    if policy.retention_ms < 0 and policy.retention_bytes < 0:
        return row.start
    oldest = now - policy.retention_ms if policy.retention_ms >= 0 else -1
    most = policy.retention_bytes if policy.retention_bytes >= 0 else row.size
    start, size = row.start, row.size
    for looked, head in enumerate(batches.heads(view, id, row, row.start, name)):
        if looked >= _LOOKED_AT or (head.append_time >= oldest and size <= most):
            break
        size -= batches.size(view, id, head.base)
        start = head.next
    return start


def advance(change: Change, starts: Mapping[int, int]) -> None:
    """Move the starts of partitions forward; never back, never beyond the end."""
    for id, start in starts.items():
        row = change.get(PARTITION, str(id))
        if row is not None and row.start < start <= row.end:
            row.start = start
            row.cleaned = max(row.cleaned, start)
            change.put(PARTITION, row, str(id))


def delete_records(change: Change, before: Mapping[TopicPartition, int]) -> list[int]:
    """As `advance`, by name; gives the ids. `OffsetOutOfRange` for an offset beyond the end."""
    starts: dict[int, int] = {}
    for at, offset in before.items():
        id, row = catalog.partition(change, at)
        if offset > row.end:
            catalog.within(at, row, offset)
        starts[id] = offset
    advance(change, starts)
    return list(starts)


def sweep(change: Change, id: int) -> bool:
    """Remove some of the rows that nobody sees any more; whether there may be more."""
    row = change.get(PARTITION, str(id))
    below = batches.key(id, row.start) if row is not None else batches.key(id + 1, 0)
    low = batches.key(id, row.first if row is not None else 0)
    dead: list[tuple[int]] = []
    first = row.start if row is not None else 0
    for key, head, size in change.execute(_FRONT, (low, below, _AT_ONCE)):
        at = batches.unpack(key, head)
        if row is not None:
            if at.next > row.start:  # the start lies within this batch
                first = at.base
                break
            row.size -= size
            first = at.next
        dead.append((key,))
    change.executemany("DELETE FROM batches WHERE id = ?", dead)
    more = len(dead) == _AT_ONCE
    if row is not None:
        row.first = first
        row.clean_size = min(row.clean_size, row.size)
        change.put(PARTITION, row, str(id))
    elif not more:
        change.delete(TRASH, str(id))
    return more
