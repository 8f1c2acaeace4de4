"""The small rows: topics, partitions, offsets, owners, groups; each with a checksum, all under one seal.

    kind       scope   name              value
    log                                  LogRow        format and counters
    topic              topic             TopicRow
    partition          partition id      PartitionRow
    trash              partition id      TrashRow      of a deleted topic, rows still to be removed
    lease                                LeaseRow      who does the housekeeping
    offset     group   topic/partition   OffsetRow
    owner      group   task              OwnerRow      who may commit
    group              group             GroupRow      (groups.py)
    seal                                 SealRow       the number and the sum of all checksums

SQLite's main file has no checksums, so a damaged page could change a row, or
make it vanish. A row's own checksum shows the first. The second shows in the
seal: it is changed in the same transaction as the rows it counts, and compared
with all of them whenever the log is opened. Values are JSON, to be read with
any SQLite shell.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import msgspec

from streamflow.errors import LogCorrupt

T = TypeVar("T")

_MASK = (1 << 64) - 1
_ONE = "SELECT value, sum FROM control WHERE kind = ? AND scope = ? AND name = ?"
_ALL = "SELECT scope, name, value, sum FROM control WHERE kind = ?"
_PUT = "INSERT OR REPLACE INTO control VALUES (?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM control WHERE kind = ? AND scope = ? AND name = ?"


class LogRow(msgspec.Struct):
    """Partition and owner ids are never used twice."""

    format: int
    next_partition: int = 0
    next_owner: int = 0


class TopicRow(msgspec.Struct):
    """Its partitions have the ids from ``first`` on."""

    id: str
    first: int
    partitions: int
    config: dict[str, str]


class PartitionRow(msgspec.Struct):
    """``start`` and ``end`` are what readers see; ``first`` is the lowest row still there, ``size`` all rows' bytes.

    ``cleaned`` is the offset below which compaction has been, ``clean_size`` the bytes there.
    """

    start: int = 0
    end: int = 0
    first: int = 0
    size: int = 0
    cleaned: int = 0
    clean_size: int = 0


class TrashRow(msgspec.Struct):
    """A partition whose topic is gone."""

    topic: str


class LeaseRow(msgspec.Struct):
    """Whoever does the housekeeping, and until when (wall clock, ms)."""

    who: str
    until: int


class OffsetRow(msgspec.Struct):
    """A committed input offset."""

    offset: int


class OwnerRow(msgspec.Struct):
    """Only a session of this epoch may commit. ``id`` names the task in the table of commits, ``last`` its last one."""

    id: int
    epoch: int
    last: int = -1


class SealRow(msgspec.Struct):
    """``token`` is of the transaction that wrote it last: the answer to "was it committed?"."""

    count: int = 0
    total: int = 0
    token: str = ""


class Kind(Generic[T]):
    """One kind of row: its name, how its value is read, and whether a writer remembers it between two changes."""

    __slots__ = ("decode", "name", "remembered")

    def __init__(self, name: str, row: type[T], *, remembered: bool = False) -> None:
        self.name = name
        self.decode = msgspec.json.Decoder(row).decode
        self.remembered = remembered


LOG = Kind("log", LogRow)
TOPIC = Kind("topic", TopicRow, remembered=True)
PARTITION = Kind("partition", PartitionRow, remembered=True)
TRASH = Kind("trash", TrashRow)
LEASE = Kind("lease", LeaseRow)
OFFSET = Kind("offset", OffsetRow)
OWNER = Kind("owner", OwnerRow, remembered=True)
SEAL = Kind("seal", SealRow, remembered=True)

_encode = msgspec.json.Encoder().encode
_Key = tuple[str, str, str]


def checksum(kind: str, scope: str, name: str, value: bytes) -> int:
    """64 bits over a row, signed, as SQLite holds integers."""
    digest = blake2b(f"{kind}\0{scope}\0{name}\0".encode() + value, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class View:
    """The rows as one transaction sees them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute

    def get(self, kind: Kind[T], name: str = "", scope: str = "") -> T | None:
        """A row, or None."""
        found = self.execute(_ONE, (kind.name, scope, name)).fetchone()
        return None if found is None else _read(kind, scope, name, *found)

    def need(self, kind: Kind[T], name: str = "", scope: str = "") -> T:
        """A row that must be there."""
        row = self.get(kind, name, scope)
        if row is None:
            raise LogCorrupt(f"the {kind.name} row {scope}{' ' if scope else ''}{name!r} is missing")
        return row

    def scan(self, kind: Kind[T], scope: str | None = None) -> Iterator[tuple[str, str, T]]:
        """All rows of a kind (and a scope): scope, name, row, in order."""
        query, values = (_ALL, (kind.name,)) if scope is None else (_ALL + " AND scope = ?", (kind.name, scope))
        for at, name, value, total in self.execute(query, values).fetchall():
            yield at, name, _read(kind, at, name, value, total)

    def verify(self) -> None:
        """Compare every row with its checksum, and all of them with the seal."""
        count = total = 0
        for kind, scope, name, value, found in self.execute("SELECT kind, scope, name, value, sum FROM control"):
            if checksum(kind, scope, name, value) != found:
                raise LogCorrupt(f"the checksum of the {kind} row {scope} {name!r} is wrong")
            if kind != SEAL.name:
                count += 1
                total = (total + found) & _MASK
        seal = self.need(SEAL)
        if (seal.count, seal.total) != (count, total):
            raise LogCorrupt(f"the seal speaks of {seal.count} control rows and the file holds {count}, or others")


class Memory:
    """What a writer knows, good for as long as nobody else has written: rows, and checksums (None: no row)."""

    __slots__ = ("rows", "sums")

    def __init__(self) -> None:
        self.rows: dict[_Key, Any] = {}
        self.sums: dict[_Key, int | None] = {}


class Change(View):
    """A write transaction. Rows that were put are written together by `flush`, with the seal.

    `get` gives the same object each time, so whoever changes it puts it too, or lets the transaction fail.
    """

    def __init__(self, connection: sqlite3.Connection, token: str, memory: Memory) -> None:
        super().__init__(connection)
        self.executemany = connection.executemany
        self.token = token
        self.written = 0  # bytes of batches, for the pace of checkpoints
        self._rows: dict[_Key, Any] = {}
        self._remembered = memory.rows
        self._sums = memory.sums
        self._pending: dict[_Key, Any] = {}
        self._count = self._total = 0

    def get(self, kind: Kind[T], name: str = "", scope: str = "") -> T | None:
        key = (kind.name, scope, name)
        rows = self._remembered if kind.remembered else self._rows
        row: T | None
        if key in rows:
            row = rows[key]
            return row
        found = self.execute(_ONE, key).fetchone()
        self._sums[key] = None if found is None else found[1]
        rows[key] = row = None if found is None else _read(kind, scope, name, *found)
        return row

    def scan(self, kind: Kind[T], scope: str | None = None) -> Iterator[tuple[str, str, T]]:
        self._write()
        return super().scan(kind, scope)

    def put(self, kind: Kind[T], row: T, name: str = "", scope: str = "") -> None:
        """Set a row."""
        self._set(kind, (kind.name, scope, name), row)

    def delete(self, kind: Kind[Any], name: str = "", scope: str = "") -> None:
        """Remove a row."""
        self._set(kind, (kind.name, scope, name), None)

    def flush(self) -> None:
        """Write what was put, and the seal with this transaction's token."""
        self._write()
        seal = self.get(SEAL) or SealRow()
        seal.count += self._count
        seal.total = (seal.total + self._total) & _MASK
        seal.token = self.token
        self._remembered[SEAL.name, "", ""] = seal
        value = _encode(seal)
        self.execute(_PUT, (SEAL.name, "", "", value, checksum(SEAL.name, "", "", value)))

    def _set(self, kind: Kind[Any], key: _Key, row: Any) -> None:
        self._pending[key] = row
        (self._remembered if kind.remembered else self._rows)[key] = row

    def _write(self) -> None:
        puts: list[tuple[str, str, str, bytes, int]] = []
        for key, row in self._pending.items():
            old = self._sum(key)
            new = None
            if row is not None:
                value = _encode(row)
                new = checksum(*key, value)
                puts.append((*key, value, new))
            elif old is not None:
                self.execute(_DELETE, key)
            self._count += (new is not None) - (old is not None)
            self._total += (new or 0) - (old or 0)
            self._sums[key] = new
        self.executemany(_PUT, puts)
        self._pending.clear()

    def _sum(self, key: _Key) -> int | None:
        if key not in self._sums:
            found = self.execute(_ONE, key).fetchone()
            self._sums[key] = None if found is None else found[1]
        return self._sums[key]


def _read(kind: Kind[T], scope: str, name: str, value: bytes, total: int) -> T:
    if checksum(kind.name, scope, name, value) != total:
        raise LogCorrupt(f"the checksum of the {kind.name} row {scope}{' ' if scope else ''}{name!r} is wrong")
    return kind.decode(value)
