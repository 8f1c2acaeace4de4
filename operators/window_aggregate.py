"""Count, reduce and aggregate the records of a key per window of time.

Time is this step's own stream time: the greatest timestamp it has seen, the
record in hand included. A window takes records while its end lies after stream
time less grace; each window of a record is judged alone, so a late record can
enter the newer ones and miss the older. Null keys, null values and late
windows are dropped and counted.

``on_close`` emits each window's final rows once, ordered by start, then key,
as soon as stream time has passed its end and grace. They are read *before* the
record that closes them is stored: the store forgets old windows as new ones
come, so a jump in time would lose them otherwise. Two numbers outlive a
restart with the commit: stream time, and the start up to which all is closed.

Source: Kafka Streams' KStreamWindowAggregate, by the fixtures of its tests,
without its loss of closed windows (they are emitted late or never there) and
with stream time kept over restarts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Literal

from streamflow.functions import Function
from streamflow.operators.closing import closing
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.operators.folds import Aggregating, Cogrouping, Counting, Fold, Folding, Reducing, for_each_parent
from streamflow.record import Windowed
from streamflow.windows import TimeWindow

EmitPolicy = Literal["on_update", "on_close"]

_pack_start = Struct(">q").pack


@dataclass(frozen=True)
class _Windowing(Passing):
    """A step that keeps one total per key and window in ``store``."""

    store: str
    window: TimeWindow

    @property
    def key_effect(self) -> Effect:
        return Effect.WINDOWED

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)


@dataclass(frozen=True)
class WindowCount(_Windowing):
    """How many records each key has had in each window."""

    emit: EmitPolicy = "on_update"

    def build(self, emit: Emit, scope: Scope) -> Emit | tuple[Emit, ...]:
        return _windowed(self.store, self.window, self.emit, Counting(), emit, scope)


@dataclass(frozen=True)
class WindowReduce(_Windowing):
    """The values of each key and window put together by ``f(total, value)``; the first value is the first total."""

    f: Function
    emit: EmitPolicy = "on_update"

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit | tuple[Emit, ...]:
        return _windowed(self.store, self.window, self.emit, Reducing(self.f), emit, scope)


@dataclass(frozen=True)
class WindowAggregate(_Windowing):
    """The total of each key and window: ``init()`` first, then ``f(total, value)`` for each record."""

    init: Function
    f: Function
    emit: EmitPolicy = "on_update"

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit | tuple[Emit, ...]:
        return _windowed(self.store, self.window, self.emit, Aggregating(self.init, self.f), emit, scope)


@dataclass(frozen=True)
class WindowCogroup(_Windowing):
    """The total of each key and window, to which each parent adds in its own way."""

    cogrouping: Cogrouping
    emit: EmitPolicy = "on_update"

    @property
    def reads_key(self) -> bool:
        return self.cogrouping.reads_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit | tuple[Emit, ...]:
        return _windowed(self.store, self.window, self.emit, self.cogrouping, emit, scope)


def _windowed(
    name: str, window: TimeWindow, policy: EmitPolicy, folding: Folding, emit: Emit, scope: Scope
) -> Emit | tuple[Emit, ...]:
    store = scope.store(name)
    get_pair, put_pair = store.get_pair, store.put_pair
    null_key, null_value, late = scope.dropped("null_key"), scope.dropped("null_value"), scope.dropped("late")
    size, advance, starts = window.size_ms, window.advance_ms, window.starts
    until_closed = window.size_ms + window.grace_ms
    time, sends_old, windowed = scope.stream_time(), scope.sends_old, key_maker(scope, window.size_ms)
    updates = policy == "on_update"
    close, note = (None, None) if updates else closing(store, window, windowed, emit, scope)
    if close is not None:
        scope.services.when_silent(scope.step, time, close)
    tumbling, raw, pack_start = size == advance, scope.key_out_raw, _pack_start

    def growing(fold: Fold) -> Emit:
        if updates and not sends_old:
            fold_pair, starts_at = store.fold_pair, _remembered(window)

            def update(key: Any, value: Any, timestamp: int) -> None:
                now = time.now
                if key is None:
                    null_key()
                    return
                if value is None:
                    null_value()
                    return
                if timestamp > now:
                    time.now = now = timestamp
                last_closed = now - until_closed
                for start in (timestamp - timestamp % size,) if tumbling else starts_at(timestamp):
                    if start <= last_closed:
                        late()
                        continue
                    total, at = fold_pair(key, start, fold, value, timestamp)
                    emit(key + pack_start(start) if raw else windowed(key, start), total, None, at)

            return update

        def process(key: Any, value: Any, timestamp: int) -> None:
            now = time.now
            if key is None:
                null_key()
                return
            if value is None:
                null_value()
                return
            if timestamp > now:
                time.now = now = timestamp
                if close is not None:
                    close(now)
            last_closed = now - until_closed  # windows that start later still take records
            for start in (timestamp - timestamp % size,) if tumbling else starts(timestamp):
                if start <= last_closed:
                    late()
                    continue
                at, old = timestamp, None
                if (found := get_pair(key, start)) is None:
                    total = fold(key, None, value)
                    if note is not None:
                        note(key, start)
                else:
                    total, stored_at = found
                    if stored_at > at:
                        at = stored_at
                    if sends_old:
                        # Read once more: the function may change the total that it is given.
                        old = get_pair(key, start)[0]
                    total = fold(key, total, value)
                put_pair(key, start, total, at)
                if updates:
                    emit(windowed(key, start), total, old, at)

        return process

    return for_each_parent(folding, growing)


def _remembered(window: TimeWindow) -> Callable[[int], Sequence[int]]:
    """The starts of the windows that hold a time; those of the last time once more while no new window has begun."""
    size, advance, starts_of = window.size_ms, window.advance_ms, window.starts
    if size % advance:
        return starts_of  # they change in the middle of an advance, too
    last_bucket, starts = -1, range(0)

    def starts_at(timestamp: int) -> Sequence[int]:
        nonlocal last_bucket, starts
        if (bucket := timestamp // advance) != last_bucket:
            last_bucket, starts = bucket, starts_of(timestamp)
        return starts

    return starts_at


def key_maker(scope: Scope, size: int) -> Callable[[Any, int], Any]:
    """``(key, start) -> windowed key`` in the form that the steps downstream want."""
    decode = scope.decode_key
    if scope.key_out_raw:

        def raw(key: Any, start: int) -> Any:
            return key + _pack_start(start)

        return raw
    if scope.key_raw:

        def decoded(key: Any, start: int) -> Any:
            return Windowed(decode(key), start, start + size)

        return decoded

    def objects(key: Any, start: int) -> Any:
        return Windowed(key, start, start + size)

    return objects
