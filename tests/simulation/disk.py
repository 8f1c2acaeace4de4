"""Stores that outlive their process: rows in memory, with the ways of dying of a disk.

A write is whole or absent, as a RocksDB write batch is; a power cut takes the
newest batches, as an unsynced write-ahead log does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamflow.clock import Clock
from streamflow.errors import StateError
from streamflow.log.contract import Offsets
from streamflow.runtime.recovery import Place
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import Meta, decode, encode
from streamflow.state.open import Expectation, disbelief
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store

from .faults import Faults, store_fault
from .script import STORES, changelog_key

UNSYNCED = 6


class Image(NamedTuple):
    """What a base held after some write, or a query saw: rows by changelog key, and which changelog partition it is."""

    store: str
    changelog: tuple[str, int]
    rows: dict[bytes, bytes]
    meta: Meta


@dataclass
class Directory:
    """What lies on the disk of one process for one store of one task."""

    path: str
    base: MemoryBase = field(default_factory=MemoryBase)
    open: bool = False
    before: list[tuple[dict[bytes, bytes], bytes | None]] = field(
        default_factory=list[tuple[dict[bytes, bytes], bytes | None]]
    )

    def rows(self) -> dict[bytes, bytes]:
        return dict(self.base.scan(b"", None))

    def power_cut(self, lost: int) -> None:
        """The newest ``lost`` writes never reached the disk."""
        for _ in range(min(lost, len(self.before))):
            rows, meta = self.before.pop()
            self.base = MemoryBase(self.path)
            if meta is not None:
                self.base.write(rows.items(), meta)


class FaultyBase:
    """A `Base` over a directory, as one life of a process sees it."""

    def __init__(self, directory: Directory, victim: Any, faults: Faults, watch: Callable[[Directory], None]) -> None:
        self.path = directory.path
        self._directory = directory
        self._victim = victim
        self._faults = faults
        self._watch = watch

    def get(self, key: bytes) -> bytes | None:
        store_fault(self._faults.at(self._victim, "store get", "crash", "corrupt", weight=0.1), self.path)
        return self._directory.base.get(key)

    def scan(self, low: bytes, high: bytes | None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        store_fault(self._faults.at(self._victim, "store scan", "crash", "corrupt"), self.path)
        return self._directory.base.scan(low, high, reverse)

    def write(
        self,
        items: Iterable[tuple[bytes, bytes | None]],
        meta: bytes,
        expired: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        store_fault(self._faults.at(self._victim, "store write, before", "crash", "stalled", weight=3), self.path)
        directory = self._directory
        directory.before.append((directory.rows(), directory.base.meta()))
        del directory.before[:-UNSYNCED]
        directory.base.write(items, meta, expired)
        self._watch(directory)
        self._faults.at(self._victim, "store write, after", "crash", weight=3)

    def meta(self) -> bytes | None:
        return self._directory.base.meta()

    def size(self) -> int:
        return self._directory.base.size()

    def figures(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        self._faults.at(self._victim, "store close", "crash")
        self._directory.open = False


class Disk:
    """The state directory of one process: what `DiskStores` is to RocksDB."""

    def __init__(self, number: int, app_id: str, watch: Callable[[Directory], None]) -> None:
        self.directories: dict[tuple[str, str], Directory] = {}
        self.rebuilt = 0
        self._number = number
        self._app_id = app_id
        self._watch = watch

    def power_cut(self, lost: Callable[[], int]) -> None:
        for directory in self.directories.values():
            directory.power_cut(lost())

    def died(self) -> None:
        """The process is gone, and with it its locks."""
        for directory in self.directories.values():
            directory.open = False

    def holding(self) -> dict[str, int]:
        return {task: 1 for task, _ in self.directories}

    def opener(self, victim: Any, faults: Faults, clock: Clock) -> Callable[..., Store]:
        """An `OpenStore` for one life of the process."""

        def open_store(
            place: Place, spec: StoreSpec, incarnation: str, offsets: Offsets, rejected: str | None = None
        ) -> Store:
            faults.at(victim, "store open", "crash")
            where = place.name, spec.name
            directory = self.directories.get(where)
            if directory is not None and directory.open:
                raise StateError(f"the store in {directory.path} is already open in this process; close it first")
            expect = Expectation(
                app_id=self._app_id,
                store=spec.name,
                changelog=place.sub.changelogs.get(spec.name),
                partition=place.partition,
                now_ms=clock.now_ms(),
                incarnation=incarnation or None,
                log_start=offsets.start,
                log_end=offsets.end,
            )
            if directory is None or rejected or self._disbelieved(directory, expect):
                self.rebuilt += directory is not None
                directory = self._fresh(where, expect)
            directory.open = True
            return Store(spec, FaultyBase(directory, victim, faults, self._watch), undo=place.undo)

        return open_store

    def _disbelieved(self, directory: Directory, expect: Expectation) -> bool:
        record = directory.base.meta()
        return record is None or disbelief(decode(record), expect) is not None

    def _fresh(self, where: tuple[str, str], expect: Expectation) -> Directory:
        directory = self.directories[where] = Directory(f"disk {self._number}/{where[0]}/{where[1]}")
        own = Meta(
            app_id=expect.app_id,
            store=expect.store,
            changelog=expect.changelog or "",
            partition=expect.partition,
            incarnation=expect.incarnation or "",
            written_at=expect.now_ms,
        )
        directory.base.write((), encode(own))
        return directory


def image(directory: Directory) -> Image:
    """What a directory holds now."""
    record = directory.base.meta()
    assert record is not None
    meta = decode(record)
    spec = next(spec for spec in STORES if spec.name == meta.store)
    rows = {changelog_key(spec, key): row for key, row in directory.rows().items()}
    return Image(meta.store, (meta.changelog, meta.partition), rows, meta)


def view_of(store: Store, changelog: str, partition: int) -> Image:
    """What a query sees of a key-value store now."""
    view: Any = store.view(key_raw=True, value_raw=True)
    rows = {key: struct.pack(">q", time) + value for key, (value, time) in view.all(with_timestamps=True)}
    meta = Meta(app_id="", changelog=changelog, partition=partition, position=store.position)
    return Image(f"{store.spec.name} as queried", (changelog, partition), rows, meta)
