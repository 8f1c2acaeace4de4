"""The oracle's topologies that hold updates back."""

from __future__ import annotations

from typing import Any

from streamflow import App, KTable, until_time_limit, until_window_closes
from tests.oracles.otherwise import Otherwise

_FOR_EVER = 1 << 62


def suppressed(table: KTable[Any, Any], topology: dict[str, Any]) -> KTable[Any, Any]:
    how = topology["suppress"]
    if how["until"] == "window_closes":
        return table.suppress(until_window_closes(), name="suppressed")
    limit = until_time_limit(f"{min(how['time_limit_ms'], _FOR_EVER)}ms")
    return table.suppress(limit, max_records=how.get("max_records"), name="suppressed")


def tell(table: KTable[Any, Any], topology: dict[str, Any]) -> None:
    """Write the table out, and once more what is left of it when updates are held back."""
    if not topology.get("suppress"):
        table.to_stream().to("output")
        return
    table.to_stream().to("output-raw")
    suppressed(table, topology).to_stream().to("output-suppressed")


def build(app: App, topology: dict[str, Any]) -> None:
    table = suppressed(app.table("input", key=str, value=str), topology)
    grouped = table.group_by(lambda key, value: (key, value), key=str, value=str)
    grouped.count(name="groups").to_stream().to("output")


_SESSIONS = "SuppressScenarioTest.shouldSupportFinalResultsForSessionWindows"

DECIDED_OTHERWISE: dict[str, Otherwise] = {
    _SESSIONS: Otherwise(
        "9: a tombstone in front of each update of a session that stays where it is",
        {2: [[{"key": "k1", "start": 0, "end": 5}, 3, 5, "raw"]]},
    )
}
