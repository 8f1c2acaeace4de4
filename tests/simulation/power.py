"""Cutting the power under a log whose last commits were not synced.

With ``durability=fast`` SQLite syncs its WAL only at checkpoints, so a power cut
takes the newest commits: here, whole commits from the end of the WAL. Closing
the last connection would write everything down, so the files are copied before
and put back after.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from streamflow.log.embedded import files

_WAL_HEADER = 32
_FRAME_HEADER = 24


@contextmanager
def cut_power(folder: Path, lost_commits: int, synced: int) -> Generator[None, None, None]:
    """Inside, every handle on the log must be dropped; after it the files are as the power cut left them.

    The first ``synced`` bytes of the WAL stay.
    """
    database, wal = folder / files.DATABASE, folder / f"{files.DATABASE}-wal"
    main, tail = database.read_bytes(), wal.read_bytes() if wal.exists() else b""
    yield
    database.write_bytes(main)
    wal.write_bytes(_shortened(tail, lost_commits, synced))
    (folder / f"{files.DATABASE}-shm").unlink(missing_ok=True)


def wal_bytes(folder: Path) -> int:
    """How long the WAL is now."""
    wal = folder / f"{files.DATABASE}-wal"
    return wal.stat().st_size if wal.exists() else 0


def _shortened(wal: bytes, lost_commits: int, synced: int) -> bytes:
    """A WAL without its last commits. A frame that ends a commit tells the size of the database."""
    if len(wal) <= _WAL_HEADER:
        return wal
    frame = _FRAME_HEADER + struct.unpack_from(">I", wal, 8)[0]
    ends = [
        start + frame
        for start in range(_WAL_HEADER, len(wal) - frame + 1, frame)
        if struct.unpack_from(">I", wal, start + 4)[0]
    ]
    kept = ends[: max(0, len(ends) - lost_commits)]
    return wal[: max(kept[-1] if kept else 0, min(synced, ends[-1] if ends else _WAL_HEADER), _WAL_HEADER)]
