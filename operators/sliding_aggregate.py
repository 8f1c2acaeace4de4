"""Count, reduce and aggregate the records of a key per sliding window.

A window has the width of the difference, both ends included, and is there only
where the records in it are others than in its neighbours: one ends at each
record (its *left* window), and one begins a millisecond after each record, if
anything lies in it (its *right* window). Totals grow only by records that come,
so a new window starts from the total of one that holds the same records:

    left    from the newest window that ended before the record, if its last record is near enough
    right   from the window that holds the record, for that was the total before it came

Windows of records nearer to 1970 than the difference would begin before it; all of them share the one that
begins at 0.

Each row keeps the time of its newest record, which tells whether a window
reaches beyond the record in hand. A window takes records while its end is not
older than stream time less grace.

Source: Kafka Streams' KStreamSlidingWindowAggregate (KIP-450), by the fixtures of its tests.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.operators.closing import closing
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.operators.folds import Fold, Folding, for_each_parent
from streamflow.operators.window_aggregate import EmitPolicy, key_maker
from streamflow.windows import SlidingWindow, TimeWindow

MOST_REMEMBERED = 100_000
"""Keys; each takes about 200 bytes and 40 for each of its windows."""
_MANY = 64


@dataclass(frozen=True)
class SlidingAggregate(Passing):
    """Keeps one total per key and window in ``store``."""

    store: str
    window: SlidingWindow
    folding: Folding
    emit: EmitPolicy = "on_update"

    @property
    def reads_key(self) -> bool:
        return self.folding.reads_key

    @property
    def reads_value(self) -> bool:
        return self.folding.reads_value

    @property
    def key_effect(self) -> Effect:
        return Effect.WINDOWED

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit | tuple[Emit, ...]:
        store = scope.store(self.store)
        put_pair, get_pair = store.put_pair, store.get_pair
        null_key, null_value, late = scope.dropped("null_key"), scope.dropped("null_value"), scope.dropped("late")
        width, grace = self.window.difference_ms, self.window.grace_ms
        time, sends_old = scope.stream_time(), scope.sends_old
        windowed = key_maker(scope, width)
        updates = self.emit == "on_update"
        # A window of one millisecond more with its end exclusive closes when this one does.
        as_time = TimeWindow(width + 1, 1, grace)
        close, note = (None, None) if updates else closing(store, as_time, windowed, emit, scope)
        if close is not None:
            scope.services.when_silent(scope.step, time, close)
        known = _Starts(store, scope)
        encode = scope.encode_key

        def growing(fold: Fold) -> Emit:
            def process(key: Any, value: Any, timestamp: int) -> None:
                if key is None:
                    null_key()
                    return
                if value is None:
                    null_value()
                    return
                if timestamp > time.now:
                    time.now = timestamp
                    if close is not None:
                        close(timestamp)
                oldest = time.now - grace  # windows that end before this are closed
                if timestamp + 1 + width <= oldest:
                    late()
                    return

                def update(start: int, total: Any, at: int) -> None:
                    if start + width < oldest:
                        late()
                        return
                    old = None
                    if sends_old and (found := get_pair(key, start)) is not None:
                        old = found[0]
                    total = fold(key, total, value)
                    if at < timestamp:
                        at = timestamp
                    put_pair(key, start, total, at)
                    known.add(data, start)
                    if note is not None:
                        note(key, start)
                    else:
                        emit(windowed(key, start), total, old, at)

                def copy(start: int, total: Any, at: int) -> None:
                    if start + width < oldest:
                        late()
                        return
                    put_pair(key, start, total, at)
                    known.add(data, start)
                    if note is not None:
                        note(key, start)
                    else:
                        emit(windowed(key, start), total, None, at)

                data = encode(key)
                rows = known.rows(key, data, timestamp - 2 * width, timestamp + 1)
                (early if timestamp < width else usual)(rows, timestamp, update, copy)

            return process

        def usual(rows: Rows, timestamp: int, update: Any, copy: Any) -> None:
            starts: set[int] = set()
            left_total: Any = None
            right: tuple[Any, int] | None = None
            previous: int | None = None
            has_left = has_right = False
            for start, total, at in rows:
                starts.add(start)
                end = start + width
                if start > timestamp:
                    has_right = True
                elif end > timestamp:
                    if right is None:
                        right = (total, at)
                    update(start, total, at)
                elif end == timestamp:
                    has_left = True
                    if at < timestamp:
                        previous = at
                    update(start, total, at)
                else:
                    left_total = total
                    if previous is None:
                        previous = at
                    break
            if previous is not None and previous + 1 not in starts and previous + 1 + width >= timestamp:
                update(previous + 1, None, timestamp)
            if not has_left:
                reaches = previous is not None and previous >= timestamp - width
                update(timestamp - width, left_total if reaches else None, timestamp)
            if not has_right and right is not None and right[1] > timestamp:
                copy(timestamp + 1, *right)

        def early(rows: Rows, timestamp: int, update: Any, copy: Any) -> None:
            starts: set[int] = set()
            first: tuple[Any, int] | None = None
            right: tuple[Any, int] | None = None
            previous: int | None = None
            has_right = False
            for start, total, at in reversed(rows):
                starts.add(start)
                if start > timestamp:
                    has_right = True
                elif start > 0:
                    right = (total, at)
                    update(start, total, at)
                else:
                    first = (total, at)
                    if at < timestamp:
                        previous = at
            if right is None and first is not None and first[1] > timestamp:
                right = first
            if not has_right and right is not None and right[1] > timestamp:
                copy(timestamp + 1, *right)
            if previous is not None and previous + 1 not in starts:
                update(previous + 1, None, timestamp)
            update(0, *(first or (None, timestamp)))

        return for_each_parent(self.folding, growing)


Rows = list[tuple[int, Any, int]]
"""Start, total and time of the newest record of each window, the newest start first."""


class _Starts:
    """The starts of each key's windows, remembered from the first record of the key on, up to a bound."""

    def __init__(self, store: Any, scope: Scope) -> None:
        self._store = store
        self._undo = scope.undo
        self._known: dict[bytes, list[int]] = {}

    def rows(self, key: Any, data: bytes, first: int, last: int) -> Rows:
        """The windows of a key that start from ``first`` to ``last``."""
        starts = self._known.get(data)
        if starts is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            starts = self._known[data] = [start for start, _ in self._store.fetch(key, 0, None)]
        before = bisect_left(starts, first)
        if before > _MANY:
            expired = bisect_left(starts, self._store.floor)  # nobody can see those any more
            del starts[:expired]
        get_pair = self._store.get_pair
        found: Rows = []
        for start in reversed(starts[bisect_left(starts, first) : bisect_right(starts, last)]):
            if (pair := get_pair(key, start)) is not None:
                found.append((start, *pair))
        return found

    def add(self, data: bytes, start: int) -> None:
        """There is a row that starts here."""
        starts = self._known.get(data)
        if starts is None:
            return
        at = bisect_left(starts, start)
        if at == len(starts) or starts[at] != start:
            starts.insert(at, start)
            if self._undo is not None:
                self._undo.append(lambda: self._known.pop(data, None))
