"""Merge: several streams as one."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.operators.contract import Emit, Passing, Scope


@dataclass(frozen=True)
class Merge(Passing):
    """Pass on what any parent emits, as it comes; there is no order between the parents."""

    def build(self, emit: Emit, scope: Scope) -> Emit:
        return emit
