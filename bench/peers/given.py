"""What both are given: topics with many orders, the users, and a hundred orders to begin with.

The event times end about now: a broker deletes what is old, internal topics of windows too. A million orders are made,
and appended again and again with later times: the time of a batch is in its header.
"""

from __future__ import annotations

import struct
import time
from itertools import islice

from aiokafka.record.util import calc_crc32c

from bench.orders import START_MS, orders, users
from streamflow.log.batch import RawRecord, encode, header
from streamflow.log.contract import Log
from streamflow.log.kafka.stamp import Stamp, stamped
from streamflow.log.partitioner import Partitions
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic

PARTITIONS = 4
KEYS = 10_000
MADE = 1_000_000
BATCH = 256 * 1024  # bytes, before they are compressed
KEPT = {"retention.ms": "-1"}

_CRC = struct.Struct(">I")
_TIMES = struct.Struct(">qq")
_NOBODY = Stamp(-1, -1, False)


def placed(topic: str, records: list[RawRecord]) -> dict[TopicPartition, list[bytes]]:
    """Compressed batches of each partition."""
    of, there = Partitions(PARTITIONS), [list[RawRecord]() for _ in range(PARTITIONS)]
    for record in records:
        there[of[record[0] or b""]].append(record)
    return {
        TopicPartition(topic, n): [stamped(batch, _NOBODY, -1) for batch in encode(rows, target_bytes=BATCH)]
        for n, rows in enumerate(there)
        if rows
    }


def later(batch: bytes, by: int) -> bytes:
    """The batch with times that are so many milliseconds later."""
    head = header(batch)
    covered = batch[21:27] + _TIMES.pack(head.first_timestamp + by, head.max_timestamp + by) + batch[43:]
    return batch[:17] + _CRC.pack(calc_crc32c(covered)) + covered


async def append(log: Log, all_: dict[TopicPartition, list[bytes]], by: int) -> None:
    """One batch of each partition after the other."""
    for n in range(max(map(len, all_.values()))):
        await log.append({tp: [later(found[n], by)] for tp, found in all_.items() if n < len(found)})


async def give(log: Log, count: int) -> None:
    """``orders`` with about ``count`` records, ``users`` and ``few``."""
    await log.create_topics([NewTopic(name, PARTITIONS, KEPT) for name in ("orders", "users", "few")])
    rounds = max(1, count // MADE)
    began = time.time_ns() // 1_000_000 - count - START_MS
    made = placed("orders", list(orders(min(count, MADE), KEYS)))
    await append(log, placed("users", list(users(KEYS))), began)
    await append(log, placed("few", list(islice(orders(MADE, KEYS), 100))), began)
    for n in range(rounds):
        await append(log, made, began + n * MADE)


async def give_people(log: Log, count: int) -> None:
    """``people``: orders of as many users as there are orders, for a restore of as many rows."""
    await log.create_topics([NewTopic("people", PARTITIONS, KEPT)])
    now = time.time_ns() // 1_000_000
    rows: list[RawRecord] = [(b"p%07d" % n, value, at, []) for n, (_, value, at, _) in enumerate(orders(count, KEYS))]
    await append(log, placed("people", rows), now - count - START_MS)
