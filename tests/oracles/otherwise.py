"""What streamflow answers where a case shows a defect of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Rows = list[list[Any]]


@dataclass(frozen=True)
class Otherwise:
    """The defect (semantics 1.15), the better rows by number of the step, and how many records are dropped."""

    defect: str
    steps: Mapping[int, Rows] = field(default_factory=dict[int, Rows])
    dropped: int | None = None


def history(topology: Mapping[str, Any], side: str) -> dict[str, Any]:
    """How a table is declared that the case wants versioned, or not."""
    kept = topology.get(f"{side}_versioned_history_ms")
    return {} if kept is None else {"history": f"{kept}ms"}
