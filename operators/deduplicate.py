"""The first record of each id passes; what repeats it within a stretch of time does not.

A record repeats another that passed if both have the same id and lie at most
``within_ms`` apart, before or after: records may come in disorder. Time is this
step's own stream time. A record that is late by more than twice that cannot be
told from a repetition any more, and is dropped and counted. One without an id, or
without a value, passes.

Of an id at most one record passes in each bucket of that length of time, so a row
per id and bucket says all, and three of them are asked for each record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Emit, Passing, Scope

RETENTION = 5
"""So many stretches of time are kept: those that a record may be late by, and the ones around it."""


@dataclass(frozen=True)
class Deduplicate(Passing):
    """Pass on what is no repetition, by the id that ``by`` gives; ``store`` keeps when each id passed."""

    by: Function
    store: str
    within_ms: int

    @property
    def reads_key(self) -> bool:
        return self.by.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        kept = scope.services.handle(self.store)
        get_pair, put_pair = kept.get_pair, kept.put_pair
        by, takes_key, within = self.by.fn, self.by.takes_key, self.within_ms
        repeated, late, time = scope.dropped("repeated"), scope.dropped("late"), scope.stream_time()

        def process(key: Any, value: Any, timestamp: int) -> None:
            if timestamp > time.now:
                time.now = timestamp
            name = None if value is None else by(key, value) if takes_key else by(value)
            if name is None:
                emit(key, value, timestamp)
                return
            if timestamp + 2 * within < time.now:
                late()
                return
            bucket = timestamp - timestamp % within
            for start in (bucket, bucket - within, bucket + within):
                if start >= 0 and (found := get_pair(name, start)) is not None and abs(found[0] - timestamp) <= within:
                    repeated()
                    return
            put_pair(name, bucket, timestamp, timestamp)
            emit(key, value, timestamp)

        return process
