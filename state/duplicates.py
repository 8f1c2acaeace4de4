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
from operator import itemgetter
from struct import Struct
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
_NEVER = -(1 << 63)
_SEQUENCES = 2 ** (8 * SEQ)
_ABOVE = b"\xff" * (SEQ + 1)
_TAIL = Struct(">xqI")  # the end of the key, start and sequence number
_start: Callable[[Row], int] = itemgetter(0)


class Remembered:
    """The visible rows of one store by the bytes of their key, in the order of start and arrival.

    It is a copy of what the layers say, made when first asked for and made anew after `forget`; there is none while
    there are too many rows. Starts are cut into stretches as long as the retention, so that a question is about one
    stretch or two, and a whole stretch is forgotten when it has expired.
    """

    def __init__(self, layers: Layers, horizon: Horizon, segment_ms: int, most: int | None = None) -> None:
        self._stretches: dict[int, dict[bytes, list[Row]]] | None = None
        self._layers = layers
        self._horizon = horizon
        self._segment_ms = segment_ms
        self._length = max(horizon.retention_ms, 1)
        self._most = MOST_REMEMBERED if most is None else most
        self._counts: dict[int, int] = {}
        self._not_before = _NEVER
        """No copy is tried until windows that start before this have expired."""

    @property
    def whole(self) -> bool:
        """It has all that can be seen."""
        return self._stretches is not None

    def forget(self) -> None:
        """What the layers hold has changed behind our back."""
        self._stretches = None
        self._not_before = _NEVER

    def between(self, key: bytes, first: int, last: int) -> list[Row]:
        """The rows of a key that start in ``first..last`` and can be seen."""
        stretches, horizon, length = self._stretches, self._horizon, self._length
        if stretches is None:
            if horizon.floor < self._not_before or not self._load():
                return list(self._read(key, first, last))
            stretches = self._stretches or {}
        if first < horizon.floor:
            first = horizon.floor
        low, high = first // length, last // length
        found: list[Row] = []
        for at in range(low, high + 1) if high - low < 2 else sorted(stretches):
            if (rows := stretches.get(at)) and (mine := rows.get(key)):
                found += _cut(mine, first, last)
        return found

    def add(self, key: bytes, start: int, sequence: int, pair: Pair) -> None:
        """A row was put."""
        stretches = self._stretches
        if stretches is None:
            return
        at = start // self._length
        rows = stretches.get(at)
        if rows is None:
            rows = self._begin(at)
        found = rows.get(key)
        if not found:
            rows[key] = [(start, sequence, pair)]
        elif found[-1][0] <= start:
            found.append((start, sequence, pair))
        else:
            insort_right(found, (start, sequence, pair), key=_start)
        self._counts[at] += 1
        if self._counts[at] > self._most:
            self._give_up()

    def remove(self, key: bytes, start: int, sequence: int) -> None:
        """A row was deleted, or its put was taken back."""
        rows = (self._stretches or {}).get(start // self._length, {})
        found = rows.get(key, [])
        for at in range(len(found) - 1, -1, -1):
            if found[at][1] == sequence:
                del found[at]
                return

    def _begin(self, at: int) -> dict[bytes, list[Row]]:
        """A new stretch; the first moment to forget those that nobody sees any more."""
        stretches: Any = self._stretches
        for old in [each for each in stretches if (each + 1) * self._length <= self._horizon.floor]:
            del stretches[old], self._counts[old]
        rows: dict[bytes, list[Row]] = {}
        stretches[at] = rows
        self._counts[at] = 0
        if sum(self._counts.values()) > self._most:
            self._give_up()
        return rows

    def _load(self) -> bool:
        """Whether all that can be seen could be remembered."""
        self._stretches, self._counts = {}, {}
        floor, seen = max(self._horizon.floor, 0), 0
        for row, pair in self._layers.scan(pack_segment(floor // self._segment_ms), None):
            if seen > self._most:
                self._give_up()
                break
            if (start := unpack_start(row, -SEQ)) >= floor:
                key = plain(row[SEGMENT : -SEQ - START - len(KEY_END)])
                # In the layers rows lie by segment first, so those of a key come in the order of their starts.
                self.add(key, start, int.from_bytes(row[-SEQ:], "big"), pair)
                seen += 1
        return self.whole

    def _give_up(self) -> None:
        self._stretches = None
        self._not_before = self._horizon.observed

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


def _cut(rows: list[Row], first: int, last: int) -> list[Row]:
    """Those of a list in the order of their starts that lie in ``first..last``."""
    if len(rows) <= _FEW:
        return [row for row in rows if first <= row[0] <= last]
    low = bisect_left(rows, first, key=_start)
    return rows[low : bisect_right(rows, last, low, key=_start)]


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
        remembered.remove(key, start, sequence)


def _adder(
    form: Form, starts: Starts, horizon: Horizon, layers: Layers, undo: Undo | None, remembered: Remembered
) -> Callable[[bytes, int, Any, int], int]:
    overlay, value_in, remember = layers.overlay, form.value_in, remembered.add
    segment_ms, retention_ms = starts.segment_ms, horizon.retention_ms
    segment, front, pack_tail = -1, b"", _TAIL.pack

    def add(key: bytes, start: int, value: Any, timestamp: int) -> int:
        nonlocal segment, front
        if start > horizon.observed:
            if undo is not None:
                undo.append(partial(horizon.see, horizon.observed))
            horizon.observed = start  # `see`, spelled out
            horizon.floor = start - retention_ms + 1
        elif start < horizon.floor:
            return -1
        if (at := start // segment_ms) != segment:
            front, segment = starts[start][0], at
        sequence = horizon.sequence
        horizon.sequence = (sequence + 1) % _SEQUENCES
        row = front + key.replace(b"\x00", b"\x00\xff") + pack_tail(start, sequence)  # `sortable`
        if undo is not None:
            undo.append(partial(remembered.remove, key, start, sequence))
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
        if not (rows := between(key, first, last)):
            return rows
        return [(start, seq, (value_out(value), at)) for start, seq, (value, at) in rows]

    return converted


def _itself(key: Any) -> Any:
    return key
