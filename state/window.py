"""Window stores as operators, processors and queries hold them: rows by key and window start.

The rows of one segment lie together, in it by key and then by start; so a fetch
of one key is a short scan in each of the two or three segments that are alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar, overload

from streamflow.errors import StateError
from streamflow.record import Windowed
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
    plain,
    sortable,
    unpack_start,
)
from streamflow.state.keyvalue import Scan
from streamflow.state.layers import Layers, Pair, Tombstone, Undo
from streamflow.state.spec import StoreSpec

K = TypeVar("K")
V = TypeVar("V")

Rows = Iterator[tuple[bytes, Pair]]
_ABOVE = b"\xff" * (SEQ + 1)  # behind a start: above every sequence number
_LAST = b"\x80"  # behind the end of a key: above every start, which are no negative numbers
_ONE: Any = object()


class WindowView(Generic[K, V]):
    """What can be asked of a window store. Times are window starts in milliseconds, bounds inclusive, None means open.

    Rows of one key come in the order of their starts. Rows of several keys come segment by segment, in each by
    key and then by start. ``with_timestamps=True`` gives ``(value, timestamp)`` in place of each value.
    """

    get_pair: Callable[[K, int], tuple[V, int] | None]
    """``(key, start)``: the value and its timestamp in milliseconds, or None."""

    def __init__(
        self,
        spec: StoreSpec,
        form: Form,
        starts: Starts,
        sight: Callable[[], tuple[int, int]],
        find: Callable[[bytes], Pair | None],
        scan: Scan,
        layers: Layers,
    ) -> None:
        self.name = spec.name
        self._spec = spec
        self._form = form
        self._segment_ms = starts.segment_ms
        self._sight = sight
        self._scan = scan
        self._layers = layers
        self._behind = SEQ if spec.duplicates else 0
        self.get_pair = _getter(form, starts, sight, find)

    @overload
    def fetch(self, key: K, start: int) -> V | None: ...
    @overload
    def fetch(
        self, key: K, start: int | None, last: int | None, reverse: bool = False, *, with_timestamps: bool = False
    ) -> Iterator[tuple[int, Any]]: ...
    def fetch(
        self, key: K, start: int | None, last: Any = _ONE, reverse: bool = False, *, with_timestamps: bool = False
    ) -> Any:
        """``fetch(key, start)``: the value or None. ``fetch(key, first, last)``: ``(start, value)`` of one key."""
        if last is not _ONE:
            return self._of_key(self._form.key(key), start, last, reverse, with_timestamps)
        if self._spec.duplicates:
            raise StateError(
                f"store '{self.name}' keeps duplicates; fetch(key, start, start) gives all values of a start"
            )
        pair = self.get_pair(key, start or 0)
        return None if pair is None else pair[0]

    def fetch_range(
        self,
        low: K | None,
        high: K | None,
        first: int | None = None,
        last: int | None = None,
        reverse: bool = False,
        *,
        with_timestamps: bool = False,
    ) -> Iterator[tuple[Windowed[K], Any]]:
        """``(Windowed(key, start, end), value)`` of the keys ``low <= key <= high``."""
        return self._of_keys(low, high, first, last, reverse, with_timestamps)

    def fetch_all(
        self, first: int | None = None, last: int | None = None, reverse: bool = False, *, with_timestamps: bool = False
    ) -> Iterator[tuple[Windowed[K], Any]]:
        """``(Windowed(key, start, end), value)`` of every key."""
        return self._of_keys(None, None, first, last, reverse, with_timestamps)

    def all(self, reverse: bool = False, *, with_timestamps: bool = False) -> Iterator[tuple[Windowed[K], Any]]:
        """Every row that has not expired."""
        return self._of_keys(None, None, None, None, reverse, with_timestamps)

    def approximate_size(self) -> int:
        """Roughly how many rows, expired ones that still lie on disk among them."""
        layers = self._layers
        return layers.base.size() + len(layers.sinking) + len(layers.committed)

    def _segments(self, first: int | None, last: int | None, reverse: bool) -> tuple[int, int, range]:
        """The visible part of ``first..last``, and the segments it lies in."""
        floor, observed = self._sight()
        low = max(floor, 0 if first is None else first, 0)
        high = observed if last is None else min(last, observed)
        if low > high:
            return low, high, range(0)
        segments = range(low // self._segment_ms, high // self._segment_ms + 1)
        return low, high, segments[::-1] if reverse else segments

    def _of_key(
        self, key: bytes, first: int | None, last: int | None, reverse: bool, with_timestamps: bool
    ) -> Iterator[tuple[int, Any]]:
        low, high, segments = self._segments(first, last, reverse)
        if not segments:
            return iter(())
        stem = sortable(key) + KEY_END
        begin, end = stem + pack_int64(low), stem + pack_int64(high) + _ABOVE
        scan = self._scan
        scans = [scan(at + begin, at + end, reverse) for at in map(pack_segment, segments)]
        return self._starts_of(scans, with_timestamps)

    def _starts_of(self, scans: list[Rows], with_timestamps: bool) -> Iterator[tuple[int, Any]]:
        value_of, behind = self._form.value_out, -self._behind
        for rows in scans:
            for row, (value, timestamp) in rows:
                if value_of is not None:
                    value = value_of(value)
                yield unpack_start(row, behind), ((value, timestamp) if with_timestamps else value)

    def _of_keys(
        self, low: K | None, high: K | None, first: int | None, last: int | None, reverse: bool, with_timestamps: bool
    ) -> Iterator[tuple[Windowed[K], Any]]:
        earliest, latest, segments = self._segments(first, last, reverse)
        begin = b"" if low is None else sortable(self._form.key(low)) + KEY_END
        end = None if high is None else sortable(self._form.key(high)) + KEY_END + _LAST
        scan = self._scan
        if end is None:
            scans = [scan(pack_segment(at) + begin, pack_segment(at + 1), reverse) for at in segments]
        else:
            scans = [scan(at + begin, at + end, reverse) for at in map(pack_segment, segments)]
        return self._windows_of(scans, earliest, latest, with_timestamps)

    def _windows_of(
        self, scans: list[Rows], earliest: int, latest: int, with_timestamps: bool
    ) -> Iterator[tuple[Windowed[K], Any]]:
        key_of, value_of, end_of = self._form.key_out, self._form.value_out, self._spec.end
        behind = -self._behind
        key_end = behind - START - len(KEY_END)
        for rows in scans:
            for row, (value, timestamp) in rows:
                start = unpack_start(row, behind)
                if not earliest <= start <= latest:
                    continue
                key: Any = plain(row[SEGMENT:key_end])
                if key_of is not None:
                    key = key_of(key)
                if value_of is not None:
                    value = value_of(value)
                yield Windowed(key, start, end_of(start)), ((value, timestamp) if with_timestamps else value)


class WindowHandle(WindowView[K, V]):
    """A window store as one step holds it: reads see the step's own writes. A value of None deletes."""

    put_pair: Callable[[K, int, V | None, int], bool]
    """``(key, start, value, timestamp)``; False if the window had expired and nothing was put."""
    fold_pair: Callable[[K, int, Callable[[K, V | None, Any], V], Any, int], tuple[V, int]]
    """``(key, start, fold, value, timestamp)``: put ``fold(key, total or None, value)`` in the place of the total, with
    the greater of the two timestamps; gives the pair that was put. A get and a put in one, for a window that takes
    records still."""

    def __init__(
        self,
        spec: StoreSpec,
        form: Form,
        starts: Starts,
        horizon: Horizon,
        layers: Layers,
        undo: Undo | None,
        now: Callable[[], int],
    ) -> None:
        in_overlay, below = layers.overlay.get, layers.below_overlay()

        def find(row: bytes) -> Pair | None:
            pair = in_overlay(row)
            if pair is None:
                return below(row)
            return pair or None

        def sight() -> tuple[int, int]:
            return horizon.floor, horizon.observed

        super().__init__(spec, form, starts, sight, find, layers.scan, layers)
        self.get_pair, self.put_pair, self.fold_pair = _hot_words(spec, form, starts, horizon, layers, undo)
        self._now = now

    @property
    def floor(self) -> int:
        """The earliest start that can be seen."""
        return self._sight()[0]

    def put(self, key: K, value: V | None, start: int, timestamp: int | None = None) -> bool:
        """Put the value of the window that begins at ``start``; False if that window has expired, and nothing is put.

        Where duplicates are kept each put adds a value, and None does nothing.
        """
        return self.put_pair(key, start, value, self._now() if timestamp is None else timestamp)

    def approximate_size(self) -> int:
        """Roughly how many rows, expired ones that still lie on disk among them."""
        return super().approximate_size() + len(self._layers.frozen) + len(self._layers.overlay)


def _getter(
    form: Form, starts: Starts, sight: Callable[[], tuple[int, int]], find: Callable[[bytes], Pair | None]
) -> Callable[[Any, int], Any]:
    value_out, to_key = form.value_out, form.key
    key_raw = form.key_in is None

    def get_pair(key: Any, start: int) -> Pair | None:
        if start < sight()[0]:
            return None
        segment, tail = starts[start]
        return find(segment + sortable(key if key_raw else to_key(key)) + tail)

    if value_out is None:
        return get_pair

    def converted(key: Any, start: int) -> Pair | None:
        pair = get_pair(key, start)
        return None if pair is None else (value_out(pair[0]), pair[1])

    return converted


def _hot_words(
    spec: StoreSpec,
    form: Form,
    starts: Starts,
    horizon: Horizon,
    layers: Layers,
    undo: Undo | None,
) -> tuple[Callable[[Any, int], Any], Callable[[Any, int, Any, int], bool], Callable[..., Pair]]:
    """`get_pair`, `put_pair` and `fold_pair` of a handle.

    The row's key is made once for a get and the put after it, and the part of it that the key makes once for all
    windows of a record.
    """
    overlay = layers.overlay
    in_overlay, below, above_sinking = overlay.get, layers.below_overlay(), layers.above_sinking()
    value_in, value_out, to_key = form.value_in, form.value_out, form.key
    key_raw = form.key_in is None
    # An object that can change in place may be another key by the time of the put.
    lasting = key_raw or spec.key.immutable
    last_key: Any = None
    last_start = -1
    last_stem = last_row = b""

    def get_pair(key: Any, start: int) -> Pair | None:
        nonlocal last_key, last_stem, last_start, last_row
        if start < horizon.floor:
            return None
        segment, tail = starts[start]
        if key is last_key:
            row = segment + last_stem + tail
            last_start, last_row = start, row
        else:
            stem = (key if key_raw else to_key(key)).replace(b"\x00", b"\x00\xff")  # `sortable`
            row = segment + stem + tail
            if lasting:
                last_key, last_stem, last_start, last_row = key, stem, start, row
        pair = in_overlay(row)
        if pair is None:
            pair = below(row) if start <= horizon.sunk else above_sinking(row)
        if not pair:
            return None
        return pair if value_out is None else (value_out(pair[0]), pair[1])

    def put_pair(key: Any, start: int, value: Any, timestamp: int) -> bool:
        if start > horizon.observed:
            if undo is not None:
                undo.append(partial(horizon.see, horizon.observed))
            horizon.see(start)
        elif start < horizon.floor:
            return False
        if key is last_key and start == last_start:
            row = last_row
        else:
            segment, tail = starts[start]
            row = segment + sortable(key if key_raw else to_key(key)) + tail
        if undo is not None:
            undo.append((overlay, row, in_overlay(row)))
        if value is None:
            overlay[row] = Tombstone((None, timestamp))
        else:
            overlay[row] = (value if value_in is None else value_in(value), timestamp)
        return True

    def fold_pair(key: Any, start: int, fold: Callable[[Any, Any, Any], Any], value: Any, timestamp: int) -> Pair:
        found = get_pair(key, start)
        if found is None:
            total = fold(key, None, value)
        else:
            total, at = found
            total = fold(key, total, value)
            if at > timestamp:
                timestamp = at
        put_pair(key, start, total, timestamp)
        return total, timestamp

    if undo is not None or value_in is not None or value_out is not None:
        return get_pair, put_pair, fold_pair

    def fold_in_place(key: Any, start: int, fold: Callable[[Any, Any, Any], Any], value: Any, timestamp: int) -> Pair:
        """The same for rows of objects that are put as they are; the row's key is made once and kept nowhere."""
        nonlocal last_key, last_stem, last_start
        if start < horizon.floor:
            return fold(key, None, value), timestamp
        segment, tail = starts[start]
        if key is last_key:
            row = segment + last_stem + tail
        else:
            stem = (key if key_raw else to_key(key)).replace(b"\x00", b"\x00\xff")
            row = segment + stem + tail
            if lasting:
                last_key, last_stem, last_start = key, stem, -1
        pair = in_overlay(row)
        if pair is None:
            pair = below(row) if start <= horizon.sunk else above_sinking(row)
        if pair:
            total, at = pair
            total = fold(key, total, value)
            if at > timestamp:
                timestamp = at
        else:
            total = fold(key, None, value)
        if start > horizon.observed:
            horizon.see(start)
        if total is None:
            overlay[row] = Tombstone((None, timestamp))
            return total, timestamp
        pair = overlay[row] = (total, timestamp)
        return pair

    return get_pair, put_pair, fold_in_place
