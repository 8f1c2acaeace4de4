"""Count, reduce and aggregate per key and window where windows are a user's own: they may differ in length.

A row lies under its window's start; the end is the user's function's to tell, so
it is asked again where only the start is known. Otherwise all is as for windows
of one length (`window_aggregate.py`): each window of a record is judged alone by
this step's own stream time.
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
from streamflow.windows import CustomWindow


@dataclass(frozen=True)
class CustomAggregate(Passing):
    """Keeps one total per key and window in ``store``."""

    store: str
    window: CustomWindow
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
        get_pair, fold_pair = store.get_pair, store.fold_pair
        null_key, null_value, late = scope.dropped("null_key"), scope.dropped("null_value"), scope.dropped("late")
        grace, windows = self.window.grace_ms, self.window.windows
        time, sends_old, decode, encode = scope.stream_time(), scope.sends_old, scope.decode_key, scope.encode_key
        updates = self.emit == "on_update"
        close, note = (None, None) if updates else _closing(store, self.window, emit, scope)
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
                for start, end in windows(timestamp):
                    if end + grace <= time.now:
                        late()
                        continue
                    old: Any = None
                    if sends_old and (found := get_pair(key, start)) is not None:
                        old = found[0]
                    total, at = fold_pair(key, start, fold, value, timestamp)
                    if note is not None:
                        note(decode(key), encode(key), start, end)
                    else:
                        emit(Windowed(decode(key), start, end), total, old, at)

            return process

        return for_each_parent(self.folding, growing)


def _closing(
    store: Any, window: CustomWindow, emit: Emit, scope: Scope
) -> tuple[Callable[[int], None], Callable[[Any, bytes, int, int], None]]:
    """``close(stream_time)``, which emits what is final by start and key, and ``note``, to be told of each row."""
    closed = scope.stream_time("closed")  # every window that ended before `closed.now` is closed and emitted
    emit = scope.apart(emit)
    size, grace = window.size_ms, window.grace_ms

    def rows(first: int, limit: int) -> list[Span]:
        found: list[Span] = []
        for (key, start, _), _ in store.fetch_all(max(0, first - size), None):
            if first <= (end := window.end_of(start)) < limit:
                found.append((end, scope.encode_key(key), start, scope.decode_key(key)))
        return found

    spans = OpenSpans(rows, max(closed.now, 0))

    def close(now: int) -> None:
        limit = now - grace + 1
        first = max(closed.now, 0)
        if limit <= first:
            return
        # Noted first: what the rows set off downstream may raise, and then this is taken back with all else.
        closed.now = limit
        for end, data, start, key in sorted(spans.between(first, limit), key=_place):
            if (pair := store.get_pair(data if scope.key_raw else key, start)) is not None:
                emit(Windowed(key, start, end), pair[0], None, pair[1])

    return close, spans.note


def _place(span: Span) -> tuple[int, bytes]:
    return span[2], span[1]
