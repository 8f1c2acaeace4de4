"""The input of every workload: JSON orders of about 100 bytes, keyed by user, event time +1 ms a record."""

from __future__ import annotations

import random
from collections.abc import Iterator

from streamflow.log.batch import RawRecord, encode
from streamflow.log.partitioner import Partitions
from streamflow.record import TopicPartition

START_MS = 1_700_000_000_000
SEED = 7


def user(number: int) -> bytes:
    return b"u%07d" % number


def orders(count: int, keys: int) -> Iterator[RawRecord]:
    """``count`` orders of ``keys`` users, each as likely as the other."""
    chosen = random.Random(SEED).choices(range(keys), k=count)
    for n, key in enumerate(chosen):
        value = b'{"user":"%b","product":"p%05d","amount":%d,"price":%d,"placed":%d,"note":"%06x"}' % (
            user(key), n % 1000, 1 + n % 9, 100 + n % 10_000, START_MS + n, n,
        )  # fmt: skip
        yield user(key), value, START_MS + n, []


def users(keys: int) -> Iterator[RawRecord]:
    """A table row for each user, older than every order."""
    for key in range(keys):
        yield user(key), b'{"name":"name of %d","region":"r%d"}' % (key, key % 20), START_MS - 1, []


def payments(count: int, keys: int) -> Iterator[RawRecord]:
    """A payment for each of ``count`` orders, 200 ms after it."""
    chosen = random.Random(SEED).choices(range(keys), k=count)
    for n, key in enumerate(chosen):
        value = b'{"user":"%b","amount":%d,"method":"m%02d"}' % (user(key), 100 + n % 10_000, n % 12)
        yield user(key), value, START_MS + n + 200, []


def batches(topic: str, records: Iterator[RawRecord], partitions: int) -> dict[TopicPartition, list[bytes]]:
    """Records placed as a producer would, as the bytes of record batches."""
    placed: list[list[RawRecord]] = [[] for _ in range(partitions)]
    of = Partitions(partitions)
    for record in records:
        placed[of[record[0] or b""]].append(record)
    return {TopicPartition(topic, n): encode(found) for n, found in enumerate(placed)}
