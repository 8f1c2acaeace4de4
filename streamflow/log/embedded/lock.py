"""File locks: the queue of the writers, and the sign of life of a member.

Both are `flock`s, which the system frees when their process ends, however it
ends. Writers queue on one file before they ask SQLite: SQLite's own busy
handler sleeps and tries again, so that one of eight busy processes may wait for
seconds, while a blocking `flock` wakes its waiters.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from streamflow.errors import LogUnavailable


class WriteLock:
    """The queue of all writers of one log. ``with lock:`` inside one blocking call, never across an await."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def __enter__(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._queue()
        os.pwrite(self._fd, b"%-10d\n" % os.getpid(), 0)  # for the message of whoever waits too long

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back, and with it the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _queue(self) -> None:
        """Block on the lock with a deadline: the blocking is done by a helper thread, which can be left behind."""
        had, given_up = threading.Event(), threading.Event()
        guard = threading.Lock()
        fd = self._fd

        def block() -> None:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with guard:
                had.set()
                if given_up.is_set():
                    os.close(fd)

        threading.Thread(target=block, name="streamflow-lock", daemon=True).start()
        if had.wait(self._timeout):
            return
        with guard:
            if had.is_set():
                return
            given_up.set()
            # The descriptor stays with the thread that blocks on it; a lock it gets late must not be taken for ours.
            self._fd = os.open(self._path, os.O_RDWR)
        holder = os.pread(self._fd, 10, 0).decode(errors="replace").strip() or "unknown"
        raise LogUnavailable(
            f"process {holder} has held the write lock {self._path} for more than {self._timeout:g} s; "
            "nothing was written. Is that process stopped, or its disk hanging?"
        )


class MemberLock:
    """Held by a member for its life; the file holds its heartbeat, a number that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._beats = 0
        self._guard = threading.Lock()  # a number written to a descriptor just closed could land in another file
        # Locked under another name first: nobody may find the file without its lock.
        young = path.with_suffix(".new")
        self._fd = os.open(young, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.beat()
        os.rename(young, path)

    def beat(self) -> None:
        """Show that the event loop of this member still turns."""
        with self._guard:
            self._beats += 1
            if self._fd >= 0:
                os.pwrite(self._fd, self._beats.to_bytes(8, "big"), 0)

    def leave(self) -> None:
        """Remove the file and free the lock."""
        self.path.unlink(missing_ok=True)
        self.drop()

    def drop(self) -> None:
        """Free the lock and leave the file, as a kill does."""
        with self._guard:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def __del__(self) -> None:
        self.drop()  # of a join that was cancelled half-way


def heartbeat(path: Path) -> int | None:
    """The heartbeat of a living member, or None when its process is gone."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int.from_bytes(os.pread(fd, 8, 0), "big")
    finally:
        os.close(fd)
    return None
