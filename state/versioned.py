"""Versioned stores: what a key's value was at a time, as far back as the history goes.

All versions of a key that anybody may still ask for lie in one row, the newest first:

    int64 timestamp | int32 length of the value, -1 for a deletion | value | the next older one ...

A version is valid from its timestamp until that of the next; the newest has no
end. What ended before the history is dropped when its key is written next. Time
is the greatest timestamp put; what is older than it by more than the history is
neither put nor found.

So a question costs one look-up, and a put writes the key's history anew, in the
store and in the changelog: fit for keys with few changes within it.

Source: Kafka Streams' VersionedKeyValueStore (KIP-889), by the fixtures of its answers.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from streamflow.errors import StoreCorrupt
from streamflow.state.forms import Form
from streamflow.state.horizon import Horizon
from streamflow.state.keyvalue import KeyValueHandle, KeyValueView, Scan
from streamflow.state.layers import Layers, Pair, Undo
from streamflow.state.spec import StoreSpec

K = TypeVar("K")
V = TypeVar("V")

LATEST = -1
"""What `VersionedHandle.put` gives for the newest version."""
NOT_PUT = -(1 << 63)
"""What it gives for one that is older than the history."""

_HEAD = struct.Struct(">qi")

Row = tuple[int, bytes | None]
"""Timestamp and value bytes of a version; None is a deletion."""


class Versioned(NamedTuple, Generic[V]):
    """A version: valid from ``timestamp`` until before ``valid_to`` (None: it is the newest)."""

    value: V
    timestamp: int
    valid_to: int | None


class VersionedView(Generic[K, V]):
    """What can be asked of a versioned store. Times are in milliseconds.

    ``get_pair``, ``all``, ``range`` and ``page`` give the newest versions, as of a plain key-value store.
    """

    def __init__(self, rows: KeyValueView[K, bytes], form: Form, sight: Callable[[], int], history_ms: int) -> None:
        self.name = rows.name
        self._rows = rows
        self._form = form
        self._sight = sight
        self._history_ms = history_ms

    def get_pair(self, key: K) -> tuple[V, int] | None:
        """``(value, timestamp)`` of the newest version, or None."""
        pair = self._rows.get_pair(key)
        return None if pair is None else self._newest(pair[0])

    def get(self, key: K, as_of: int | None = None) -> Versioned[V] | None:
        """The newest version, or the one that was valid at ``as_of``; None if there was none, or it is too long ago."""
        if as_of is None:
            found = self.get_pair(key)
            return None if found is None else Versioned(*found, None)
        if as_of < self._oldest():
            return None
        valid_to: int | None = None
        for timestamp, value in self._versions(key):
            if timestamp <= as_of:
                return None if value is None else Versioned(self._form.value(value), timestamp, valid_to)
            valid_to = timestamp
        return None

    def history(self, key: K, first: int, last: int) -> Iterator[Versioned[V]]:
        """The versions that were valid at some time from ``first`` to ``last``, oldest first."""
        first = max(first, self._oldest())
        found: list[Versioned[V]] = []
        valid_to: int | None = None
        for timestamp, value in self._versions(key):
            if value is not None and timestamp <= last and (valid_to is None or valid_to > first):
                found.append(Versioned(self._form.value(value), timestamp, valid_to))
            valid_to = timestamp
        return reversed(found)

    def all(self, reverse: bool = False, *, with_timestamps: bool = False) -> Iterator[tuple[K, Any]]:
        """The newest version of every key that has one."""
        return self._shaped(self._rows.all(reverse), with_timestamps)

    def range(
        self, low: K | None = None, high: K | None = None, reverse: bool = False, *, with_timestamps: bool = False
    ) -> Iterator[tuple[K, Any]]:
        """The same for ``low <= key <= high``."""
        return self._shaped(self._rows.range(low, high, reverse), with_timestamps)

    def page(self, low: bytes, high: bytes | None, rows: int) -> tuple[list[tuple[K, tuple[V, int]]], bytes | None]:
        """See `KeyValueView.page`."""
        found, following = self._rows.page(low, high, rows)
        page = [(key, newest) for key, (row, _) in found if (newest := self._newest(row)) is not None]
        return page, following

    def approximate_size(self) -> int:
        """Roughly how many keys."""
        return self._rows.approximate_size()

    def _shaped(self, rows: Iterator[tuple[K, Any]], with_timestamps: bool) -> Iterator[tuple[K, Any]]:
        for key, row in rows:
            if (newest := self._newest(row)) is not None:
                yield key, newest if with_timestamps else newest[0]

    def _newest(self, row: bytes) -> tuple[V, int] | None:
        timestamp, value = next(_decoded(row, self.name))
        return None if value is None else (self._form.value(value), timestamp)

    def _versions(self, key: K) -> Iterator[Row]:
        pair = self._rows.get_pair(key)
        return iter(()) if pair is None else _decoded(pair[0], self.name)

    def _oldest(self) -> int:
        """The earliest time that can be asked about."""
        return self._sight() - self._history_ms


class VersionedHandle(VersionedView[K, V]):
    """A versioned store as one step holds it: reads see the step's own writes."""

    def __init__(self, spec: StoreSpec, form: Form, layers: Layers, undo: Undo | None, horizon: Horizon) -> None:
        rows: KeyValueHandle[K, bytes] = KeyValueHandle(
            spec, Form(form.key_in, form.key_out, None, None), layers, undo, _never
        )
        super().__init__(rows, form, lambda: horizon.observed, spec.retention_ms)
        self._handle = rows
        self._horizon = horizon
        self._undo = undo
        self._deleted: deque[tuple[int, K]] = deque()

    def put(self, key: K, value: V | None, timestamp: int) -> int:
        """Put a version (None: deleted from then on), in any order of time.

        Gives the end of its validity, which is the timestamp of the next version: `LATEST` if it is the newest,
        `NOT_PUT` if it is older than the history.
        """
        if timestamp < self._oldest():
            return NOT_PUT
        self._see(timestamp)
        versions = list(self._versions(key))
        place = next((at for at, (time, _) in enumerate(versions) if time <= timestamp), len(versions))
        same = place < len(versions) and versions[place][0] == timestamp
        data: Any = None if value is None else self._form.value_in(value) if self._form.value_in is not None else value
        versions[place : place + same] = [(timestamp, data)]
        self._write(key, versions)
        if place == 0 and data is None:
            self._deleted.append((timestamp, key))
        self._forget_deleted()
        return LATEST if place == 0 else versions[place - 1][0]

    def put_pair(self, key: K, value: V | None, timestamp: int) -> None:
        """The same, for those who do not ask."""
        self.put(key, value, timestamp)

    def delete(self, key: K, timestamp: int) -> Versioned[V] | None:
        """Delete from ``timestamp`` on; gives the version that was valid then, or None."""
        if timestamp < self._oldest():
            return None
        self._see(timestamp)
        before = self.get(key, timestamp)
        self.put(key, None, timestamp)
        return before

    def latest_time(self, key: K) -> int:
        """The timestamp of the newest version, a deletion included; -1 if there is none."""
        return next((time for time, _ in self._versions(key)), -1)

    def _write(self, key: K, versions: list[Row]) -> None:
        oldest = self._oldest()
        keep = 1
        while keep < len(versions) and versions[keep - 1][0] > oldest:
            keep += 1
        row = b"".join(
            _HEAD.pack(time, -1) if data is None else _HEAD.pack(time, len(data)) + data
            for time, data in versions[:keep]
        )
        self._handle.put_pair(key, row, self._horizon.observed)

    def _see(self, timestamp: int) -> None:
        horizon = self._horizon
        if timestamp > horizon.observed:
            if self._undo is not None:
                self._undo.append(partial(horizon.see, horizon.observed))
            horizon.see(timestamp)

    def _forget_deleted(self) -> None:
        """Rows of which only an old deletion is left say nothing any more."""
        oldest = self._oldest()
        while self._deleted and self._deleted[0][0] < oldest:
            _, key = self._deleted.popleft()
            versions = list(self._versions(key))
            if versions and versions[0][1] is None and versions[0][0] < oldest:
                self._handle.put_pair(key, None, self._horizon.observed)


def view_of(
    spec: StoreSpec,
    form: Form,
    find: Callable[[bytes], Pair | None],
    scan: Scan,
    layers: Layers,
    sight: Callable[[], int],
) -> VersionedView[Any, Any]:
    """What is committed, for queries."""
    rows: KeyValueView[Any, bytes] = KeyValueView(spec, Form(form.key_in, form.key_out, None, None), find, scan, layers)
    return VersionedView(rows, form, sight, spec.retention_ms)


def newest(row: bytes, store: str) -> Row:
    """Timestamp and value of the newest version in a row (None: a deletion)."""
    return next(_decoded(row, store))


def _decoded(row: bytes, store: str) -> Iterator[Row]:
    place = 0
    while place < len(row):
        try:
            time, length = _HEAD.unpack_from(row, place)
        except struct.error:
            raise StoreCorrupt(f"store '{store}' holds a row that is no list of versions") from None
        place += _HEAD.size
        if length < 0:
            yield time, None
        else:
            yield time, row[place : place + length]
            place += length


def _never() -> int:
    return 0
