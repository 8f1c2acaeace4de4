"""The overlay as records, and records as rows. `keys.py` has the formats.

Records come in any shape that has ``.key .value .timestamp``; they go out as
``(key, value, timestamp, headers)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from streamflow.errors import LogCorrupt
from streamflow.state.keys import (
    KEY_END,
    META_KEY,
    RESERVED,
    SEGMENT,
    SEQ,
    START,
    escape,
    pack_int64,
    pack_segment,
    plain,
    unescape,
)
from streamflow.state.layers import Layer, Pair
from streamflow.state.meta import Meta, encode, for_changelog

RawRecord = tuple[bytes | None, bytes | None, int, list[tuple[str, bytes]]]

_NO_HEADERS: list[tuple[str, bytes]] = []


def meta_record(meta: Meta) -> RawRecord:
    """A commit of the task, for its designated changelog; stamped with the commit's wall clock."""
    return META_KEY, encode(for_changelog(meta)), meta.written_at, _NO_HEADERS


def key_value_records(rows: Mapping[bytes, Pair], serialize: Callable[[Any], bytes | None] | None) -> list[RawRecord]:
    """One record a key: the plain value, stamped with the row's own timestamp."""
    if serialize is None:
        return [
            (escape(key) if key.startswith(RESERVED) else key, value, timestamp, _NO_HEADERS)
            for key, (value, timestamp) in rows.items()
        ]
    return [
        (
            escape(key) if key.startswith(RESERVED) else key,
            None if value is None else serialize(value),
            timestamp,
            _NO_HEADERS,
        )
        for key, (value, timestamp) in rows.items()
    ]


def window_records(rows: Mapping[bytes, Pair], row_of: Callable[[Pair], bytes | None], *, tail: int) -> list[RawRecord]:
    """One record a row: the value as on disk, for these topics are stamped with the time of appending."""
    behind = -tail
    key_end = behind - len(KEY_END)
    found: list[RawRecord] = []
    add = found.append
    for row, pair in rows.items():
        key = row[SEGMENT:key_end]
        if key and 0 not in key:  # so it cannot begin as RESERVED does
            add((key + row[behind:], row_of(pair), pair[1], _NO_HEADERS))
        else:
            add((escape(plain(key) + row[behind:]), row_of(pair), pair[1], _NO_HEADERS))
    return found


class Absorbed(NamedTuple):
    """What records told: how many were rows, the last meta record, and the greatest start of windows or timestamp of
    others (-1: none), and the sequence number after the last."""

    rows: int
    meta: bytes | None = None
    observed: int = -1
    sequence: int | None = None


def absorb_key_value(
    records: Iterable[Any], rows: Layer[Pair | bytes | None], *, timestamped: bool, own: bool
) -> Absorbed:
    """Records into rows, the last of each key. ``own`` is False for a topic of the user's: no key is reserved there."""
    count, observed = 0, -1
    meta: bytes | None = None
    for record in records:
        key = record.key
        if own:
            if key.startswith(RESERVED):
                if key == META_KEY:
                    meta = record.value
                    continue
                key = unescape(key)
        elif key is None:
            continue
        value, timestamp = record.value, record.timestamp
        if timestamp > observed:
            observed = timestamp
        rows[key] = pack_int64(timestamp) + value if timestamped and value is not None else value
        count += 1
    return Absorbed(count, meta, observed)


def absorb_window(
    records: Iterable[Any],
    rows: Layer[Pair | bytes | None],
    *,
    segment_ms: int,
    tail: int,
    duplicates: bool,
    floor: int,
    store: str,
) -> Absorbed:
    """Records into rows; those of windows that begin (sessions that end) before ``floor`` are left out as expired."""
    count = 0
    meta: bytes | None = None
    latest = b""
    first, last = -tail, START - tail or None
    lowest = pack_int64(max(floor, 0))
    top = b""
    segments: dict[bytes, bytes] = {}
    for record in records:
        key = record.key
        if key.startswith(RESERVED):
            if key == META_KEY:
                meta = record.value
                continue
            key = unescape(key)
        start = key[first:last]
        if len(start) != START:
            raise LogCorrupt(
                f"store '{store}': its changelog has a key of {len(key)} bytes, too short for a window's; "
                "is it the changelog of another kind of store?"
            )
        count += 1
        if start < lowest:
            continue
        segment = segments.get(start)
        if segment is None:
            segment = segments[start] = pack_segment(int.from_bytes(start, "big") // segment_ms)
            if start > top:
                top = start
        # The first part is `sortable`, spelled out.
        rows[segment + key[:first].replace(b"\x00", b"\x00\xff") + KEY_END + key[first:]] = record.value
        latest = key
    observed = int.from_bytes(top, "big") if top else -1
    following = (int.from_bytes(latest[-SEQ:], "big") + 1) % 2 ** (8 * SEQ) if duplicates and latest else None
    return Absorbed(count, meta, observed, following)
