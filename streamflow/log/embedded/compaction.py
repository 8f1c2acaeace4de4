"""Compaction: of a topic with ``cleanup.policy=compact`` only each key's last record stays.

As in Kafka's log cleaner, in two passes over a partition. The first reads what
is new since the last time and notes the last offset of each key. The second
goes through all rows from the start and leaves out the records that were
superseded, joining small rows to large ones on the way. Offsets never change: a
row keeps the range it covers, so readers find gaps in it but positions hold.

A tombstone outlives the first compaction by ``delete.retention.ms`` (the row's
*horizon*), so that a reader who has seen the value before it has that long to
see it too. Rows that were changed meanwhile (records deleted from the front)
are left alone and compacted the next time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streamflow.log.batch import HEADER, TARGET_BYTES, header, rebased, records
from streamflow.log.embedded import batches, catalog
from streamflow.log.embedded.batches import Head
from streamflow.log.embedded.control import PARTITION, Change, View
from streamflow.record import TopicPartition

_HOP_BYTES = 256 * 1024  # read in one go: some milliseconds of parsing
_MOST_KEYS = 500_000
_MOST_ROWS = 2_000  # joined to one
_LEAST_DIRTY = 1024 * 1024
_LAST_OFFSET_DELTA = 23
_EMPTY = struct.Struct(">qiibIhiqqqhii")


@dataclass
class Job:
    """One partition to compact, and how far the work is."""

    at: TopicPartition
    partition: int
    start: int
    position: int
    end: int
    policy: catalog.Policy
    last: dict[bytes, int] = field(default_factory=dict[bytes, int])


@dataclass(frozen=True)
class Rewrite:
    """Rows as they were read, and the one row to put in their place."""

    olds: list[tuple[int, bytes]]
    head: bytes
    data: bytes
    saved: int


def jobs(view: View, now: int, everything: bool) -> list[Job]:
    """Partitions that are dirty enough to be worth it (or just dirty)."""
    found: list[Job] = []
    for at, id, row, policy in catalog.partitions(view):
        dirty = row.size - row.clean_size
        worth = everything or (dirty >= _LEAST_DIRTY and dirty >= policy.dirty_ratio * row.size)
        if policy.compact and worth and row.cleaned < row.end:
            found.append(Job(at, id, row.start, max(row.start, row.cleaned), row.end, policy))
    return found


def survey(view: View, job: Job, now: int) -> bool:
    """First pass, a step: note the last offset of each key; whether there is more. It ends at `job.end`."""
    used = 0
    for head, data in _rows(view, job, job.position, job.end):
        lag = job.policy.compaction_lag_ms
        if len(job.last) >= _MOST_KEYS or (lag and head.append_time > now - lag):
            job.end = head.base
            return False
        job.last.update((record.key, record.offset) for record in _records(data) if record.key is not None)
        job.position = head.next
        used += len(data)
        if used >= _HOP_BYTES:
            return job.position < job.end
    job.end = job.position
    return False


def plan(view: View, job: Job, position: int, now: int) -> tuple[list[Rewrite], int]:
    """Second pass, a step: the rewrites of some rows from ``position`` on, and the position after them."""
    heap = _Heap(job, now)
    found: list[Rewrite] = []
    used = 0
    for head, data in _rows(view, job, position, job.end):
        if heap.full_for(head):
            found += heap.rewritten()
            if used >= _HOP_BYTES:
                return found, head.base
            heap = _Heap(job, now)
        heap.add(head, data)
        used += len(data)
    return found + heap.rewritten(), job.end


def replace(change: Change, job: Job, rewrites: list[Rewrite]) -> None:
    """Put rewritten rows in the place of the old ones, where these are still as they were read."""
    row = change.get(PARTITION, str(job.partition))
    if row is None:
        return
    for rewrite in rewrites:
        ids = [id for id, _ in rewrite.olds]
        if ids[0] < batches.key(job.partition, row.first) or not _unchanged(change, rewrite):
            continue
        change.executemany("DELETE FROM batches WHERE id = ?", [(id,) for id in ids])
        change.execute("INSERT INTO batches VALUES (?, ?, ?)", (ids[0], rewrite.head, rewrite.data))
        row.size -= rewrite.saved
        change.written += len(rewrite.data)
    change.put(PARTITION, row, str(job.partition))


def finish(change: Change, job: Job) -> None:
    """Note that all below `job.end` was compacted."""
    row = change.get(PARTITION, str(job.partition))
    if row is None:
        return
    row.cleaned = max(row.cleaned, job.end)
    low = batches.key(job.partition, 0)
    sizes = "SELECT coalesce(sum(length(data)), 0) FROM batches WHERE id >= ? AND id < ?"
    row.clean_size = change.execute(sizes, (low, low + row.cleaned)).fetchone()[0]
    change.put(PARTITION, row, str(job.partition))


class _Heap:
    """Rows that follow each other, to become one: what they keep, and whether that is worth writing."""

    def __init__(self, job: Job, now: int) -> None:
        self._job = job
        self._now = now
        self._heads: list[Head] = []
        self._kept: list[Any] = []
        self._size = 0
        self._read = 0
        self._dropped = False
        self._tombstones = False
        self._only = b""

    def full_for(self, head: Head) -> bool:
        """Rows compacted before are not joined with new ones: their tombstones' horizon would move on for ever."""
        if not self._heads:
            return False
        mixed = (head.horizon == 0) != (self._heads[0].horizon == 0)
        return mixed or self._size >= TARGET_BYTES or len(self._heads) >= _MOST_ROWS

    def add(self, head: Head, data: bytes) -> None:
        last = self._job.last
        overdue = 0 < head.horizon < self._now
        for record in _records(data):
            superseded = record.key is not None and last.get(record.key, -1) > record.offset
            if superseded or (overdue and record.value is None):
                self._dropped = True
                continue
            self._tombstones |= record.value is None
            self._size += len(record.key or b"") + len(record.value or b"") + 16
            self._kept.append(record)
        self._heads.append(head)
        self._read += len(data)
        self._only = data

    def rewritten(self) -> list[Rewrite]:
        """The rewrite, or nothing when the rows are well as they are."""
        heads = self._heads
        if not heads or not (self._dropped or len(heads) > 1 or (self._tombstones and not heads[0].horizon)):
            return []
        base, end = heads[0].base, heads[-1].next
        kept_as_is = len(heads) == 1 and not self._dropped
        data = self._only if kept_as_is else _batch(self._kept, base, end)
        id = batches.key(self._job.partition, base)
        horizon = max(head.horizon for head in heads) or self._now + self._job.policy.delete_retention_ms
        made = header(data)
        head = batches.pack(id, end, made.max_timestamp, max(head.append_time for head in heads), horizon, made.crc)
        olds = [(batches.key(self._job.partition, old.base), batches.packed(self._job.partition, old)) for old in heads]
        return [Rewrite(olds, head, data, self._read - len(data))]


def _batch(kept: list[Any], base: int, end: int) -> bytes:
    """One batch over the range from ``base`` to ``end`` with these records at their own offsets."""
    if not kept:
        empty = _EMPTY.pack(base, HEADER - 12, batches.NO_EPOCH, 2, 0, 0, end - base - 1, -1, -1, -1, -1, -1, 0)
        return batches.sealed(bytearray(empty))
    builder: Any = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    for record in kept:
        builder.append(record.offset - base, record.timestamp, record.key, record.value, record.headers)
    made = bytearray(builder.build())
    struct.pack_into(">i", made, _LAST_OFFSET_DELTA, end - base - 1)
    return rebased(batches.sealed(made), base)


def _rows(view: View, job: Job, position: int, end: int) -> Iterator[tuple[Head, bytes]]:
    row = view.get(PARTITION, str(job.partition))
    if row is None:
        return
    for head, data in batches.scan(view, job.partition, row, max(position, row.start), catalog.place(job.at)):
        if head.base >= end:
            return
        yield head, data


def _records(data: bytes) -> list[Any]:
    return records(data) if len(data) > HEADER else []


def _unchanged(change: Change, rewrite: Rewrite) -> bool:
    for id, head in rewrite.olds:
        found = change.execute("SELECT head FROM batches WHERE id = ?", (id,)).fetchone()
        if found is None or found[0] != head:
            return False
    return True
