"""A window store that keeps duplicates: several rows of one key and start, told apart by their sequence number.

A join asks such a store once a record: which rows of this key lie in that
stretch of time? Through the layers that is a search in each of them and one in
RocksDB, several times the cost of all else. So the rows that can be seen are
also remembered by key, from the first question on, up to a bound; beyond it the
layers are asked after all, until those rows have expired.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort_right
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from streamflow.state.forms import Form
from streamflow.state.horizon import Horizon
from streamflow.state.keys import (
    KEY_END,
    SEGMENT,
    SEQ,
    START,
    Starts,
    pack_int64,
    pack_segment,
    pack_uint32,
    plain,
    sortable,
    unpack_start,
)
from streamflow.state.layers import Layers, Pair, Tombstone, Undo
from streamflow.state.spec import StoreSpec
from streamflow.state.window import WindowHandle

K = TypeVar("K")
V = TypeVar("V")

Row = tuple[int, int, Pair]
"""``(start, sequence number, (value, timestamp))``"""

MOST_REMEMBERED = 100_000
"""Rows a store; each takes about 150 bytes beside its value, which the layers hold too while it is young."""

_FEW = 8
_LEAST_SWEPT = 1_000
_NEVER = -(1 << 63)
_SEQUENCES = 2 ** (8 * SEQ)
_ABOVE = b"\xff" * (SEQ + 1)
_start: Callable[[Row], int] = itemgetter(0)


class Remembered:
    """The visible rows of one store by the bytes of their key, in the order of start and arrival.

    It is a copy of what the layers say, made when first asked for and made anew after `forget`. ``rows`` is None
    while there is no copy, or none is possible.
    """

    def __init__(self, layers: Layers, horizon: Horizon, segment_ms: int, most: int | None = None) -> None:
        self.rows: dict[bytes, list[Row]] | None = None
        self._layers = layers
        self._horizon = horizon
        self._segment_ms = segment_ms
        self._most = most
        self._count = 0
        self._sweep_at = _LEAST_SWEPT
        self._not_before = _NEVER
        """No copy is tried until windows that start before this have expired."""

    def forget(self) -> None:
        """What the layers hold has changed behind our back."""
        self.rows = None
        self._not_before = _NEVER

    def between(self, key: bytes, first: int, last: int) -> list[Row]:
        """The rows of a key that start in ``first..last`` and can be seen."""
        rows = self.rows
        if rows is None:
            if self._horizon.floor < self._not_before or not self._load():
                return list(self._read(key, first, last))
            rows = self.rows or {}
        found = rows.get(key)
        if found is None:
            return []
        if first < (floor := self._horizon.floor):
            first = floor
        if len(found) <= _FEW:
            return [row for row in found if first <= row[0] <= last]
        low = bisect_left(found, first, key=_start)
        return found[low : bisect_right(found, last, low, key=_start)]

    def add(self, key: bytes, start: int, sequence: int, pair: Pair) -> None:
        """A row was put."""
        rows = self.rows
        if rows is None:
            return
        found = rows.get(key)
        if not found:
            rows[key] = [(start, sequence, pair)]
        elif found[-1][0] <= start:
            found.append((start, sequence, pair))
        else:
            insort_right(found, (start, sequence, pair), key=_start)
        self._count += 1
        if self._count >= self._sweep_at:
            self._sweep()

    def remove(self, key: bytes, sequence: int) -> None:
        """A row was deleted, or its put was taken back."""
        found = None if self.rows is None else self.rows.get(key)
        for at in range(len(found or ()) - 1, -1, -1):
            if found is not None and found[at][1] == sequence:
                del found[at]
                self._count -= 1
                return

    def _sweep(self) -> None:
        """Forget what has expired; each row is looked at about once for each that is put."""
        floor, kept, count = self._horizon.floor, dict[bytes, list[Row]](), 0
        for key, found in (self.rows or {}).items():
            if alive := found if found[:1] and found[0][0] >= floor else [row for row in found if row[0] >= floor]:
                kept[key] = alive
                count += len(alive)
        self.rows = kept
        self._settle(count)

    def _load(self) -> bool:
        rows: dict[bytes, list[Row]] = {}
        self.rows = rows
        horizon, most = self._horizon, MOST_REMEMBERED if self._most is None else self._most
        count, floor = 0, max(horizon.floor, 0)
        for row, pair in islice(self._layers.scan(pack_segment(floor // self._segment_ms), None), most + 1):
            if (start := unpack_start(row, -SEQ)) >= floor:
                key = plain(row[SEGMENT : -SEQ - START - len(KEY_END)])
                # In the layers rows lie by segment first, so those of a key come in the order of their starts.
                rows.setdefault(key, []).append((start, int.from_bytes(row[-SEQ:], "big"), pair))
            count += 1
        return self._settle(count)

    def _settle(self, count: int) -> bool:
        """Whether so many rows can be remembered."""
        most = MOST_REMEMBERED if self._most is None else self._most
        self._count, self._sweep_at = count, min(max(2 * count, _LEAST_SWEPT), most + 1)
        if count > most:
            self.rows, self._not_before = None, self._horizon.observed
        return count <= most

    def _read(self, key: bytes, first: int, last: int) -> Iterator[Row]:
        horizon, segment_ms = self._horizon, self._segment_ms
        low, high = max(first, horizon.floor, 0), min(last, horizon.observed)
        if low > high:
            return
        stem = sortable(key) + KEY_END
        begin, end = stem + pack_int64(low), stem + pack_int64(high) + _ABOVE
        for at in map(pack_segment, range(low // segment_ms, high // segment_ms + 1)):
            for row, pair in self._layers.scan(at + begin, at + end):
                yield unpack_start(row, -SEQ), int.from_bytes(row[-SEQ:], "big"), pair


class DuplicatesHandle(WindowHandle[K, V]):
    """A window store of duplicates as one step holds it. Its own words take keys as bytes, which `key_bytes` gives."""

    add: Callable[[bytes, int, V, int], int]
    """``(key, start, value, timestamp)``: the sequence number of the new row, or -1 if its window has expired."""
    between: Callable[[bytes, int, int], list[tuple[int, int, tuple[V, int]]]]
    """``(key, first, last)``: ``(start, sequence number, (value, timestamp))`` by start, then in the order of arrival."""

    def __init__(
        self,
        spec: StoreSpec,
        form: Form,
        starts: Starts,
        horizon: Horizon,
        layers: Layers,
        undo: Undo | None,
        now: Callable[[], int],
        remembered: Remembered,
    ) -> None:
        super().__init__(spec, form, starts, horizon, layers, undo, now)
        self.key_bytes: Callable[[K], bytes] = form.key
        self.key_of: Callable[[bytes], K] = form.key_out or _itself
        self.between = _reader(form, remembered)
        self.add = add = _adder(form, starts, horizon, layers, undo, remembered)

        def put_pair(key: K, start: int, value: V | None, timestamp: int) -> bool:
            return value is None or add(form.key(key), start, value, timestamp) >= 0

        self.put_pair = put_pair
        self._starts = starts
        self._undo = undo
        self._remembered = remembered

    def remove(self, key: bytes, start: int, sequence: int) -> None:
        """Delete one row."""
        segment, tail = self._starts[start]
        row = segment + sortable(key) + tail + pack_uint32(sequence)
        overlay, remembered, undo = self._layers.overlay, self._remembered, self._undo
        if undo is not None:
            undo.append(remembered.forget)  # rare, and the layers know
            undo.append((overlay, row, overlay.get(row)))
        overlay[row] = Tombstone((None, start))
        remembered.remove(key, sequence)


def _adder(
    form: Form, starts: Starts, horizon: Horizon, layers: Layers, undo: Undo | None, remembered: Remembered
) -> Callable[[bytes, int, Any, int], int]:
    overlay, value_in, remember = layers.overlay, form.value_in, remembered.add

    def add(key: bytes, start: int, value: Any, timestamp: int) -> int:
        if start > horizon.observed:
            if undo is not None:
                undo.append(partial(horizon.see, horizon.observed))
            horizon.see(start)
        elif start < horizon.floor:
            return -1
        segment, tail = starts[start]
        sequence = horizon.sequence
        horizon.sequence = (sequence + 1) % _SEQUENCES
        row = segment + key.replace(b"\x00", b"\x00\xff") + tail + pack_uint32(sequence)  # `sortable`
        if undo is not None:
            undo.append(partial(remembered.remove, key, sequence))
            undo.append((overlay, row, None))
        pair = overlay[row] = (value if value_in is None else value_in(value), timestamp)
        remember(key, start, sequence, pair)
        return sequence

    return add


def _reader(form: Form, remembered: Remembered) -> Callable[[bytes, int, int], list[Any]]:
    between, value_out = remembered.between, form.value_out
    if value_out is None:
        return between

    def converted(key: bytes, first: int, last: int) -> list[Any]:
        return [(start, seq, (value_out(value), at)) for start, seq, (value, at) in between(key, first, last)]

    return converted


def _itself(key: Any) -> Any:
    return key
