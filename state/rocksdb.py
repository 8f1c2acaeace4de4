"""A base on disk: one RocksDB, one column family, rows and meta record in the same write batch.

The write-ahead log is on and never synced: a killed process loses nothing, a
power cut loses the newest batches as a whole, and the changelog brings them
back, because each batch carries its position. Two traps of the binding are
kept off here: an iterator ends silently at a damaged block unless it is asked
for its status, and an open iterator keeps the directory's lock after `close`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from weakref import WeakSet

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from streamflow.errors import StateError, StoreCorrupt, StoreLocked, StoreStalled, StoreUnavailable
from streamflow.state.budget import Budget
from streamflow.state.keys import DISK_DATA, DISK_END, DISK_META
from streamflow.state.locks import HERE


class RocksBase:
    """See `contract.Base`. Opens ``path``, making it if need be; ``budget`` bounds the memory of all stores together.

    Raises `StoreLocked`, `StoreCorrupt`, or `StateError` when the disk or the permissions are at fault.
    """

    def __init__(self, path: str | Path, budget: Budget) -> None:
        self.path = os.path.abspath(path)
        if self.path in HERE:
            raise StateError(f"the store in {self.path} is already open in this process; close it first")
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._db = Rdict(self.path, _options(budget))
        except OSError as error:
            raise StateError(f"the directory {self.path} cannot be made ({error.strerror}); check state_dir") from error
        except Exception as error:
            raise failure(self.path, error, "opened") from error
        HERE.add(self.path)
        self._closed = False
        self._budget = budget
        budget.join(self)
        self._scans: WeakSet[_Scan] = WeakSet()
        self._write_options = WriteOptions()
        # A stalled write would hold the interpreter's lock: better to be refused and ask again.
        self._write_options.no_slowdown = True

    def get(self, key: bytes) -> bytes | None:
        try:
            row: bytes | None = self._db.get(DISK_DATA + key)
        except Exception as error:
            raise failure(self.path, error, "read") from error
        return row

    def scan(self, low: bytes, high: bytes | None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows as they are now; a write during the scan does not show in it."""
        options = ReadOptions()
        options.set_iterate_upper_bound(DISK_END if high is None else DISK_DATA + high)
        try:
            cursor = self._db.iter(options)
            if reverse:
                cursor.seek_to_last()
            else:
                cursor.seek(DISK_DATA + low)
        except Exception as error:
            raise failure(self.path, error, "read") from error
        scan = _Scan(self.path, cursor, options, self._scans)
        # No lower bound is set for a reverse scan: the binding sets the upper one instead.
        return scan.backward(DISK_DATA + low) if reverse else scan.forward()

    def write(
        self,
        items: Iterable[tuple[bytes, bytes | None]],
        meta: bytes,
        expired: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """All of it or nothing. Rows in ascending order go in a third faster."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for low, high in expired:
            batch.delete_range(DISK_DATA + low, DISK_DATA + high)
        for key, value in items:
            if value is None:
                delete(DISK_DATA + key)
            else:
                put(DISK_DATA + key, value)
        put(DISK_META, meta)
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise failure(self.path, error, "written") from error
        self._budget.relieve()

    def buffered(self) -> int:
        """Bytes that wait in memory for the next table."""
        return self._db.property_int_value("rocksdb.cur-size-active-mem-table") or 0

    def unload(self) -> None:
        """Write them as a table, in the background; if that fails the next write tells."""
        with contextlib.suppress(Exception):
            self._db.flush(wait=False)

    def meta(self) -> bytes | None:
        try:
            record: bytes | None = self._db.get(DISK_META)
        except Exception as error:
            raise failure(self.path, error, "read") from error
        return record

    def size(self) -> int:
        """Roughly how many rows, by RocksDB's own estimate."""
        if self._closed:
            return 0
        return max(0, (self._db.property_int_value("rocksdb.estimate-num-keys") or 0) - 1)

    def figures(self) -> dict[str, int]:
        """What RocksDB counts anyway; asked once a scrape."""
        if self._closed:
            return {}
        ask = self._db.property_int_value
        return {name: sum(ask(f"rocksdb.{each}") or 0 for each in properties) for name, properties in _FIGURES.items()}

    def close(self) -> None:
        """Write down what is buffered and free the lock, scans under way notwithstanding: their next row raises."""
        if self._closed:
            return
        self._closed = True
        HERE.discard(self.path)
        self._budget.leave(self)
        for scan in list(self._scans):
            scan.end()
        try:
            self._db.close()
        except Exception as error:
            raise failure(self.path, error, "closed") from error


_FIGURES = {
    "disk_bytes": ("total-sst-files-size",),
    "memory_bytes": ("cur-size-all-mem-tables", "estimate-table-readers-mem"),
    "pending_compaction_bytes": ("estimate-pending-compaction-bytes",),
    "write_stopped": ("is-write-stopped",),
    "delayed_write_bytes_per_second": ("actual-delayed-write-rate",),
    "block_cache_bytes": ("block-cache-usage",),
}
"""RocksDB's properties; the cache is one for all stores of a process."""


class _Scan:
    """One iterator, owned by the base so that it can be let go at close."""

    def __init__(self, path: str, cursor: RdictIter, options: ReadOptions, scans: WeakSet[_Scan]) -> None:
        self._path = path
        self._cursor: RdictIter | None = cursor
        # The iterator points into the options' memory: without them it has lost its upper bound.
        self._options = options
        self._scans = scans
        scans.add(self)

    def end(self) -> None:
        self._cursor = None
        self._scans.discard(self)

    def forward(self) -> Iterator[tuple[bytes, bytes]]:
        try:
            while (cursor := self._cursor) is not None and cursor.valid():
                row = cursor.key()[1:], cursor.value()
                cursor.next()
                del cursor
                yield row
            self._check()
        finally:
            self.end()

    def backward(self, low: bytes) -> Iterator[tuple[bytes, bytes]]:
        try:
            while (cursor := self._cursor) is not None and cursor.valid() and (key := cursor.key()) >= low:
                row = key[1:], cursor.value()
                cursor.prev()
                del cursor
                yield row
            self._check()
        finally:
            self.end()

    def _check(self) -> None:
        if self._cursor is None:
            raise StateError(f"the store in {self._path} was closed during a scan of it; scan it anew")
        try:
            self._cursor.status()
        except Exception as error:
            raise failure(self._path, error, "read") from error


def failure(path: str, error: Exception, doing: str) -> StateError:
    """The binding's bare exception as one that says whose fault it is: our files', the moment's, or the machine's."""
    text = str(error)
    if isinstance(error, DbClosedError):
        return StateError(f"the store in {path} is closed")
    if "No space left" in text or "Disk quota exceeded" in text:
        return StoreStalled(f"the store in {path} cannot be {doing}: the disk is full; free some space ({text})")
    if "Result incomplete" in text or "Write stall" in text:
        return StoreStalled(f"the store in {path} takes no writes for now ({text})")
    if "Resource temporarily unavailable" in text:
        return StoreLocked(f"the store in {path} is held by another process")
    if any(sign in text for sign in _MACHINE):
        return StoreUnavailable(f"the store in {path} cannot be {doing} ({text}); check the disk and its permissions")
    return StoreCorrupt(f"the store in {path} cannot be {doing} ({text})")


_MACHINE = (
    "Permission denied",
    "Read-only file system",
    "Too many open files",
    "Input/output error",
    "No locks available",
    "Operation not permitted",
    "Cannot allocate memory",
)


def _options(budget: Budget) -> Options:
    cache, buffers = budget.shared(_share)
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(10, False)
    # Whole, the filter and the index of a large table are a megabyte that one look-up drives out of the cache and the
    # next brings back. In parts of a block's size they cost what a block does.
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)
    table.set_metadata_block_size(4096)
    table.set_pin_top_level_index_and_filter(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_manager(buffers)
    options.set_write_buffer_size(8 * 1024 * 1024)
    options.set_max_write_buffer_number(3)
    options.set_arena_block_size(64 * 1024)
    # A row that is looked for is rarely in the buffer that was written last: a filter of a twentieth of it saves a
    # quarter of the look-up.
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.05)
    options.set_level_zero_slowdown_writes_trigger(24)
    options.set_level_zero_stop_writes_trigger(40)
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(1)
    options.set_max_log_file_size(1024 * 1024)
    options.set_stats_dump_period_sec(0)
    options.set_compression_type(DBCompressionType.lz4())
    return options


def _share(total_bytes: int) -> tuple[Cache, WriteBufferManager]:
    cache = Cache(total_bytes)
    return cache, WriteBufferManager.new_write_buffer_manager_with_cache(total_bytes // 2, False, cache)
