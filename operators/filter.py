"""Filter: pass on the records that a predicate holds for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Emit, Passing, Scope


@dataclass(frozen=True)
class Filter(Passing):
    """Emit only the records whose ``predicate`` is true (false with ``negate``); nothing of them changes."""

    predicate: Function
    negate: bool = False

    @property
    def reads_key(self) -> bool:
        return self.predicate.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit:
        holds, takes_key, negate = self.predicate.fn, self.predicate.takes_key, self.negate

        def process(key: Any, value: Any, timestamp: int) -> None:
            if (not (holds(key, value) if takes_key else holds(value))) is negate:
                emit(key, value, timestamp)

        return process
