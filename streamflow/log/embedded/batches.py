"""The rows that hold record batches, one a batch, in one b-tree.

    id     partition id << 43 | base offset
    head   40 bytes, big endian:  0  next offset     int64    32  crc32c of the batch   uint32
                                  8  max timestamp   int64    36  crc32 of id and head  uint32
                                  16 append time     int64
                                  24 horizon         int64
    data   a Kafka v2 record batch, base offset set

The rows of a partition follow each other without a gap: each begins at the
``next offset`` of the one before, also after compaction, which takes records
out of a batch and leaves its range. So a row that vanished is noticed by who
reads past it. A batch may have no records left; it is then a bare header.

``horizon`` is 0 until compaction has been here; after that moment its
tombstones may go.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

from aiokafka.record.util import calc_crc32c

from streamflow.errors import LogCorrupt
from streamflow.log.batch import HEADER, check, header
from streamflow.log.contract import Fetched
from streamflow.log.embedded.control import Change, PartitionRow, View

OFFSET_BITS = 43
MAX_PARTITIONS = 1 << (63 - OFFSET_BITS)
_OFFSETS = (1 << OFFSET_BITS) - 1

_HEAD = struct.Struct(">qqqqI")
_SUM = struct.Struct(">I")
_OFFSET = struct.Struct(">q")
_FRONT = struct.Struct(">qii")  # base offset, length, leader epoch
NO_EPOCH = -1

_CRC, _ATTRIBUTES, _MAX_TIMESTAMP = 17, 21, 35  # of a batch header (log/batch.py)
_APPEND_TIME = 0x08

_INSERT = "INSERT INTO batches VALUES (?, ?, ?)"
_FROM = (
    "SELECT id, head, data FROM batches"
    " WHERE id >= coalesce((SELECT max(id) FROM batches WHERE id <= ?1 AND id >= ?2), ?1) AND id < ?3 ORDER BY id"
)
_HEADS = _FROM.replace("head, data", "head")
_LAST = "SELECT id, head FROM batches WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT 1"


class Head(NamedTuple):
    """What is known of a row without reading its batch. Times in milliseconds."""

    base: int
    next: int
    max_timestamp: int
    append_time: int
    horizon: int
    crc: int


def key(partition: int, offset: int) -> int:
    """The id of a row."""
    return partition << OFFSET_BITS | offset


def pack(id: int, next_offset: int, max_timestamp: int, append_time: int, horizon: int, crc: int) -> bytes:
    """The head of a row."""
    body = _HEAD.pack(next_offset, max_timestamp, append_time, horizon, crc)
    return body + _SUM.pack(crc32(body, crc32(_OFFSET.pack(id))))


def unpack(id: int, head: bytes) -> Head:
    """The head of a row, its checksum compared."""
    if len(head) != 40 or crc32(head[:36], crc32(_OFFSET.pack(id))) != _SUM.unpack_from(head, 36)[0]:
        raise LogCorrupt(f"the checksum of batch row {id >> OFFSET_BITS}/{id & _OFFSETS} is wrong")
    return Head(id & _OFFSETS, *_HEAD.unpack_from(head))


def packed(partition: int, head: Head) -> bytes:
    """A head as it lies in its row."""
    return pack(key(partition, head.base), *head[1:])


def size(view: View, partition: int, base: int) -> int:
    """The bytes of one row's batch, without reading it."""
    found: int = view.execute("SELECT length(data) FROM batches WHERE id = ?", (key(partition, base),)).fetchone()[0]
    return found


def append(change: Change, partition: int, row: PartitionRow, added: Sequence[bytes], now: int) -> None:
    """Put batches (base offset 0) at the end of a partition; ``row`` is moved on, not yet written."""
    rows: list[tuple[int, bytes, bytes]] = []
    end = row.end
    for batch in added:
        head = header(batch)
        id = key(partition, end)
        next_offset = end + head.last_offset_delta + 1
        # The CRC covers neither of these, so they are known values here: `scan` compares all three.
        data = _FRONT.pack(end, head.length, NO_EPOCH) + batch[_FRONT.size :]
        rows.append((id, pack(id, next_offset, head.max_timestamp, now, 0, head.crc), data))
        row.size += len(batch)
        change.written += len(batch)
        end = next_offset
    change.executemany(_INSERT, rows)
    row.end = end


def stamped(batch: bytes, now: int) -> bytes:
    """The batch with the time it was appended as the timestamp of all of its records (LogAppendTime)."""
    new = bytearray(batch)
    new[_ATTRIBUTES + 1] |= _APPEND_TIME
    _OFFSET.pack_into(new, _MAX_TIMESTAMP, now)
    return sealed(new)


def sealed(batch: bytearray) -> bytes:
    """The batch with the CRC of what is in it now."""
    _SUM.pack_into(batch, _CRC, calc_crc32c(bytes(batch[_ATTRIBUTES:])))
    return bytes(batch)


def read(view: View, partition: int, row: PartitionRow, position: int, budget: int, name: str) -> tuple[Fetched, int]:
    """Batches from ``position`` on until ``budget`` bytes are had (at least one row), and how many bytes they are."""
    found: list[bytes] = []
    used = 0
    at = position
    for head, data in scan(view, partition, row, position, name):
        used += len(data)
        at = head.next
        if len(data) > HEADER:
            found.append(data)
        if used >= budget:
            break
    return Fetched(found, at, row.end, row.start), used


def scan(view: View, partition: int, row: PartitionRow, position: int, name: str) -> Iterator[tuple[Head, bytes]]:
    """Rows from the one that holds ``position`` to the end, each checked; `LogCorrupt` for damage and gaps."""
    if position >= row.end:
        return
    low = key(partition, 0)
    expected = -1
    for id, head, data in view.execute(_FROM, (low + position, low, low + row.end)):
        at = unpack(id, head)
        _follow(at, expected, position, row, name)
        batch = check(data, name)
        if batch[:3] != (at.base, len(data) - 12, NO_EPOCH) or batch.next_offset != at.next or batch.crc != at.crc:
            raise LogCorrupt(f"{name}: the batch at offset {at.base} is not the one its row speaks of")
        yield at, data
        expected = at.next
    if expected != row.end:
        raise LogCorrupt(f"{name}: batches are missing between offset {max(position, expected)} and {row.end}")


def heads(view: View, partition: int, row: PartitionRow, position: int, name: str) -> Iterator[Head]:
    """As `scan`, without reading the batches."""
    if position >= row.end:
        return
    low = key(partition, 0)
    expected = -1
    for id, head in view.execute(_HEADS, (low + position, low, low + row.end)):
        at = unpack(id, head)
        _follow(at, expected, position, row, name)
        yield at
        expected = at.next
    if expected != row.end:
        raise LogCorrupt(f"{name}: batches are missing between offset {max(position, expected)} and {row.end}")


def verify_ends(view: View, partition: int, row: PartitionRow, name: str) -> None:
    """The last row ends where the partition does, and nothing lies behind it."""
    low = key(partition, 0)
    last = view.execute(_LAST, (key(partition + 1, 0), low)).fetchone()
    end = row.start if last is None else unpack(*last).next
    if end != row.end:
        raise LogCorrupt(f"{name}: its batches end at offset {end} instead of {row.end}")
    if row.start < row.end:
        next(heads(view, partition, row, row.start, name), None)


def _follow(at: Head, expected: int, position: int, row: PartitionRow, name: str) -> None:
    if at.base != expected and (expected >= 0 or not at.base <= position < at.next):
        missing = position if expected < 0 else expected
        raise LogCorrupt(f"{name}: offset {missing} is missing, the next batch begins at {at.base}")
    if not at.base < at.next <= row.end:
        raise LogCorrupt(f"{name}: the batch at offset {at.base} ends at {at.next}, the partition at {row.end}")
