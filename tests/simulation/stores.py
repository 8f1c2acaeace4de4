"""Stores compared with their changelogs (C6): each is the fold of its changelog up to its position."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamflow.state.keys import META_KEY
from streamflow.state.spec import StoreSpec

from ..checkers import fold
from .disk import Image
from .reading import Raw
from .script import STORES, TEXT, changelog

Changelogs = Mapping[tuple[str, int], list[Raw]]
"""Topic and partition -> records."""


def rows_of(spec: StoreSpec, records: Iterable[Raw]) -> list[tuple[bytes, bytes | None]]:
    """Changelog records as rows: key bytes, and value bytes behind the timestamp where the store keeps one. Those of
    windows and sessions are written that way already."""
    return [
        (key, value if value is None or spec.segmented or not spec.timestamped else struct.pack(">q", time) + value)
        for _, key, value, time in records
        if key != META_KEY
    ]


def state_of(spec: StoreSpec, records: Iterable[Raw]) -> dict[Any, Any]:
    """What a changelog stands for, decoded; a window's key is (key, start), a session's (key, start, end)."""
    found: dict[Any, Any] = {}
    for key, row in fold(rows_of(spec, records)).items():
        value = spec.value.deserialize(row[8:] if spec.timestamped else row)
        if spec.kind == "window":
            found[TEXT.deserialize(key[:-8]), _time(key, 8)] = value
        elif spec.kind == "session":
            found[TEXT.deserialize(key[:-16]), _time(key, 8), _time(key, 16)] = value
        else:
            found[spec.key.deserialize(key)] = value
    return found


def violations(changelogs: Changelogs, images: Sequence[Image], *, only_whole: bool = False) -> list[str]:
    """One line for the first image of each store that is none of its changelog's states.

    ``only_whole``: only images that reflect all of their changelog, for of a compacted one no earlier state is left.
    """
    specs = {changelog(spec.name): spec for spec in STORES}
    found: list[str] = []
    for where, records in changelogs.items():
        spec = specs[where[0]]
        rows: dict[bytes, bytes] = {}
        done = 0
        mine = [one for one in images if one.changelog == where]
        for one in sorted(mine, key=lambda one: one.meta.position):
            upto = done
            while upto < len(records) and records[upto].offset < one.meta.position:
                upto += 1
            rows = fold(rows_of(spec, records[done:upto]), rows)
            done = upto
            if only_whole and done < len(records):
                continue
            later = rows_of(spec, (r for r in records[done:] if r.offset < (one.meta.flushing_to or 0)))
            if problem := difference(spec, one.rows, rows, later):
                found.append(f"store {one.store}/{where[1]} at position {one.meta.position}: {problem}")
                break
    return found


def difference(
    spec: StoreSpec, held: Mapping[bytes, bytes], rows: Mapping[bytes, bytes], later: list[tuple[bytes, bytes | None]]
) -> str:
    """How a store differs from what its changelog says. Half way through a flush rows may be ``later`` ones."""
    floor = max((_time(key, spec.tail) for key in rows), default=0) - spec.retention_ms + 1 if spec.segmented else 0
    for key in held.keys() | rows.keys():
        have, want = held.get(key), rows.get(key)
        if have == want or (key, have) in later:
            continue
        if have is None and spec.segmented and _time(key, spec.tail) < floor:
            continue  # expired
        return f"row {key!r} is {have!r}, its changelog says {want!r}"
    return ""


def _time(key: bytes, before_end: int) -> int:
    """What lies so many bytes before the end of a changelog key: 8 the start of a window, 16 the end of a session."""
    return int(struct.unpack_from(">q", key, len(key) - before_end)[0])
