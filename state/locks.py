"""Who holds a RocksDB directory: its ``LOCK`` file, asked without opening the database. And who may look after one.

A POSIX lock belongs to the process: asking about a file that this process holds
would let go of it. So what is open here is looked up, not asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from streamflow.errors import StateError

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


@contextmanager
def alone(folder: Path, patience: float = 3.0) -> Generator[bool]:
    """Be the only one who opens, moves or removes what lies in a folder, which is made if need be.

    Gives False if somebody else has been at it for ``patience`` seconds: one who was stopped in the midst of it would be
    for ever.

    To ask for a lock is to hold it for a moment, so two who look after the same directories at the same time take each
    other for a former owner, and tidy away what the other has just opened.
    """
    if fcntl is None:
        yield True
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StateError(f"{folder} cannot be used ({error.strerror}); check state_dir") from error
    try:
        yield _locked(file, time.monotonic() + patience)
    finally:
        os.close(file)


def _locked(file: int, until: float) -> bool:
    assert fcntl is not None
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
