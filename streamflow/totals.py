"""What the words of aggregation share: their names, and the type of their totals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamflow.builder import Builder, Known
from streamflow.serdes import Serde
from streamflow.serdes.hints import result, told


@dataclass(frozen=True)
class Named:
    """The names of an aggregation, as the user gave them."""

    name: str | None
    store: str | None

    @property
    def given(self) -> bool:
        return self.name is not None or self.store is not None


def total_serde(builder: Builder, step: str, value: Any, init: Callable[..., Any], f: Callable[..., Any]) -> Serde[Any]:
    """The serde of an aggregation's total: what the user says, else what ``init`` or ``f`` tell."""
    if value is not None:
        return builder.serde(value, step, "value")
    return builder.need(Known(told(result(init)) or told(result(f)), step), "value", step, "be stored")
