"""What goes wrong, where, and whether it did.

Every call into the log, every statement that writes, every write to a store and
every turn of a process is a *point*. `Faults.at` is called there with the kinds
of misfortune that make sense; a seeded draw, or the plan of one exact run,
decides. Points are counted when they are passed and faults when they happen,
so a test can ask whether its fault happened at all.

A crash is a `Crash`: no ``except Exception`` holds it up, and once a process is
dead each of its later points raises it again, so nothing it does can reach the
disk. What it has written stays.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from streamflow.errors import StoreCorrupt, StoreStalled

T = TypeVar("T")

FULL, IO_ERROR, BUSY, CANNOT_OPEN = 13, 10, 5, 14
RARE = 3


class Crash(BaseException):
    """The process is dead; nothing of it goes on."""


class Victim(Protocol):
    """A process as the faults see it."""

    dead: bool

    def die(self) -> None: ...


class Faults:
    """Draws misfortunes. ``rate`` is their share of all points; ``crash_at`` is the one point to crash at, and no other fault."""

    def __init__(self, rng: random.Random, *, rate: float, crash_at: int | None = None) -> None:
        self.rate = rate
        self.passed: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self.points = 0
        self._rng = rng
        self._crash_at = crash_at

    def at(self, victim: Victim, point: str, *kinds: str, weight: float = 1.0) -> str | None:
        """Pass a point: gives the kind of fault that is to happen here, if any; raises `Crash` itself."""
        if victim.dead:
            raise Crash(point)
        self.passed[point] += 1
        self.points += 1
        if self.passed[point] <= RARE:
            weight *= 5  # what a run passes once or twice would hardly ever be hit
        if self._crash_at is not None:
            kind = "crash" if self.points == self._crash_at and "crash" in kinds else None
        else:
            kind = self._rng.choice(kinds) if self.rate and self._rng.random() < self.rate * weight else None
        if kind is None:
            return None
        self.happened[f"{point}: {kind}"] += 1
        if kind == "crash":
            victim.die()
            raise Crash(point)
        return kind

    def note(self, what: str) -> None:
        """Something that was done to the world at large."""
        self.happened[what] += 1

    def missed(self) -> list[str]:
        """Points that were passed and never saw any fault."""
        hit = {name.rsplit(": ", 1)[0] for name in self.happened}
        return sorted(point for point in self.passed if point not in hit)


def sqlite_error(code: int, text: str) -> sqlite3.OperationalError:
    """SQLite's error as the driver would raise it."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class SimRunner:
    """Runs the log's blocking work inline, at one moment of virtual time, after and before a short wait."""

    def __init__(self, victim: Any, faults: Faults, rng: random.Random) -> None:
        self._victim = victim
        self._faults = faults
        self._rng = rng

    async def call(self, fn: Callable[..., T], *args: Any) -> T:
        point = f"log {_named(fn, args)}"
        kind = self._faults.at(self._victim, f"{point}, before", "crash", "slow", "hang")
        if self._victim.stalls and point == "log commit":
            self._faults.note("zombie: stalled before its commit")
            self._victim.stalls = False
            kind = "hang"
        if kind == "hang":  # stopped as by SIGSTOP, with all it has in hand
            self._victim.stop_for(self._rng.choice((0.3, 2.0, 3.0)))
        await self._wait(kind)
        try:
            answer = fn(*args)
        except Crash:
            self._victim.bury()  # it may have died inside a transaction, which must not stay open
            raise
        await self._wait(self._faults.at(self._victim, f"{point}, after", "crash", "slow"))
        return answer

    async def _wait(self, kind: str | None) -> None:
        await asyncio.sleep(self._rng.random() * (0.5 if kind == "slow" else 0.001))


def _named(fn: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """The work that a call is about: `Database.read` and `write` take it as an argument."""
    work = next((arg for arg in args if callable(arg)), fn)
    return str(getattr(work, "__name__", "?")).lstrip("_")


def connector(victim: Any, faults: Faults) -> Callable[..., sqlite3.Connection]:
    """A `connect` whose connections fail at BEGIN and COMMIT, before and after it is done, and read batches wrongly."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> Any:
            if sql == "BEGIN IMMEDIATE":
                if faults.at(victim, "sql begin", "crash", "busy"):
                    raise sqlite_error(BUSY, "database is locked")
            elif sql == "COMMIT" and self.total_changes:
                return self._commit()
            elif sql.startswith("PRAGMA synchronous"):
                sql = "PRAGMA synchronous=OFF"  # the folder is in memory, power cuts are made by hand
            elif sql.startswith("SELECT id, head, data FROM batches"):
                return self._batches(sql, *args)
            return super().execute(sql, *args)

        def _batches(self, sql: str, *args: Any) -> Any:
            """A bit that flipped between disk and memory: gone with the next read."""
            if not faults.at(victim, "sql read batches", "crash", "flipped"):
                return super().execute(sql, *args)
            found = super().execute(sql, *args).fetchall()
            if found:
                id, head, data = found[-1]
                found[-1] = id, head, data[:-2] + bytes((data[-2] ^ 1,)) + data[-1:]
            return iter(found)

        def _commit(self) -> Any:
            before = faults.at(victim, "sql commit, before", "crash", "full", "io error", weight=3)
            if before == "full":
                raise sqlite_error(FULL, "database or disk is full")
            if before:
                super().execute("ROLLBACK")
                victim.doubt = True
                raise sqlite_error(IO_ERROR, "disk I/O error")
            # No cursor may live on in the traceback of what is raised here: it would keep the file open.
            super().execute("COMMIT").close()
            if faults.at(victim, "sql commit, after", "crash", "io error", weight=3):
                victim.doubt = True
                raise sqlite_error(IO_ERROR, "disk I/O error")
            return self.cursor()

    def connect(path: str, **options: Any) -> sqlite3.Connection:
        # After an error at COMMIT the file is opened again to see; if that fails too, nobody knows.
        weight = 200 if victim.doubt else 1
        victim.doubt = False
        if faults.at(victim, "sql open", "crash", "cannot open", "cannot open", weight=weight):
            raise sqlite_error(CANNOT_OPEN, "unable to open database file")
        connection = sqlite3.connect(path, factory=Connection, **options)
        victim.connections.append(connection)
        return connection

    return connect


def store_fault(kind: str | None, path: str) -> None:
    """Raise what a store would."""
    if kind == "stalled":
        raise StoreStalled(f"the store in {path} takes no writes for now (simulated)")
    if kind == "corrupt":
        raise StoreCorrupt(f"the store in {path} cannot be read (simulated)")
