"""Rows of one side of a join that nobody has met yet, in the order in which they will come out.

They lie in a store, for they outlive a restart; the oldest of them are also
remembered here, up to a bound. A row of the store's:

    side | time | sortable key | 00 | seq  ->  (from the left, value)

    side  one byte: 00 the right one, 01 the left one
    time  int64   the row's timestamp, big endian
    seq   uint32  the row's sequence number in its side's window store

so that each side's rows are sorted by time, key and arrival.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from streamflow.state.keys import KEY_END, SEQ, pack_int64, pack_uint32, plain, sortable

RIGHT, LEFT = b"\x00", b"\x01"
NEVER = 1 << 63
"""Later than any timestamp."""
MOST_REMEMBERED = 100_000
"""Rows a side; each takes about 200 bytes."""

_TIME = slice(1, 9)


class Row(NamedTuple):
    """One row that waits; ``value`` as its side keeps it."""

    place: bytes
    key: bytes
    timestamp: int
    sequence: int
    value: Any


class Waiting:
    """See the module. ``store`` is the handle of the store, shared by both sides; ``undo`` takes notes of what is
    remembered, or is None.

    ``oldest`` is no later than any row that waits, and `NEVER` if none does.
    """

    def __init__(self, store: Any, side: bytes, undo: list[Any] | None, most: int | None = None) -> None:
        self.oldest = NEVER
        self._store = store
        self._side = side
        self._undo = undo
        self._most = MOST_REMEMBERED if most is None else most
        self._places: set[bytes] = set()  # all that wait and lie before the edge
        self._heap: list[bytes] = []  # the same, and some that do not wait any more
        self._end = bytes([side[0] + 1])
        self._edge = side
        self._read_on()

    def add(self, key: bytes, timestamp: int, sequence: int, value: Any) -> None:
        """A row has met nobody yet."""
        place = self._side + pack_int64(timestamp) + sortable(key) + KEY_END + pack_uint32(sequence)
        self._store.put_pair(place, (self._side == LEFT, value), timestamp)
        if self._undo is not None:
            self._undo.append(partial(self._places.discard, place))
        if timestamp < self.oldest:
            self.oldest = timestamp
        if place < self._edge:
            self._places.add(place)
            heapq.heappush(self._heap, place)
            if len(self._places) > self._most:
                self._trim()

    def met(self, key: bytes, timestamp: int, sequence: int) -> None:
        """A row has met somebody, perhaps not for the first time; then it does not wait."""
        places = self._places
        if not places and self._edge == self._end:
            return
        place = self._side + pack_int64(timestamp) + sortable(key) + KEY_END + pack_uint32(sequence)
        if place in places:
            self._gone(place, timestamp)
        elif place >= self._edge and self._store.get_pair(place) is not None:
            self._store.put_pair(place, None, timestamp)

    def take(self, before: int) -> Iterator[Row]:
        """Take away the rows older than ``before``, oldest first; those of one time by key."""
        heap, places, get_pair = self._heap, self._places, self._store.get_pair
        while self.oldest < before:
            while heap and heap[0] not in places:
                heapq.heappop(heap)
            if not heap and self._edge != self._end:
                self._read_on()
                continue
            self.oldest = int.from_bytes(heap[0][_TIME], "big") if heap else NEVER
            if self.oldest < before:
                place, timestamp = heapq.heappop(heap), self.oldest
                _, value = get_pair(place)[0]
                self._gone(place, timestamp)
                key, sequence = plain(place[9 : -SEQ - 1]), int.from_bytes(place[-SEQ:], "big")
                yield Row(place, key, timestamp, sequence, value)

    def _gone(self, place: bytes, timestamp: int) -> None:
        self._places.discard(place)
        if self._undo is not None:
            self._undo.append(partial(self._remember, place, timestamp))
        self._store.put_pair(place, None, timestamp)
        if len(self._heap) > 2 * len(self._places) + 1_000:
            self._heap[:] = sorted(self._places)

    def _remember(self, place: bytes, timestamp: int) -> None:
        self._places.add(place)
        heapq.heappush(self._heap, place)
        self.oldest = min(self.oldest, timestamp)

    def _read_on(self) -> None:
        """Remember the next rows of the store."""
        least = max(self._most // 2, 1)
        found = [place for place, _ in islice(self._store.range(self._edge, self._end), least + 1)]
        self._edge = found.pop() if len(found) > least else self._end
        self._places.update(found)
        self._heap.extend(found)
        heapq.heapify(self._heap)
        first = found[0] if found else None
        if first is not None:
            self.oldest = min(self.oldest, int.from_bytes(first[_TIME], "big"))

    def _trim(self) -> None:
        """Remember the older half only."""
        places = sorted(self._places)
        kept = places[: self._most // 2]
        self._edge = places[len(kept)]
        self._places.intersection_update(kept)
        self._heap[:] = kept


def in_order(sides: Iterable[Iterable[Row]]) -> list[Row]:
    """Rows of several sides by time, then the right one's before the left one's, then by key and arrival."""
    return sorted((row for rows in sides for row in rows), key=_order)


def _order(row: Row) -> tuple[int, bytes, bytes]:
    return row.timestamp, row.place[:1], row.place[9:]
