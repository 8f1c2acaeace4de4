"""Closing windows: which rows are final now, in the order of their starts, then of their keys.

A window store lies on disk by segment and key, so finding the rows of one
window means reading a whole segment: all windows of half the retention. So the
starts and keys of open rows are remembered, from the first row of a window on
(after a restart they are read from the store), up to a bound; beyond it the
store is read after all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Any

from streamflow.operators.contract import Emit, Scope
from streamflow.windows import TimeWindow

MOST_REMEMBERED = 200_000
"""Rows; each takes about 100 bytes."""

Note = Callable[[Any, int], None]


def closing(
    store: Any, window: TimeWindow, windowed: Callable[[Any, int], Any], emit: Emit, scope: Scope
) -> tuple[Callable[[int], None], Note]:
    """``close(stream_time)``, which emits what is final, and ``note(key, start)``, to be told of each new row.

    A windowed step calls `close` before it stores the record that moved time: the store forgets old
    windows as new ones come.
    """
    closed = scope.stream_time("closed")  # every window that starts before `closed.now` is closed and emitted
    advance, until_closed = window.advance_ms, window.size_ms + window.grace_ms
    rows = OpenRows(store, scope.encode_key, max(closed.now, 0))
    emit = scope.apart(emit)

    def close(now: int) -> None:
        first = closed.now if closed.now > 0 else 0
        if now < first + until_closed:
            return
        last = (now - until_closed) // advance * advance
        # Noted first: what the rows set off downstream may raise, and then this is taken back with all else.
        closed.now = last + advance
        for key, start, (total, timestamp) in rows.between(first, last):
            emit(windowed(key, start), total, None, timestamp)

    return close, rows.note


class OpenRows:
    """The rows of a window store that start at ``first`` or later: some of them may be gone, none is missing."""

    def __init__(self, store: Any, key_bytes: Callable[[Any], bytes], first: int) -> None:
        self._store = store
        self._key_bytes = key_bytes
        self._keys: dict[int, dict[bytes, Any]] | None = {}
        self._starts: list[int] = []  # ascending
        self._count = 0
        for (key, start, _), _ in islice(store.fetch_all(first, None), MOST_REMEMBERED + 1):
            self.note(key, start)

    def note(self, key: Any, start: int) -> None:
        """There is a row of this key in the window that starts here."""
        if self._keys is None:
            return
        if (keys := self._keys.get(start)) is None:
            keys = self._keys[start] = {}
            insort(self._starts, start)
        if (data := self._key_bytes(key)) not in keys:
            keys[data] = key
            self._count += 1
            if self._count > MOST_REMEMBERED:
                self._keys = None

    def between(self, first: int, last: int) -> Iterator[tuple[Any, int, tuple[Any, int]]]:
        """``(key, start, (total, timestamp))`` of the rows with ``first <= start <= last``, by start, then by key."""
        if self._keys is None:
            # Rows come segment by segment and by key in it; sorting by start leaves equal ones as they were.
            rows = self._store.fetch_all(first, last, with_timestamps=True)
            yield from ((key, start, pair) for (key, start, _), pair in sorted(rows, key=_start))
            return
        # What an earlier call gave is forgotten only now, for that call may have been taken back.
        starts = self._starts
        gone = bisect_left(starts, first)
        for start in starts[:gone]:
            self._count -= len(self._keys.pop(start))
        del starts[:gone]
        for start in starts[: bisect_right(starts, last)]:
            for _, key in sorted(self._keys[start].items(), key=_bytes):
                if (pair := self._store.get_pair(key, start)) is not None:
                    yield key, start, pair


def _start(row: Any) -> int:
    return int(row[0][1])


def _bytes(item: tuple[bytes, Any]) -> bytes:
    return item[0]


Span = tuple[int, bytes, int, Any]
"""End, the key's bytes, start, the key."""


class OpenSpans:
    """The rows of a store whose windows or sessions differ in length, by their ends: some of them may be gone, none is
    missing. ``rows(first, limit)`` reads those with ``first <= end < limit`` from the store, when there are too many."""

    def __init__(self, rows: Callable[[int, int], list[Span]], first: int) -> None:
        self._rows = rows
        self._noted: set[tuple[int, bytes, int]] = set()
        self._heap: list[tuple[int, bytes, int, int]] | None = []
        self._keys: dict[int, Any] = {}
        self._count = 0
        self._given: list[tuple[int, bytes, int, int]] = []
        for end, data, start, key in rows(first, _FOREVER):
            self.note(key, data, start, end)

    def note(self, key: Any, data: bytes, start: int, end: int) -> None:
        """There is a row of this key from ``start`` to ``end``."""
        if self._heap is None or (at := (end, data, start)) in self._noted:
            return
        self._noted.add(at)
        self._count += 1
        self._keys[self._count] = key  # apart, for keys need no order
        heappush(self._heap, (*at, self._count))
        if len(self._noted) > MOST_REMEMBERED:
            self._heap = None
            self._noted.clear()
            self._keys.clear()
            self._given.clear()

    def between(self, first: int, limit: int) -> list[Span]:
        """Those with ``first <= end < limit``, by end, then by key."""
        if self._heap is None:
            return sorted(self._rows(first, limit), key=_span)
        # What an earlier call gave is forgotten only now, for that call may have been taken back.
        for entry in self._given:
            if entry[0] >= first:
                heappush(self._heap, entry)
            else:
                self._noted.discard(entry[:3])
                self._keys.pop(entry[3], None)
        self._given = []
        while self._heap and self._heap[0][0] < limit:
            self._given.append(heappop(self._heap))
        return [(end, data, start, self._keys[number]) for end, data, start, number in self._given]


_FOREVER = (1 << 63) - 1


def _span(span: Span) -> tuple[int, bytes, int]:
    return span[:3]
