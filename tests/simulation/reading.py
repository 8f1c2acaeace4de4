"""Partitions as they lie in the log, whole."""

from __future__ import annotations

from typing import NamedTuple

from streamflow.log.batch import records
from streamflow.log.embedded import EmbeddedLog
from streamflow.record import TopicPartition


class Raw(NamedTuple):
    """One record."""

    offset: int
    key: bytes
    value: bytes | None
    timestamp: int


async def read_all(log: EmbeddedLog, topic: str, partition: int) -> list[Raw]:
    """Every record of a partition, in order."""
    at = TopicPartition(topic, partition)
    bounds = (await log.offsets([at]))[at]
    position = bounds.start
    found: list[Raw] = []
    while position < bounds.end:
        got = (await log.fetch({at: position}, max_bytes=1 << 26, max_wait=0.0))[at]
        found.extend(
            Raw(record.offset, record.key, record.value, record.timestamp)
            for batch in got.batches
            for record in records(batch)
            if record.offset >= position
        )
        position = got.next_offset
    return found
