"""The filter in front of a repartition topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow.operators.contract import Emit, Passing, Scope


@dataclass(frozen=True)
class DropNullKeys(Passing):
    """Drop records without a key: no partition could be theirs, and the steps beyond would drop them.

    They are not counted as dropped, as in Kafka Streams: taking the key None is how a program leaves a record out.
    """

    def build(self, emit: Emit, scope: Scope) -> Emit:
        def process(key: Any, value: Any, timestamp: int) -> None:
            if key is not None:
                emit(key, value, timestamp)

        return process
