"""Split: each record goes to the first branch whose predicate holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Emit, Passing, Scope


@dataclass(frozen=True)
class Split(Passing):
    """Emit each record to one child: that of the first predicate that holds.

    Children stand in the order of the predicates, the default one last. What no predicate holds for
    goes to the default, or nowhere when there is none.
    """

    predicates: tuple[Function, ...]
    default: bool = False
    fans_out = True

    @property
    def reads_key(self) -> bool:
        return any(predicate.takes_key for predicate in self.predicates)

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: tuple[Emit, ...], scope: Scope) -> Emit:
        branches = tuple(
            (predicate.fn, predicate.takes_key, child) for predicate, child in zip(self.predicates, emit, strict=False)
        )
        rest = emit[-1] if self.default else None

        def process(key: Any, value: Any, timestamp: int) -> None:
            for holds, takes_key, child in branches:
                if holds(key, value) if takes_key else holds(value):
                    child(key, value, timestamp)
                    return
            if rest is not None:
                rest(key, value, timestamp)

        return process


@dataclass(frozen=True)
class Branch(Passing):
    """One child of a split: passes on what the split gives it."""

    def build(self, emit: Emit, scope: Scope) -> Emit:
        return emit
