"""Count, reduce and aggregate the records of a key per session: records that are no further apart than a gap.

Both ends of a session belong to it, and so does the gap: records exactly that
far apart share a session. A record joins every session it reaches: they go, each
with a tombstone at its end, and one that spans them all comes. A session that
only takes one more record in keeps its place, and no tombstone says that it went.

Time is this step's own stream time, the record in hand included. A record is
late when the session it would end up in has ended longer than gap and grace ago.
Such a session is closed, and no record joins it any more, however long it is kept.
``on_close`` emits each session once, ordered by end, then by key, when it can take
no more records.

Source: Kafka Streams' KStreamSessionWindowAggregate, by the fixtures of its tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.operators.closing import OpenSpans, Span
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.operators.folds import Fold, Folding, for_each_parent
from streamflow.operators.window_aggregate import EmitPolicy
from streamflow.record import Windowed
from streamflow.windows import SessionWindow

_FOREVER = (1 << 63) - 1


@dataclass(frozen=True)
class SessionAggregate(Passing):
    """Keeps one total per key and session in ``store``; ``folding`` says how it grows and how two become one."""

    store: str
    window: SessionWindow
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
        return Effect.NEW

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit | tuple[Emit, ...]:
        store = scope.store(self.store)
        around, put = store.around, store.put_pair
        null_key, null_value, late = scope.dropped("null_key"), scope.dropped("null_value"), scope.dropped("late")
        gap, until_closed = self.window.gap_ms, self.window.gap_ms + self.window.grace_ms
        merge = self.folding.merge()
        time, sends_old, encode, decode = scope.stream_time(), scope.sends_old, scope.encode_key, scope.decode_key
        updates = self.emit == "on_update"
        close, note = (None, None) if updates else _closing(store, until_closed, emit, scope)
        if close is not None:
            scope.services.when_silent(scope.step, time, close)

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
                data = encode(key)
                reached = around(data, timestamp - gap, timestamp + gap)
                start = end = timestamp
                last_closed = time.now - until_closed - 1
                if reached and reached[0][1] <= last_closed:  # they come by their ends
                    reached = [session for session in reached if session[1] > last_closed]
                for its_start, its_end, _, _ in reached:
                    if its_start < start:
                        start = its_start
                    if its_end > end:
                        end = its_end
                if end <= last_closed:
                    late()
                    return
                total: Any = None
                old: Any = None
                the_same = False
                windowed = decode(key)
                for its_start, its_end, its_total, _ in reached:
                    if its_start == start and its_end == end:
                        the_same = True
                        if sends_old:
                            # Read once more: the functions may change the totals that they are given.
                            old = store.fetch_pair(data, start, end)
                    else:
                        gone = store.fetch_pair(data, its_start, its_end) if sends_old else None
                        put(data, its_start, its_end, None, its_end)
                        if updates:
                            emit(Windowed(windowed, its_start, its_end), None, gone, its_end)
                    total = merge(key, total, its_total)
                total = fold(key, total, value)
                put(data, start, end, total, end)
                if updates:
                    emit(Windowed(windowed, start, end), total, old, end)
                elif note is not None and not the_same:
                    note(windowed, data, start, end)

            return process

        return for_each_parent(self.folding, growing)


def _closing(
    store: Any, until_closed: int, emit: Emit, scope: Scope
) -> tuple[Callable[[int], None], Callable[[Any, bytes, int, int], None]]:
    """``close(stream_time)``, which emits what is final, and ``note``, to be told of each new session."""
    closed = scope.stream_time("closed")  # every session that ended before `closed.now` is closed and emitted
    emit = scope.apart(emit)

    def rows(first: int, limit: int) -> list[Span]:
        found = store.find_range(None, None, max(first, 0), _FOREVER)
        return [
            (end, store.key_bytes(key), start, scope.decode_key(key)) for (key, start, end), _ in found if end < limit
        ]

    sessions = OpenSpans(rows, max(closed.now, 0))

    def close(now: int) -> None:
        limit = now - until_closed
        first = max(closed.now, 0)
        if limit <= first:
            return
        # Noted first: what the rows set off downstream may raise, and then this is taken back with all else.
        closed.now = limit
        for end, data, start, key in sessions.between(first, limit):
            if (total := store.fetch_pair(data, start, end)) is not None:
                emit(Windowed(key, start, end), total, None, end)

    return close, sessions.note
