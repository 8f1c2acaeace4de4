"""Joins of a stream with a versioned table that wait: rows that come late, but within the grace, are still met.

A record waits until the stream's own time (tables do not count) has reached its
timestamp and the grace; then it is joined with the row that was valid at its
time. Records come out by their times, then as they came. One that comes later
than the grace is joined at once.

Source: Kafka Streams' KStreamKTableJoin with a grace period (KIP-923), by the fixtures of its tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.serdes.kept import Headed
from streamflow.state.keys import pack_int64

_TIME = slice(0, 8)


@dataclass(frozen=True)
class GraceJoin(Passing):
    """Emit ``f(value, row)``, the row being the one that ``store`` had at the record's time. Records wait in ``buffer``
    for ``grace_ms``. Null keys and values as in a join that does not wait; a record without a key does not wait."""

    f: Function
    store: str
    buffer: str
    grace_ms: int
    left: bool

    @property
    def reads_key(self) -> bool:
        return True

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return (self.store, self.buffer)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        answer = joining(self.f, scope.store(self.store).get, emit, left=self.left)
        null_key, null_value = scope.dropped("null_key"), scope.dropped("null_value")
        time, grace, left, context = scope.stream_time(), self.grace_ms, self.left, scope.context
        waiting, answer_late = _Waiting(scope.store(self.buffer), scope.undo), scope.apart(answer)

        def process(key: Any, value: Any, timestamp: int) -> None:
            if timestamp > time.now:
                time.now = timestamp
            if value is None:
                null_value()
                return
            if key is None and not left:
                null_key()
                return
            due = time.now - grace
            if key is None or timestamp < due:
                answer(key, value, timestamp)
                return
            headers = context.headers
            waiting.add(key, Headed(value, tuple(headers)) if headers else value, timestamp)
            release(time.now)

        def release(now: int) -> None:
            for kept_key, kept, at in waiting.take(now - grace):
                if kept.__class__ is Headed:
                    context.bearing(kept.headers, answer_late, kept_key, kept.value, at)
                else:
                    context.bearing((), answer_late, kept_key, kept, at)

        scope.services.when_silent(scope.step, time, release)
        return process


def joining(f: Function, get: Callable[[Any, int], Any], emit: Emit, *, left: bool) -> Emit:
    """Join a record with the row that was valid at its time."""
    fn, takes_key = f.fn, f.takes_key

    def answer(key: Any, value: Any, timestamp: int) -> None:
        found = None if key is None else get(key, timestamp)
        if found is not None or left:
            row = None if found is None else found.value
            emit(key, fn(key, value, row) if takes_key else fn(value, row), timestamp)

    return answer


class _Waiting:
    """The records that wait, under their time and a number: ``(key, value)``."""

    def __init__(self, store: Any, undo: list[Any] | None) -> None:
        self._store = store
        self._undo = undo
        self._places: list[bytes] = [place for place, _ in store.all()]
        self._number = max((int.from_bytes(place[8:], "big") for place in self._places), default=-1) + 1
        heapify(self._places)

    def add(self, key: Any, value: Any, timestamp: int) -> None:
        """A record begins to wait."""
        place = pack_int64(timestamp) + pack_int64(self._number)
        self._number += 1
        self._store.put_pair(place, (key, value), timestamp)
        heappush(self._places, place)

    def take(self, due: int) -> list[tuple[Any, Any, int]]:
        """Take away ``(key, value, timestamp)`` of those whose time is ``due`` or before, in order."""
        found: list[tuple[Any, Any, int]] = []
        places = self._places
        while places and (at := int.from_bytes(places[0][_TIME], "big")) <= due:
            place = heappop(places)
            if (pair := self._store.get_pair(place)) is None:  # it was taken back together with its record
                continue
            if self._undo is not None:
                self._undo.append(lambda place=place: heappush(places, place))
            self._store.put_pair(place, None, at)
            found.append((*pair[0], at))
        return found
