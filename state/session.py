"""Session stores as operators, processors and queries hold them: rows by key, end and start of a session.

Expiry goes by the end of a session, so the rows of one segment are those that
end in it; in it they lie by key, then by end, then by start. The sessions that
reach into a span of time are then a short scan from the first end that does.

A step asks for the sessions around each record. So those of the keys that were
asked for last are remembered by their times, up to a bound, and only their rows
are looked up.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from streamflow.errors import StateError
from streamflow.record import Windowed
from streamflow.state.forms import Form
from streamflow.state.horizon import Horizon
from streamflow.state.keys import (
    KEY_END,
    SEGMENT,
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

Times = tuple[int, int, bytes]
"""End and start of a session, in milliseconds, and its row."""
Session = tuple[int, int, Any, int]
"""Start, end, value, timestamp."""


class Known:
    """The sessions of the keys that were asked for last. ``complete``: what is not here is nowhere, for the store was
    empty and nothing was forgotten since."""

    def __init__(self, complete: bool) -> None:
        self.sessions: dict[bytes, list[Times]] = {}
        self.complete = complete

    def forget(self) -> None:
        """Ask the layers again."""
        self.sessions.clear()
        self.complete = False


MOST_REMEMBERED = 100_000
"""Keys; each takes about 300 bytes."""
_TIMES = 2 * START
_pack_tail = struct.Struct(">bqq").pack
_LAST = b"\x80"  # behind the end of a key: above every time, which are no negative numbers


class SessionView(Generic[K, V]):
    """What can be asked of a session store. Times are milliseconds; both ends of a session belong to it.

    Sessions of one key come in the order of their ends, then of their starts; those of several keys segment by
    segment, in each by key first. ``with_timestamps=True`` gives ``(value, timestamp)`` in place of each value.
    """

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
        self._form = form
        self._segment_ms = starts.segment_ms
        self._sight = sight
        self._find_row = find
        self._scan = scan
        self._layers = layers

    def find(
        self, key: K, earliest_end: int, latest_start: int, reverse: bool = False, *, with_timestamps: bool = False
    ) -> Iterator[tuple[Windowed[K], Any]]:
        """The sessions of ``key`` that end at ``earliest_end`` or later and start at ``latest_start`` or earlier."""
        stem = sortable(self._form.key(key)) + KEY_END
        first, segments = self._segments(earliest_end, reverse)
        rows = (
            row
            for at in segments
            for row in self._scan(pack_segment(at) + stem + pack_int64(first), pack_segment(at) + stem + _LAST, reverse)
        )
        return self._sessions(rows, first, latest_start, with_timestamps)

    def find_range(
        self,
        low: K | None,
        high: K | None,
        earliest_end: int,
        latest_start: int,
        reverse: bool = False,
        *,
        with_timestamps: bool = False,
    ) -> Iterator[tuple[Windowed[K], Any]]:
        """The same for the keys ``low <= key <= high``; None is open."""
        begin = b"" if low is None else sortable(self._form.key(low)) + KEY_END
        end = None if high is None else sortable(self._form.key(high)) + KEY_END + _LAST
        first, segments = self._segments(earliest_end, reverse)
        rows = (
            row
            for at in segments
            for row in self._scan(
                pack_segment(at) + begin, pack_segment(at + 1) if end is None else pack_segment(at) + end, reverse
            )
        )
        return self._sessions(rows, first, latest_start, with_timestamps)

    def fetch(
        self, key: K, reverse: bool = False, *, with_timestamps: bool = False
    ) -> Iterator[tuple[Windowed[K], Any]]:
        """Every session of a key."""
        return self.find(key, 0, _FOREVER, reverse, with_timestamps=with_timestamps)

    def fetch_session(self, key: K, start: int, end: int) -> V | None:
        """The value of one session, or None."""
        if end < self._sight()[0]:
            return None
        pair = self._find_row(self._row(sortable(self._form.key(key)), start, end))
        return None if pair is None else self._form.value(pair[0])

    def all(self, reverse: bool = False, *, with_timestamps: bool = False) -> Iterator[tuple[Windowed[K], Any]]:
        """Every session that has not expired."""
        return self.find_range(None, None, 0, _FOREVER, reverse, with_timestamps=with_timestamps)

    def approximate_size(self) -> int:
        """Roughly how many rows, expired ones that still lie on disk among them."""
        layers = self._layers
        return layers.base.size() + len(layers.sinking) + len(layers.committed)

    def _row(self, stem: bytes, start: int, end: int) -> bytes:
        # Nearly every session has an end of its own, so nothing is remembered of it.
        try:
            return pack_segment(end // self._segment_ms) + stem + _pack_tail(0, end, start)
        except struct.error:
            raise StateError(
                f"store '{self.name}': no session can last from {start!r} to {end!r}; times are milliseconds, 0 or later"
            ) from None

    def _segments(self, earliest_end: int, reverse: bool) -> tuple[int, range]:
        """The first end that can be seen, and the segments from it on."""
        floor, observed = self._sight()
        first = max(floor, earliest_end, 0)
        if first > observed:
            return first, range(0)
        segments = range(first // self._segment_ms, observed // self._segment_ms + 1)
        return first, segments[::-1] if reverse else segments

    def _sessions(
        self, rows: Iterator[tuple[bytes, Pair]], first: int, latest_start: int, with_timestamps: bool
    ) -> Iterator[tuple[Windowed[K], Any]]:
        key_of, value_of = self._form.key_out, self._form.value_out
        for row, (value, timestamp) in rows:
            start, end = unpack_start(row, 0), unpack_start(row, -START)
            if start > latest_start or end < first:
                continue
            key: Any = plain(row[SEGMENT : -_TIMES - len(KEY_END)])
            if key_of is not None:
                key = key_of(key)
            if value_of is not None:
                value = value_of(value)
            yield Windowed(key, start, end), ((value, timestamp) if with_timestamps else value)


_FOREVER = (1 << 63) - 1


class SessionHandle(SessionView[K, V]):
    """A session store as one step holds it: reads see the step's own writes. ``known`` is shared by all who hold it."""

    def __init__(
        self,
        spec: StoreSpec,
        form: Form,
        starts: Starts,
        horizon: Horizon,
        layers: Layers,
        undo: Undo | None,
        now: Callable[[], int],
        known: Known,
    ) -> None:
        in_overlay, below = layers.overlay.get, layers.below_overlay()

        def find(row: bytes) -> Pair | None:
            pair = in_overlay(row)
            return below(row) if pair is None else pair or None

        def sight() -> tuple[int, int]:
            return horizon.floor, horizon.observed

        super().__init__(spec, form, starts, sight, find, layers.scan, layers)
        self._horizon = horizon
        self._undo = undo
        self._now = now
        self._known = known

    def put(self, session: Windowed[K], value: V | None, timestamp: int | None = None) -> bool:
        """Put the value of a session, None removes it; False if it has expired and nothing is put."""
        key, start, end = session
        return self.put_pair(self._form.key(key), start, end, value, self._now() if timestamp is None else timestamp)

    def remove(self, session: Windowed[K]) -> None:
        """Remove a session."""
        self.put(session, None)

    def put_pair(self, key: bytes, start: int, end: int, value: Any, timestamp: int) -> bool:
        """The same for the bytes of a key."""
        horizon, overlay, undo = self._horizon, self._layers.overlay, self._undo
        if end > horizon.observed:
            if undo is not None:
                before = horizon.observed
                undo.append(lambda: horizon.see(before))
            horizon.see(end)
        elif end < horizon.floor:
            return False
        row = self._row(key.replace(b"\x00", b"\x00\xff"), start, end)
        if undo is not None:
            undo.append((overlay, row, overlay.get(row)))
            undo.append(lambda: self._forget(key))
        known = self._of(key)
        times = (end, start, row)
        at = bisect_left(known, times)
        there = at < len(known) and known[at] == times
        if value is None:
            overlay[row] = Tombstone((None, timestamp))
            if there:
                del known[at]
            return True
        value_in = self._form.value_in
        overlay[row] = (value if value_in is None else value_in(value), timestamp)
        if not there:
            known.insert(at, times)
        return True

    def around(self, key: bytes, earliest_end: int, latest_start: int) -> list[Session]:
        """What `find` gives for the bytes of a key, with timestamps; asked once a record."""
        known = self._of(key)
        floor = self._horizon.floor
        while known and known[0][0] < floor:
            del known[0]
        if not known or known[-1][0] < earliest_end:
            return []
        found: list[Session] = []
        value_of = self._form.value_out
        for end, start, row in known[bisect_left(known, (earliest_end, -1, b"")) :]:
            if start <= latest_start and (pair := self._find_row(row)) is not None:
                value, timestamp = pair
                found.append((start, end, value if value_of is None else value_of(value), timestamp))
        return found

    def fetch_pair(self, key: bytes, start: int, end: int) -> Any:
        """The value of one session for the bytes of its key, or None; a fresh one where values can change in place."""
        if end < self._horizon.floor:
            return None
        pair = self._find_row(self._row(key.replace(b"\x00", b"\x00\xff"), start, end))
        return None if pair is None else self._form.value(pair[0])

    def key_bytes(self, key: K) -> bytes:
        """A key as its rows have it."""
        return self._form.key(key)

    def approximate_size(self) -> int:
        """Roughly how many rows, expired ones that still lie on disk among them."""
        return super().approximate_size() + len(self._layers.frozen) + len(self._layers.overlay)

    def _of(self, key: bytes) -> list[Times]:
        """The times of a key's sessions, ascending."""
        known = self._known.sessions.get(key)
        if known is None:
            if len(self._known.sessions) >= MOST_REMEMBERED:
                self._known.forget()
            known = [] if self._known.complete else self._learn(key)
            self._known.sessions[key] = known
        return known

    def _forget(self, key: bytes) -> None:
        self._known.sessions.pop(key, None)
        self._known.complete = False

    def _learn(self, key: bytes) -> list[Times]:
        """The same, from the layers."""
        stem = key.replace(b"\x00", b"\x00\xff") + KEY_END
        first, segments = self._segments(0, False)
        return [
            (unpack_start(row, -START), unpack_start(row, 0), row)
            for at in segments
            for row, _ in self._scan(
                pack_segment(at) + stem + pack_int64(first), pack_segment(at) + stem + _LAST, False
            )
        ]
