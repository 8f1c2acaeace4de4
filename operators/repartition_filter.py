"""The filter in front of a repartition topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow.operators.contract import Emit, Passing, Scope


@dataclass(frozen=True)
class DropNullKeys(Passing):
    """Drop and count records without a key: no partition could be theirs, and the steps beyond would drop them."""

    def build(self, emit: Emit, scope: Scope) -> Emit:
        null_key = scope.dropped("null_key")

        def process(key: Any, value: Any, timestamp: int) -> None:
            if key is None:
                null_key()
            else:
                emit(key, value, timestamp)

        return process
