"""Fetching from many partitions in turn, and finding an offset by time."""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.log.batch import HEADER, records
from streamflow.log.contract import Fetched
from streamflow.log.embedded import batches, catalog
from streamflow.log.embedded.control import PartitionRow, View
from streamflow.record import TopicPartition


def fetch(
    view: View, positions: Mapping[TopicPartition, int], max_bytes: int, turn: TopicPartition | None
) -> tuple[dict[TopicPartition, Fetched], TopicPartition | None]:
    """What lies at ``positions``, about ``max_bytes`` of it, and the partition that comes first the next time.

    Each partition that has records gets an equal share of what is left when it is its turn, and one row at least.
    """
    asked: list[tuple[TopicPartition, int, PartitionRow, int]] = []
    for at, position in positions.items():
        id, row = catalog.partition(view, at)
        catalog.within(at, row, position)
        if position < row.end:
            asked.append((at, id, row, position))
    first = next((n for n, ask in enumerate(asked) if ask[0] == turn), 0)
    asked = asked[first:] + asked[:first]
    found: dict[TopicPartition, Fetched] = {}
    left = max_bytes
    stopped: TopicPartition | None = None
    for n, (at, id, row, position) in enumerate(asked):
        if found and left <= 0:
            # Nothing of it is read, but the reader must know that there is more.
            found[at] = Fetched([], position, row.end, row.start)
            stopped = stopped or at
            continue
        found[at], used = batches.read(view, id, row, position, left // (len(asked) - n), catalog.place(at))
        left -= used
    return found, stopped


def offset_at(view: View, at: TopicPartition, timestamp: int) -> int:
    """The first offset whose record is of ``timestamp`` or later; the end if none is."""
    id, row = catalog.partition(view, at)
    name = catalog.place(at)
    for head in batches.heads(view, id, row, row.start, name):
        if head.max_timestamp < timestamp:
            continue
        _, data = next(batches.scan(view, id, row, max(head.base, row.start), name))
        for record in records(data) if len(data) > HEADER else ():
            if record.timestamp >= timestamp and record.offset >= row.start:
                return int(record.offset)
    return row.end
