"""The SQLite file as two doors: `read` sees one committed state, `write` is one transaction.

Both block, and are called through a `Runner`. A write queues on the write lock,
so SQLite's own lock is always free. When COMMIT itself fails nobody knows what
is on disk: the file is opened again, still under the lock, and asked whether
the transaction's token is there.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from streamflow.errors import LogError, LogUnavailable
from streamflow.log.embedded import batches, files
from streamflow.log.embedded.bell import Bell, ring
from streamflow.log.embedded.control import LOG, PARTITION, SEAL, TOPIC, Change, LogRow, Memory, View
from streamflow.log.embedded.lock import WriteLock

T = TypeVar("T")

_CHECKPOINT_BYTES = 4 * 1024 * 1024
_CONTROL_BYTES = 32 * 1024  # what a commit adds to the WAL besides its batches, about


class OutcomeUnknown(LogUnavailable):
    """COMMIT failed, and the file could not tell, or does not show the transaction (yet)."""


class Database:
    """One process's connections to the file: one that writes, and one per reading thread, opened when asked for."""

    def __init__(
        self,
        folder: Path,
        *,
        durability: files.Durability,
        connect: files.Connect,
        entropy: Callable[[int], bytes],
        lock_timeout: float,
    ) -> None:
        files.check_durability(durability)
        self.folder = folder
        self._durability = durability
        self._connect = connect
        self._entropy = entropy
        self._lock_timeout = lock_timeout
        self._lock: WriteLock | None = None
        self._writer: sqlite3.Connection | None = None
        self._readers: dict[str, sqlite3.Connection] = {}
        self._memory, self._version = Memory(), -1
        self._unsaved = 0
        self.closed = False
        self._rings, self._name = False, ""
        self.bell: Bell | None = None

    def open(self) -> None:
        """Create the log if the folder holds none, else open and verify it."""
        try:
            self._open()
        except Exception as error:
            self.close()
            raise files.translated(self.folder, error) from error

    def read(self, door: str, work: Callable[..., T], *args: object) -> T:
        """``work(view, *args)`` on one committed state. Threads that read side by side use doors of their own."""
        try:
            return _look(self._reader(door), work, args)
        except Exception as error:
            raise files.translated(self.folder, error) from error

    def write(self, work: Callable[..., T], *args: object) -> T:
        """``work(change, *args)`` as one transaction, all of it or nothing. `OutcomeUnknown` when that is not known."""
        try:
            with self._queue():
                return self._transact(work, args)
        except Exception as error:
            raise files.translated(self.folder, error) from error
        finally:
            if self._rings:
                ring(self.folder / files.BELLS, self._name)

    def listen(self) -> Bell | None:
        """A bell for this process, where there are named pipes."""
        if self.closed:
            raise files.closed(self.folder)
        self._rings, self._name = True, self._entropy(6).hex()
        with contextlib.suppress(OSError):
            self.bell = Bell(self.folder / files.BELLS, self._name)
        return self.bell

    def version(self, door: str) -> int:
        """A number that changes when anybody else commits. Takes microseconds and never waits."""
        try:
            reader = self._reader(door, wait=0)
            number: int = reader.execute("PRAGMA data_version").fetchone()[0]
            return number
        except Exception as error:
            raise files.translated(self.folder, error) from error

    @property
    def wants_checkpoint(self) -> bool:
        """So much was written that the WAL should be copied into the main file."""
        return self._unsaved >= _CHECKPOINT_BYTES

    def checkpoint(self) -> None:
        """Copy the WAL into the main file, so that it starts anew.

        Under the write lock: old versions of SQLite can lose the WAL when a
        checkpoint and a writer meet at the moment it is reset.
        """
        try:
            with self._queue():
                self._connection().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._unsaved = 0
        except Exception as error:
            raise files.translated(self.folder, error) from error

    def close(self) -> None:
        """Close what is left after `leave`; the last process to do so leaves one whole file. Idempotent."""
        self.closed = True
        if self.bell is not None:
            self.bell.close()
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            with lock:
                self._hang_up()
        except LogError:
            self._hang_up()  # somebody who is stopped holds the lock: SQLite's own locks keep this safe
        lock.close()

    def refuse(self) -> None:
        """Let nothing begin any more. Does not block."""
        self.closed = True

    def leave(self, door: str) -> None:
        """Close a reader, in the thread that reads there: closed under a running query it takes the process down."""
        if (reader := self._readers.pop(door, None)) is not None:
            reader.close()

    def abandon(self) -> None:
        """Forget every handle, as a kill does; waits for nobody."""
        self.closed = True
        if self.bell is not None:
            self.bell.close(unlink=False)
        self._hang_up()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open(self) -> None:
        if self.closed:
            raise files.closed(self.folder)
        folder = self.folder
        for part in (files.MEMBERS, files.BELLS):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self._lock = WriteLock(folder / files.WRITE_LOCK, self._lock_timeout)
        if not (folder / files.FORMAT).exists():
            with self._lock:
                files.create(folder, self._connect, self._first_rows)
        database = folder / files.DATABASE
        if not database.exists() or not database.stat().st_size:
            raise files.damaged(folder, f"{files.DATABASE} is {'empty' if database.exists() else 'missing'}")
        self._writer = self._opened()
        _look(self._writer, _verify, ())

    def _first_rows(self, made: sqlite3.Connection) -> None:
        change = Change(made, self._entropy(8).hex(), Memory())
        change.put(LOG, LogRow(format=files.FORMAT_VERSION))
        change.flush()

    def _queue(self) -> WriteLock:
        if self._lock is None or self.closed:
            raise files.closed(self.folder)
        return self._lock

    def _transact(self, work: Callable[..., T], args: tuple[object, ...]) -> T:
        writer = self._connection()
        writer.execute("BEGIN IMMEDIATE")
        try:
            change = Change(writer, self._entropy(8).hex(), self._remembered(writer))
            result = work(change, *args)
            change.flush()
        except BaseException:
            self._roll_back(writer)
            raise
        try:
            writer.execute("COMMIT")
        except Exception as error:
            if isinstance(error, sqlite3.Error) and files.refused(error):
                self._roll_back(writer)
                raise
            self._settle(change.token, error)
        self._unsaved += change.written + _CONTROL_BYTES
        return result

    def _remembered(self, writer: sqlite3.Connection) -> Memory:
        """What the last change left in memory, unless somebody else has written since."""
        version: int = writer.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version, self._memory = version, Memory()
        return self._memory

    def _roll_back(self, writer: sqlite3.Connection) -> None:
        self._version = -1
        try:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
        except sqlite3.Error:
            self._reopen()

    def _settle(self, token: str, error: Exception) -> None:
        """After a COMMIT that failed: return when its transaction is there, else nobody knows."""
        try:
            self._reopen()
            seal = View(self._connection()).need(SEAL)
        except Exception as second:
            raise OutcomeUnknown(f"{self.folder}: COMMIT failed ({error}), as did asking again ({second})") from error
        if seal.token != token:
            raise OutcomeUnknown(f"{self.folder}: COMMIT failed ({error}), and may show yet") from error

    def _reopen(self) -> None:
        writer, self._writer = self._writer, None
        self._version = -1
        if writer is not None:
            writer.close()
        self._writer = self._opened()

    def _connection(self) -> sqlite3.Connection:
        if self.closed:
            raise files.closed(self.folder)
        if self._writer is None:
            self._writer = self._opened()
        return self._writer

    def _reader(self, door: str, wait: float = files.BUSY_SECONDS) -> sqlite3.Connection:
        if self.closed:
            raise files.closed(self.folder)
        if door not in self._readers:
            self._readers[door] = self._opened(wait)
        return self._readers[door]

    def _opened(self, wait: float = files.BUSY_SECONDS) -> sqlite3.Connection:
        return files.connection(self.folder, self._connect, self._durability, wait)

    def _hang_up(self) -> None:
        for door in list(self._readers):
            self.leave(door)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _look(reader: sqlite3.Connection, work: Callable[..., T], args: tuple[object, ...]) -> T:
    reader.execute("BEGIN")
    try:
        return work(View(reader), *args)
    finally:
        reader.execute("COMMIT")


def _verify(view: View) -> None:
    """Every control row by checksum and seal; every partition by its first and last row."""
    view.verify()
    log = view.need(LOG)
    if log.format > files.FORMAT_VERSION:
        raise LogError(
            f"the log was written by a newer version of streamflow (format {log.format}; this one knows "
            f"{files.FORMAT_VERSION}); run that version, or a newer one"
        )
    for _, topic, row in view.scan(TOPIC):
        for number in range(row.partitions):
            id = row.first + number
            batches.verify_ends(view, id, view.need(PARTITION, str(id)), f"{topic}/{number}")
