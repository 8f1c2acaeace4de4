"""The folder of an embedded log, how its SQLite file is opened, and what its errors mean.

    log.db, log.db-wal, log.db-shm   SQLite in WAL mode; the schema is `SCHEMA`
    write.lock                       the queue of the writers (`lock.py`)
    members/<id>.lock                held by each member of a group for its life
    bells/<id>                       named pipes, to wake the other processes (`bell.py`)
    format                           says that a log is here: a log.db that vanished is not taken for a new one

What is synced to disk when (``durability="full"``, SQLite's ``synchronous=FULL``):
the WAL at every commit, before the commit is reported; WAL and main file at a
checkpoint; the folder when files are created in it. So what was reported as
committed survives a power cut. With ``"fast"`` (``synchronous=NORMAL``) the WAL
is synced only at a checkpoint: a power cut may take the last commits, always
from the end, and nothing else; a killed process loses nothing either way.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from streamflow.errors import ConfigError, LogCorrupt, LogError, LogUnavailable


class LogClosed(LogUnavailable):
    """The log was closed in this process."""


Connect = Callable[..., sqlite3.Connection]
Durability = Literal["full", "fast"]

DATABASE = "log.db"
WRITE_LOCK = "write.lock"
MEMBERS = "members"
BELLS = "bells"
FORMAT = "format"
FORMAT_VERSION = 1

SCHEMA = (
    # See batches.py: id = partition << 43 | base offset, so one b-tree holds all partitions in order, without an index.
    "CREATE TABLE batches (id INTEGER PRIMARY KEY, head BLOB NOT NULL, data BLOB NOT NULL)",
    # See control.py: all else, small rows of JSON, each with its checksum.
    "CREATE TABLE control (kind TEXT, scope TEXT, name TEXT, value BLOB NOT NULL, sum INTEGER NOT NULL,"
    " PRIMARY KEY (kind, scope, name)) WITHOUT ROWID",
    # See commits.py: the ids of commits, 64 to a row.
    "CREATE TABLE commits (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
)

_PAGE = 8192  # of 4, 8, 16 and 32 KB the best for small commits, and within 10 % of the best for reading
_SYNCHRONOUS = {"full": "FULL", "fast": "NORMAL"}
_WAL_KEPT = 64 * 1024 * 1024
BUSY_SECONDS = 10.0

_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_ERROR,  # a table that is not there
    sqlite3.SQLITE_CONSTRAINT,  # a row that should not be there
}
_REFUSED = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN}
_ADVICE = "restore the folder from a copy, or move it away to begin anew"


def connection(folder: Path, connect: Connect, durability: str, wait: float) -> sqlite3.Connection:
    """An open connection with every setting made; refuses a file that is not in WAL mode."""
    made = connect(str(folder / DATABASE), timeout=wait, isolation_level=None, check_same_thread=False)
    try:
        settle(made, durability)
        mode = made.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":
            # In another mode SQLite would pass over the WAL, and with it the newest commits.
            raise damaged(folder, f"{DATABASE} is in journal mode {mode!r} instead of 'wal'")
    except BaseException:
        made.close()
        raise
    return made


def settle(made: sqlite3.Connection, durability: str) -> None:
    """The settings of every connection."""
    for pragma in (
        f"synchronous={_SYNCHRONOUS[durability]}",
        "wal_autocheckpoint=0",  # done under the write lock instead (database.py)
        f"journal_size_limit={_WAL_KEPT}",
        "secure_delete=OFF",
        "cell_size_check=ON",  # notice a damaged page when it is read, not when it is changed
        "trusted_schema=OFF",
    ):
        made.execute(f"PRAGMA {pragma}").fetchone()


def create(folder: Path, connect: Connect, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make the file with its tables and first rows, and say that it is there; the caller holds the write lock.

    It gets its name when it is whole and synced: two syncs instead of the seven that SQLite would make on the way.
    """
    if not (folder / DATABASE).exists():
        young = folder / (DATABASE + ".new")
        for left in folder.glob(young.name + "*"):
            left.unlink()
        made = connect(str(young), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (f"page_size={_PAGE}", "journal_mode=WAL", "synchronous=OFF"):
                made.execute(f"PRAGMA {pragma}").fetchone()
            made.execute("BEGIN IMMEDIATE")
            for table in SCHEMA:
                made.execute(table)
            fill(made)
            made.execute("COMMIT")
        finally:
            made.close()
        sync(young)
        os.rename(young, folder / DATABASE)
    mark(folder)


def mark(folder: Path) -> None:
    """Say, once the log is there, that this folder holds one."""
    young = folder / (FORMAT + ".new")
    with open(young, "w") as file:
        file.write(f"A streamflow log, format {FORMAT_VERSION}. Keep all files of this folder together.\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(young, folder / FORMAT)
    sync(folder)


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, survive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def damaged(folder: Path, what: object) -> LogCorrupt:
    """The error for damage: what was found, and what to do."""
    return LogCorrupt(f"the log in {folder} is damaged: {what}; {_ADVICE}")


def unavailable(folder: Path, what: object) -> LogUnavailable:
    """The error for what may pass: nothing was changed."""
    return LogUnavailable(f"the log in {folder} cannot be used for now: {what}; nothing was changed")


def closed(folder: Path) -> LogClosed:
    """The error of a log that was closed here."""
    return LogClosed(f"the log in {folder} cannot be used for now: it is closed; nothing was changed")


def translated(folder: Path, error: Exception) -> LogError:
    """What an error of SQLite, the system or a damaged row means to the user."""
    if isinstance(error, LogCorrupt) and _ADVICE not in str(error):
        return damaged(folder, error)
    if isinstance(error, LogError):
        return error
    if isinstance(error, sqlite3.Error):
        code = primary_code(error)
        if code in _DAMAGE or "decode to UTF-8" in str(error):
            return damaged(folder, error)
        return unavailable(folder, _plain(error, code))
    if isinstance(error, OSError):
        return unavailable(folder, f"{error.strerror or error} ({error.filename})" if error.filename else error)
    return damaged(folder, f"{type(error).__name__}: {error}")


def refused(error: sqlite3.Error) -> bool:
    """Whether a COMMIT that failed so surely did not happen.

    A full disk stops SQLite before the last frame, the one that makes a commit; the
    others stop it before the first. After any other error (a failed sync) a commit
    that looks undone may come back when the WAL is next recovered.
    """
    return primary_code(error) in _REFUSED


def primary_code(error: sqlite3.Error) -> int | None:
    """SQLite's error code without its extension."""
    code: Any = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _plain(error: sqlite3.Error, code: int | None) -> str:
    if code == sqlite3.SQLITE_FULL:
        return f"{error} (the disk is full)"
    if code == sqlite3.SQLITE_READONLY:
        return f"{error} (no right to write there)"
    return str(error)


def check_durability(durability: str) -> None:
    """Refuse what is neither "full" nor "fast"."""
    if durability not in _SYNCHRONOUS:
        raise ConfigError(
            f'durability is {durability!r}; write "full", or "fast" to give up the last commits in a power cut'
        )
