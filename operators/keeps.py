"""A step in front of one that does all the work, where several inputs share stores and one stream time.

The description of a topology has such steps, for Kafka Streams does the work in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamflow.operators.contract import Emit, Passing, Scope


@dataclass(frozen=True)
class Keeps(Passing):
    """It passes everything on, and names the stores that its records end up in, or are looked up in."""

    names: tuple[str, ...]

    @property
    def stores(self) -> Sequence[str]:
        return self.names

    def build(self, emit: Emit, scope: Scope) -> Emit:
        return emit
