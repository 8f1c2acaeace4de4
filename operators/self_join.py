"""A stream joined with itself, its records kept once.

The same results in the same order as of two streams that are read from one topic: each record comes as the left one
first, when it is not yet among those that it may meet, and then as the right one, when it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.record import Headers
from streamflow.serdes.kept import Headed

_NO_HEADERS: Headers = ()


@dataclass(frozen=True)
class StreamSelfJoin(Passing):
    """An inner `StreamStreamJoin` of which both sides are one stream, kept in ``store``."""

    f: Function
    store: str
    before_ms: int
    after_ms: int
    grace_ms: int

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        fn, takes_key = self.f.fn, self.f.takes_key
        before, after = self.before_ms, self.after_ms
        lasts = max(before, after) + self.grace_ms
        store, time, context = scope.store(self.store), scope.stream_time(), scope.context
        null_key, null_value, late = scope.dropped("null_key"), scope.dropped("null_value"), scope.dropped("late")
        key_bytes, add, between, bearing = store.key_bytes, store.add, store.between, context.bearing

        def process(key: Any, value: Any, timestamp: int) -> None:
            if value is None:
                null_value()
                return
            if key is None:
                null_key()
                return
            if timestamp > time.now:
                time.now = timestamp
            elif timestamp + lasts < time.now:
                late()
                return
            headers = context.record.headers
            data = key_bytes(key)
            for at, _, (theirs, _) in between(data, timestamp - before, timestamp + after):
                if theirs.__class__ is Headed:
                    theirs = theirs[0]
                result = fn(key, value, theirs) if takes_key else fn(value, theirs)
                emit(key, result, at if at > timestamp else timestamp)
            add(data, timestamp, Headed(value, tuple(headers)) if headers else value, timestamp)
            for at, _, (theirs, _) in between(data, timestamp - after, timestamp + before):
                bears = _NO_HEADERS
                if theirs.__class__ is Headed:
                    theirs, bears = theirs
                result = fn(key, theirs, value) if takes_key else fn(theirs, value)
                if bears or headers:
                    bearing(bears, emit, key, result, at if at > timestamp else timestamp)
                else:
                    emit(key, result, at if at > timestamp else timestamp)

        return process
