"""The oracle's joins of two tables, and what streamflow answers where the reference has a defect."""

from __future__ import annotations

from typing import Any

from streamflow import App, KTable, serdes
from tests.oracles import suppressing
from tests.oracles.otherwise import history

KEY_TYPES: dict[str, Any] = {"string": str, "int": serdes.int32, "long": serdes.int64}
_WORDS = {"inner": "join", "left": "left_join", "outer": "outer_join"}


def build(app: App, topology: dict[str, Any]) -> None:
    key, sep = KEY_TYPES[topology["key_type"]], topology.get("joiner_sep", "+")
    left: KTable[Any, str] = app.table("left", key=key, value=str, **history(topology, "left"))
    right: KTable[Any, str] = app.table("right", key=key, value=str, **history(topology, "right"))

    if topology.get("suppress_left"):
        left = suppressing.suppressed(left, topology)
    if topology.get("suppress_right"):
        right = suppressing.suppressed(right, topology)
    shape = topology.get("joiner_format")

    def joiner(one: str | None, other: str | None) -> str:
        if shape:
            return f"({'null' if one is None else one},{'null' if other is None else other})"
        return f"{'null' if one is None else one}{sep}{'null' if other is None else other}"

    store = {"store": "joined"} if topology.get("result_materialized") else {}
    joined: KTable[Any, str] = getattr(left, _WORDS[topology["join"]])(right, joiner, value=str, **store)
    if second := topology.get("second_join"):
        store = {"store": "joined-again"} if store else {}
        joined = getattr(joined, _WORDS[second])(right, joiner, value=str, **store)
    joined.to_stream().to("output")
