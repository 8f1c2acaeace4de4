"""Every format of a key or a value that outlives this process: on disk, and in a changelog.

On disk, in the one column family of a store (integers are big endian, so that bytes sort as numbers):

    00                                the store's meta record (meta.py)
    01 | key                          a row of a key-value store
    01 | segment | sortable key | 00 | start          a row of a window store
    01 | segment | sortable key | 00 | start | seq    ... that keeps duplicates
    01 | segment | sortable key | 00 | end | start    a row of a session store; its segment is that of its end

    sortable  the key with each 00 as 00 ff: rows then sort by key, start and seq, whatever bytes a key has,
              and no key's rows lie among another's
    segment   uint64  start // segment_ms: a whole segment expires as one range
    start     int64   start of the window in milliseconds, never negative
    seq       uint32  tells values of one key and start apart, in the order they came
    value     int64 timestamp | bytes in a timestamped store, else bytes

In a changelog, and in the memory layers above the base (which have no first byte):

    key                     value, record timestamp = stored timestamp    key-value store
    key | start [| seq]     value as on disk                              window store
    key | end | start       value as on disk                              session store
    RESERVED | "m"          a meta record
    RESERVED | "k" | rest   a row whose key begins with RESERVED; every other key stands as it is
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from streamflow.errors import StateError

RESERVED = b"\x00\xffstreamflow\xff"
META_KEY = RESERVED + b"m"
_ESCAPED = RESERVED + b"k"

DISK_META = b"\x00"
DISK_DATA = b"\x01"
DISK_END = b"\x02"

_INT64 = struct.Struct(">q")
_UINT64 = struct.Struct(">Q")
_UINT32 = struct.Struct(">I")
_START = struct.Struct(">Qq")

pack_int64: Callable[[int], bytes] = _INT64.pack
pack_uint32: Callable[[int], bytes] = _UINT32.pack

SEGMENT = 8
START = 8
SEQ = 4
KEY_END = b"\x00"
_REMEMBERED = 50_000


def escape(key: bytes) -> bytes:
    """The changelog key of a row's key.

    >>> escape(b"alice"), escape(META_KEY) == RESERVED + b"km"
    (b'alice', True)
    """
    return _ESCAPED + key[len(RESERVED) :] if key.startswith(RESERVED) else key


def unescape(key: bytes) -> bytes:
    """The row's key of a changelog key that is no meta record.

    >>> unescape(escape(META_KEY)) == META_KEY
    True
    """
    return RESERVED + key[len(_ESCAPED) :] if key.startswith(_ESCAPED) else key


def segment_length(retention_ms: int) -> int:
    """How many milliseconds of windows expire together."""
    return max(retention_ms // 2, 60_000)


class Starts(dict[int, tuple[bytes, bytes]]):
    """window start -> what stands before and behind the key, packed once a start; forgets all when it is large.

    >>> before, behind = Starts(60_000, "counts")[60_001]
    >>> before.hex(), behind.hex()
    ('0000000000000001', '00000000000000ea61')
    """

    def __init__(self, segment_ms: int, store: str) -> None:
        super().__init__()
        self.segment_ms = segment_ms
        self._store = store

    def __missing__(self, start: int) -> tuple[bytes, bytes]:
        if len(self) >= _REMEMBERED:
            self.clear()
        try:
            both = _START.pack(start // self.segment_ms, start)
        except struct.error:
            raise StateError(
                f"store '{self._store}': a window cannot start at {start!r}; starts are milliseconds, 0 or later"
            ) from None
        self[start] = packed = (both[:SEGMENT], KEY_END + both[SEGMENT:])
        return packed


def pack_segment(segment: int) -> bytes:
    """The first eight bytes of every row of a segment."""
    return _UINT64.pack(segment)


def sortable(key: bytes) -> bytes:
    """A key such that, with `KEY_END` behind it, it sorts as the key does whatever follows.

    >>> sortable(b"a") + KEY_END < sortable(b"a\\x00") + KEY_END < sortable(b"b") + KEY_END
    True
    """
    return key.replace(b"\x00", b"\x00\xff")


def plain(key: bytes) -> bytes:
    """The key of its sortable form."""
    return key.replace(b"\x00\xff", b"\x00")


def unpack_start(row: bytes, end: int) -> int:
    """The start that lies in the eight bytes before ``end`` (negative: counted from the row's end; 0: the end)."""
    return int.from_bytes(row[end - START : end or None], "big")
