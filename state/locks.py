"""Who holds a RocksDB directory: its ``LOCK`` file, asked without opening the database.

A POSIX lock belongs to the process: asking about a file that this process holds
would let go of it. So what is open here is looked up, not asked.
"""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on this system: nobody is told apart, opening decides
    fcntl = None  # type: ignore[assignment]

HERE: set[str] = set()
"""Directories that this process holds open."""


def held_here(path: Path) -> bool:
    """This process has the directory open."""
    return os.path.abspath(path) in HERE


def held_elsewhere(path: Path) -> bool:
    """Another process has the directory open."""
    if fcntl is None or held_here(path):
        return False
    try:
        file = os.open(path / "LOCK", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
