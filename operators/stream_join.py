"""Joins of two streams: records of equal keys that happened close enough to each other.

A pair meets when ``right.ts`` lies in ``[left.ts - before, left.ts + after]``.
Each side's records are kept in a window store that takes several of one key and
time; each new record is kept, and asks the other side for those it meets.

**Time** is the join's own: the greatest timestamp that either side has brought.
A record is late, dropped and counted, if ``ts + max(before, after) + grace``
lies before it. Null values are dropped and counted, and so are null keys, but
for those of a side whose unmatched rows come out: they can meet nobody, so they
come out at once.

**Unmatched rows** of a left or outer join come out once, when their window and
grace are over: ``ts + after + grace`` (of the right side ``ts + before +
grace``) lies before the join's time. That is final: such a row is taken out of
its window store too, so that a record that comes in disorder later, though not
late itself, cannot meet it after all. They come out before the record that
moved time is kept, in the order of time, right side first, key and arrival.

Both sides share time and waiting rows, so one step does all the work: the last,
where both streams meet. The steps before it say which stores are whose, as Kafka
Streams' description has it.

Source: Kafka Streams' KStreamKStreamJoin, by the fixtures of its tests, without
its unmatched rows that come out too early, or that meet somebody afterwards, and
with one rule for late records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.operators.waiting import LEFT, RIGHT, Row, Waiting, in_order
from streamflow.record import Headers
from streamflow.serdes.kept import Headed

_NO_HEADERS: Headers = ()

Answer = Callable[[Any, Any, Any], Any]
"""``(key, mine, theirs or None) -> result``"""


@dataclass(frozen=True)
class StreamStreamJoin(Passing):
    """Emit ``f(left, right)`` for each pair that meets, with the later time of the two and the left one's headers.

    ``left_store`` and ``right_store`` keep each side's records. ``waiting`` keeps the rows that have met nobody, of
    the sides whose unmatched rows come out: ``left`` or both (``right`` too). Parents: the left side, the right one.
    """

    f: Function
    left_store: str
    right_store: str
    before_ms: int
    after_ms: int
    grace_ms: int
    waiting: str | None = None
    left: bool = False
    right: bool = False

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> tuple[Emit, Emit]:
        fn, takes_key = self.f.fn, self.f.takes_key

        def from_left(key: Any, mine: Any, theirs: Any) -> Any:
            return fn(key, mine, theirs) if takes_key else fn(mine, theirs)

        def from_right(key: Any, mine: Any, theirs: Any) -> Any:
            return fn(key, theirs, mine) if takes_key else fn(theirs, mine)

        before, after, grace = self.before_ms, self.after_ms, self.grace_ms
        rows = None if self.waiting is None else scope.store(self.waiting)
        left = _Side(
            scope.store(self.left_store),
            from_left,
            Waiting(rows, LEFT, scope.undo) if self.left else None,
            reach=(before, after),
            patience=after + grace,
        )
        right = _Side(
            scope.store(self.right_store),
            from_right,
            Waiting(rows, RIGHT, scope.undo) if self.right else None,
            reach=(after, before),
            patience=before + grace,
        )
        lasts = max(before, after) + grace
        come_out = _coming_out(left, right, emit, scope) if rows is not None else None
        if come_out is not None:
            scope.services.when_silent(scope.step, scope.stream_time(), come_out)
        return (
            _joining(left, right, lasts, come_out, emit, scope, headers_of_mine=True),
            _joining(right, left, lasts, come_out, emit, scope, headers_of_mine=False),
        )


@dataclass(frozen=True)
class _Side:
    """One side: what it keeps, and how far it looks back and ahead for the other; times in milliseconds.

    ``patience`` is how long its unmatched rows wait, if they come out (``waiting``).
    """

    kept: Any
    answer: Answer
    waiting: Waiting | None
    reach: tuple[int, int]
    patience: int


def _joining(
    mine: _Side, other: _Side, lasts: int, come_out: Callable[[int], None] | None, emit: Emit, scope: Scope,
    *, headers_of_mine: bool,
) -> Emit:  # fmt: skip
    """The function of one side's records."""
    time, context = scope.stream_time(), scope.context
    null_key, null_value, late = scope.dropped("null_key"), scope.dropped("null_value"), scope.dropped("late")
    (back, ahead), patience, answer = mine.reach, mine.patience, mine.answer
    key_bytes, add, between = mine.kept.key_bytes, mine.kept.add, other.kept.between
    waits, met = mine.waiting, None if other.waiting is None else other.waiting.met
    bearing = context.bearing

    def process(key: Any, value: Any, timestamp: int) -> None:
        if value is None:
            null_value()
            return
        if key is None:
            if waits is None:
                null_key()
            else:
                emit(None, answer(None, value, None), timestamp)
            return
        now = time.now
        if timestamp > now:
            time.now = now = timestamp
            if come_out is not None:
                come_out(now)
        elif timestamp + lasts < now:
            late()
            return
        headers = context.record.headers
        data = key_bytes(key)
        pairs = between(data, timestamp - back, timestamp + ahead)
        if pairs:
            add(data, timestamp, Headed(value, tuple(headers)) if headers else value, timestamp)
            for at, sequence, (theirs, _) in pairs:
                if met is not None:
                    met(data, at, sequence)
                bears = _NO_HEADERS
                if theirs.__class__ is Headed:
                    theirs, bears = theirs
                result = answer(key, value, theirs)
                if headers_of_mine or (not bears and not headers):
                    emit(key, result, at if at > timestamp else timestamp)
                else:
                    bearing(bears, emit, key, result, at if at > timestamp else timestamp)
        elif waits is not None and timestamp + patience < now:
            # Its window was over before it came; what comes later must not meet it, so it is not even kept.
            emit(key, answer(key, value, None), timestamp)
        else:
            kept = Headed(value, tuple(headers)) if headers else value
            sequence = add(data, timestamp, kept, timestamp)
            if waits is not None:
                waits.add(data, timestamp, sequence, kept)

    return process


def _coming_out(left: _Side, right: _Side, emit: Emit, scope: Scope) -> Callable[[int], None]:
    """``come_out(now)``: emit the unmatched rows whose window and grace are over, and forget them."""
    context = scope.context
    sides = [(side.waiting, side.patience) for side in (left, right) if side.waiting is not None]

    def come_out(now: int) -> None:
        ripe = [waiting.take(now - patience) for waiting, patience in sides if waiting.oldest + patience < now]
        for row in in_order(ripe) if ripe else ():
            side = left if row.place.startswith(LEFT) else right
            side.kept.remove(row.key, row.timestamp, row.sequence)
            say(side, row)

    def unmatched(side: _Side, row: Row) -> None:
        value, bears = row.value, _NO_HEADERS
        if value.__class__ is Headed:
            value, bears = value
        key = side.kept.key_of(row.key)
        context.bearing(bears, emit, key, side.answer(key, value, None), row.timestamp)

    say = scope.apart(unmatched)

    return come_out
