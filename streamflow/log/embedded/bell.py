"""How a commit wakes the readers of other processes at once: each listens at a named pipe, each writer rings them all.

A bell only says "look": what there is to see is asked of SQLite, and who misses
a ring (its writer was killed between the commit and the ring) sees it by
looking now and then (`watch.py`). So nothing rests on it but a few milliseconds.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Bell:
    """This process's pipe, ``folder/name``. Raises `OSError` where there are no named pipes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        young = folder / f"{name}.new"
        os.mkfifo(young)
        # For reading and writing, so that it is never without a writer, which would read as an end. Open before
        # anybody can find it: a pipe without a reader is taken for one whose process is gone.
        self._fd = os.open(young, os.O_RDWR | os.O_NONBLOCK)
        os.rename(young, self.path)

    def fileno(self) -> int:
        """For the event loop."""
        return self._fd

    def drain(self) -> None:
        """Take all rings together."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 4096)

    def close(self, *, unlink: bool = True) -> None:
        """Listen no more; without ``unlink`` as a killed process does."""
        if unlink:
            self.path.unlink(missing_ok=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def ring(folder: Path, own: str) -> None:
    """Wake every process but this one. Never blocks; removes the pipes of those who are gone."""
    with contextlib.suppress(OSError), os.scandir(folder) as bells:
        for bell in bells:
            if bell.name != own and not bell.name.endswith(".new"):
                _ring(bell.path)


def _ring(path: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return
    with contextlib.suppress(BlockingIOError):  # full: it was rung often enough
        os.write(fd, b"!")
    os.close(fd)
