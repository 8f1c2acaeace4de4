"""Hold back the updates of a table, until a time limit or until its windows are closed; the last of each key goes on.

A row waits from its first update on; later ones replace the value and keep the
place. Time is this step's own: the greatest timestamp of the changes it has seen.

    time limit      a row comes out when the limit has passed since the time of its first update; tombstones too
    closed windows  a row comes out when its window can take no more records; a deleted one never does

Rows come out by the time they waited for, then by the bytes of their keys, after
the change that moved time has been taken in. What goes along as old value is
what the row was when it began to wait, which is what was said of it last. They
carry the timestamp and the headers of their last update.

A buffer may be bounded. When it is full the oldest rows come out early, or
the step fails, so that no row is called final that is not.

All waiting rows lie in a store with a changelog; their order is remembered here.

Source: Kafka Streams' KTableSuppressProcessor, by the fixtures of its tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

from streamflow.errors import StateError
from streamflow.operators.contract import Emit, Passing, Scope
from streamflow.serdes.kept import Buffered

When = Callable[[Any, int], int]
"""``(key, timestamp) -> the time a row waits from``"""


@dataclass(frozen=True)
class WindowEnds:
    """How to tell when the window of a key ends: ``end_of(start)`` of a key that came as bytes."""

    end_of: Callable[[int], int]


@dataclass(frozen=True)
class Bound:
    """How much may wait: rows, bytes of keys and values; None: as much as there is. ``fails`` rather than emits early."""

    max_records: int | None = None
    max_bytes: int | None = None
    fails: bool = False


@dataclass(frozen=True)
class Suppress(Passing):
    """Rows wait in ``buffer`` for ``wait_ms`` of stream time, counted from the end of their window if ``windows`` is
    given. ``size`` tells the bytes of one. ``store`` keeps the rows that came out, where somebody needs them."""

    buffer: str
    wait_ms: int
    size: Callable[[Any], int]
    windows: WindowEnds | None = None
    bound: Bound = Bound()
    store: str | None = None

    final = True
    """What it emits need not be held until the commit once more."""

    @property
    def stores(self) -> Sequence[str]:
        return (self.buffer,) if self.store is None else (self.buffer, self.store)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        buffer = scope.store(self.buffer)
        get_pair, put_pair = buffer.get_pair, buffer.put_pair
        come_out = scope.apart(_coming_out(self, emit, scope))
        waiting = _Order(buffer, scope, self.size if self.bound.max_bytes is not None else None)
        when, final = _when(self.windows, scope), self.windows is not None
        time, wait, bound, context = scope.stream_time(), self.wait_ms, self.bound, scope.context
        bounded = bound.max_records is not None or bound.max_bytes is not None
        encode = None if scope.key_raw else scope.encode_key
        place_of, add, due = waiting.places.get, waiting.add, waiting.due
        told = scope.sends_old and self.store is None

        def release(now: int) -> None:
            for ready, row, stamp in due(now - wait):
                come_out(ready, row, stamp)

        scope.services.when_silent(scope.step, time, release)

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            if timestamp > time.now:
                time.now = timestamp
            data = key if encode is None else encode(key)
            at = place_of(data, -1)
            if new is None and final:
                if at >= 0:
                    put_pair(key, None, timestamp)
                    waiting.gone(data)
            else:
                before = None
                if at < 0:
                    at = when(key, timestamp)
                    add(key, data, at)
                    if told:
                        before = old
                elif told:
                    before = get_pair(key)[0][1]
                row = (at, before, new, context.record.headers)
                put_pair(key, row, timestamp)
                if bounded:
                    waiting.weigh(data, row)
            if waiting.first <= time.now - wait:
                release(time.now)
            if bounded:
                while waiting.above(bound):
                    if bound.fails:
                        raise StateError(
                            f"the buffer is full with {waiting.count} rows (max_records={bound.max_records}, "
                            f"max_bytes={bound.max_bytes}): allow more, shorten the time they wait, or use "
                            f'when_full="emit" where it is a time limit'
                        )
                    come_out(*waiting.pop())

        return process


def _coming_out(step: Suppress, emit: Emit, scope: Scope) -> Callable[[Any, Buffered, int], None]:
    bearing = scope.context.bearing
    if step.store is None:

        def say(key: Any, row: Buffered, timestamp: int) -> None:
            _, before, new, headers = row
            bearing(headers, emit, key, new, before, timestamp)

        return say

    kept, sends_old = scope.store(step.store), scope.sends_old

    def keep(key: Any, row: Buffered, timestamp: int) -> None:
        _, _, new, headers = row
        before = kept.get_pair(key) if sends_old else None
        kept.put_pair(key, new, timestamp)
        bearing(headers, emit, key, new, None if before is None else before[0], timestamp)

    return keep


def _when(windows: WindowEnds | None, scope: Scope) -> When:
    if windows is None:
        return lambda key, timestamp: timestamp
    if scope.key_raw:
        end_of = windows.end_of
        return lambda key, timestamp: end_of(int.from_bytes(key[-8:], "big"))
    return lambda key, timestamp: int(key.end)


class _Order:
    """Which rows wait, in the order in which they come out. ``first`` is no later than the time of any of them.

    ``places`` has, by key bytes, the time a row waits for; ``~time`` once it is gone, for its entry in the heap stays
    until its turn comes and serves again if the row comes back. Entries are ``(time, key bytes, number, key)``; one
    whose row has another place by now means nothing.
    """

    def __init__(self, buffer: Any, scope: Scope, size: Callable[[Any], int] | None) -> None:
        self.places: dict[bytes, int] = {}
        self.count = 0
        """How many rows wait."""
        self._get_pair, self._put_pair = buffer.get_pair, buffer.put_pair
        self._undo, self._size = scope.undo, size
        self._sizes: dict[bytes, int] = {}
        self._bytes = 0
        self._number = 0
        self._heap: list[tuple[int, bytes, int, Any]] = []
        for key, row in buffer.all():
            data = scope.encode_key(key)
            self._heap.append((row[0], data, len(self._heap), key))
            self._put(data, row[0])
            self.weigh(data, row)
        heapify(self._heap)
        self._number = len(self._heap)
        self.first = self._heap[0][0] if self._heap else _NEVER

    def above(self, bound: Bound) -> bool:
        """Whether more waits than may."""
        too_many = bound.max_records is not None and self.count > bound.max_records
        return too_many or (bound.max_bytes is not None and self._bytes > bound.max_bytes)

    def add(self, key: Any, data: bytes, at: int) -> None:
        """One more row waits."""
        if self.places.get(data) != ~at:
            self._number += 1
            heappush(self._heap, (at, data, self._number, key))
        if at < self.first:
            self.first = at
        if self._undo is not None:
            self._undo.append(lambda: self._put(data, ~at))
        self._put(data, at)

    def weigh(self, data: bytes, row: Buffered) -> None:
        """A row that waits has this value now."""
        if self._size is None:
            return
        before = self._sizes.get(data, 0)
        if self._undo is not None:
            self._undo.append(lambda: self._set_size(data, before))
        self._set_size(data, len(data) + self._size(row))

    def gone(self, data: bytes) -> None:
        """A row waits no more."""
        at = self.places[data]
        self._leave(data, lambda: self._put(data, at))
        self._put(data, ~at)

    def due(self, limit: int) -> list[tuple[Any, Buffered, int]]:
        """Take away ``(key, row, timestamp)`` of the rows whose time is ``limit`` or before, in order."""
        found: list[tuple[Any, Buffered, int]] = []
        while self._heap and self._heap[0][0] <= limit:
            if (taken := self._take()) is not None:
                found.append(taken)
        self.first = self._heap[0][0] if self._heap else _NEVER
        return found

    def pop(self) -> tuple[Any, Buffered, int]:
        """Take away the oldest row; there must be one."""
        while (taken := self._take()) is None:
            pass
        self.first = self._heap[0][0] if self._heap else _NEVER
        return taken

    def _take(self) -> tuple[Any, Buffered, int] | None:
        entry = heappop(self._heap)
        at, data, _, key = entry
        place = self.places.get(data)
        if place != at:
            if place == ~at:
                del self.places[data]
            if self._undo is not None:
                self._undo.append(lambda: self._back(entry, place))
            return None
        row, timestamp = self._get_pair(key)
        self._leave(data, lambda: self._back(entry, at))
        self._put_pair(key, None, timestamp)
        self._put(data, None)
        return key, row, timestamp

    def _leave(self, data: bytes, back: Callable[[], object]) -> None:
        size = self._sizes.get(data, 0)
        if self._undo is not None:
            self._undo.append(back)
            if size:
                self._undo.append(lambda: self._set_size(data, size))
        self._set_size(data, 0)

    def _back(self, entry: tuple[int, bytes, int, Any], place: int | None) -> None:
        heappush(self._heap, entry)
        self.first = self._heap[0][0]
        self._put(entry[1], place)

    def _put(self, data: bytes, place: int | None) -> None:
        before = self.places.pop(data, -1)
        self.count += (place is not None and place >= 0) - (before >= 0)
        if place is not None:
            self.places[data] = place

    def _set_size(self, data: bytes, size: int) -> None:
        self._bytes += size - self._sizes.pop(data, 0)
        if size:
            self._sizes[data] = size


_NEVER = 1 << 63
