"""The oracle's foreign-key joins, and what streamflow answers where the reference has a defect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamflow import App
from tests.oracles.otherwise import Otherwise, history


def build(app: App, topology: dict[str, Any]) -> None:
    left = app.table("left", key=str, value=str, **history(topology, "left"))
    right = app.table("right", key=str, value=str, **history(topology, "right"))
    always_null = topology.get("extractor") == "always_null"

    def on(value: str) -> str | None:
        name = value.partition("|")[2]
        return None if always_null or name in ("", "returnNull") else name

    def joiner(one: str, other: str | None) -> str:
        return f"({one},{'null' if other is None else other})"

    store = {"store": "joined"} if topology.get("result_materialized") else {}
    join = left.join if topology["join"] == "inner" else left.left_join
    join(right, joiner, on=on, value=str, **store).to_stream().to("output")


def decided_otherwise(cases: Iterable[dict[str, Any]]) -> dict[str, Otherwise]:
    """A left join says each result once: where the reference says two of one row, the first of two tombstones (it bears
    the later time of the two rows), and else the last."""
    found: dict[str, Otherwise] = {}
    for case in cases:
        if case["topology"]["op"] != "table_table_fk_join" or case["topology"]["join"] != "left":
            continue
        doubled = {number: step["out"] for number, step in enumerate(case["steps"]) if _doubled(step["out"])}
        if doubled:
            once = {number: [out[0] if out[-1][1] is None else out[-1]] for number, out in doubled.items()}
            found[case["id"]] = Otherwise("6: KAFKA-16394, a left join says a result twice", once)
    return found


def _doubled(out: list[list[Any]]) -> bool:
    return len(out) == 2 and out[0][0] == out[1][0]
