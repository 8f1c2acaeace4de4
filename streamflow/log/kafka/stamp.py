"""Whose a record batch is: producer, epoch and sequence in its header, the records compressed behind it.

Batches come as `streamflow.log.batch.encode` made them; what is changed are the
fields at 21 (attributes), 43, 51 and 53 (see there), the length, and the CRC.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import cramjam
from aiokafka.record.util import calc_crc32c

from streamflow.log.batch import HEADER

TRANSACTIONAL = 0x10
CONTROL = 0x20
_CODEC = 0x07
_LZ4 = 3
_SMALL = 512  # bytes; what is smaller does not become smaller
_FASTEST = 1  # the higher levels of LZ4 cost ten times as much for a few percent
_SEQUENCES = 0x7FFF_FFFF  # after the last comes 0
_ATTRIBUTES = struct.Struct(">h")
_PRODUCER = struct.Struct(">qhi")
_START = struct.Struct(">qiibI")
_COUNT = struct.Struct(">i")


@dataclass(frozen=True)
class Stamp:
    """Who writes: the producer's id and epoch (-1 for nobody), and whether in a transaction."""

    producer: int
    epoch: int
    transactional: bool


def stamped(batch: bytes, stamp: Stamp, sequence: int, *, compress: bool = True) -> bytes:
    """The batch with base offset 0 in the name of ``stamp``, its first record having this sequence number."""
    (attributes,) = _ATTRIBUTES.unpack_from(batch, 21)
    body = batch[HEADER:]
    if compress and not attributes & _CODEC and len(body) > _SMALL:
        smaller = _lz4(body)
        if len(smaller) < len(body):
            body, attributes = smaller, attributes | _LZ4
    if stamp.transactional:
        attributes |= TRANSACTIONAL
    covered = b"".join(
        (
            _ATTRIBUTES.pack(attributes),
            batch[23:43],
            _PRODUCER.pack(stamp.producer, stamp.epoch, sequence),
            batch[57:HEADER],
            body,
        )
    )
    return _START.pack(0, len(covered) + 9, -1, 2, calc_crc32c(covered)) + covered


def count(batch: bytes) -> int:
    """How many records a batch has."""
    return int(_COUNT.unpack_from(batch, 57)[0])


def following(sequence: int, records: int) -> int:
    """The sequence number after so many records.

    >>> following(0x7FFFFFFE, 3)
    1
    """
    return (sequence + records) & _SEQUENCES


def _lz4(body: bytes) -> bytes:
    # Blocks must not refer to each other: brokers cannot read such frames.
    compressor: Any = cramjam.lz4.Compressor(level=_FASTEST, content_checksum=False, block_linked=False)
    compressor.compress(body)
    return bytes(compressor.finish())
