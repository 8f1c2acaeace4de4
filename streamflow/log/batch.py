"""Kafka v2 record batches: records in, bytes out, and back.

The codec is aiokafka's compiled one. What this module knows itself is the
batch header (61 bytes, big endian), because offsets, counts and the CRC are
read and set without parsing the records:

    0  base offset      int64        27  first timestamp  int64
    8  length           int32        35  max timestamp    int64
    12 leader epoch     int32        43  producer id      int64
    16 magic            int8         51  producer epoch   int16
    17 crc32c           uint32       53  base sequence    int32
    21 attributes       int16        57  record count     int32
    23 last offset delta int32

The CRC covers byte 21 to the end, so the base offset can be set without
computing it anew.

Source: Kafka's documentation, "Message Format".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from streamflow.errors import LogCorrupt
from streamflow.record import Headers

HEADER = 61
TARGET_BYTES = 128 * 1024  # rows of 64 to 256 KB read fastest on the embedded log
SLICE = 64

_OFFSET = struct.Struct(">q")
_HEAD = struct.Struct(">qiibIhiqqqhii")

RawRecord = tuple[bytes | None, bytes | None, int, Headers]
"""Key bytes, value bytes, timestamp in milliseconds, headers."""


class Header(NamedTuple):
    """The fields of a batch header."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def next_offset(self) -> int:
        """The position after the last record."""
        return self.base_offset + self.last_offset_delta + 1


def header(batch: bytes) -> Header:
    """The header of the first batch in ``batch``."""
    if len(batch) < HEADER:
        raise LogCorrupt(f"a record batch has {len(batch)} bytes, fewer than its header's {HEADER}")
    return Header(*_HEAD.unpack_from(batch))


def encode(records: Sequence[RawRecord], *, target_bytes: int = TARGET_BYTES) -> list[bytes]:
    """Records as batches of about ``target_bytes``, each with base offset 0. No records, no batch.

    >>> [header(b).records for b in encode([(b"k", b"v", 7, [])] * 3)]
    [3]
    """
    batches: list[bytes] = []
    none: list[tuple[str, bytes]] = []
    at = 0
    while at < len(records):
        builder: Any = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
        append = builder.append
        n = 0
        while at < len(records) and builder.size() < target_bytes:
            # In slices: asking for the size after each record would cost as much as the record.
            for key, value, timestamp, headers in records[at : at + SLICE]:
                # The codec takes a list and nothing else.
                append(n, timestamp, key, value, list(headers) if headers else none)
                n += 1
            at += SLICE
        batches.append(bytes(builder.build()))
    return batches


def rebased(batch: bytes, base_offset: int) -> bytes:
    """The same batch at another offset; its CRC does not cover that."""
    return _OFFSET.pack(base_offset) + batch[8:]


def check(batch: bytes, where: str) -> Header:
    """The header, after length and CRC were found right; else `LogCorrupt` that says ``where``."""
    head = header(batch)
    if head.length + 12 != len(batch) or head.magic != 2:
        raise LogCorrupt(
            f"{where}: a record batch of {len(batch)} bytes says it has {head.length + 12} (magic {head.magic})"
        )
    if calc_crc32c(batch[21:]) != head.crc:
        raise LogCorrupt(f"{where}: the CRC of the record batch at offset {head.base_offset} is wrong")
    return head


def records(batch: bytes) -> list[Any]:
    """The records of one batch: ``.offset .timestamp .key .value .headers`` each, as aiokafka reads them."""
    memory: Any = MemoryRecords(batch)
    found: list[Any] = []
    while memory.has_next():
        found += memory.next_batch()
    return found
