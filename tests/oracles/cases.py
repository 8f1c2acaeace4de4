"""The oracle's topologies in streamflow's words, and where its files lie."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from streamflow import App, KStream, KTable, Windowed, hopping, serdes, session, sliding, tumbling
from tests.oracles import foreign_keys, stream_joins, suppressing, table_joins
from tests.oracles.otherwise import Otherwise, history

SHARED = Path(os.environ.get("STREAMFLOW_SHARED", Path(__file__).parents[3] / "shared"))
FOLDER = SHARED / "oracles"

KEY_TYPES: dict[str, Any] = {"string": str, "int": serdes.int32, "long": serdes.int64}

Build = Callable[[App, dict[str, Any]], None]


class Later(Exception):
    """The case needs a word that is not there yet."""


def all_cases() -> Iterator[dict[str, Any]]:
    """Every case of every file but the descriptions, the store scripts and the partitioning."""
    for file in sorted(FOLDER.glob("*.json")):
        if file.stem not in ("topology_describe", "state_stores", "partitioning"):
            for case in json.loads(file.read_text())["cases"]:
                yield {**case, "file": file.stem}


def build(case: dict[str, Any]) -> App:
    """The case's topology as an application. Raises `Later` for what cannot be declared yet."""
    topology = case["topology"]
    if topology.get("legacy_eager_api"):
        raise Later("windows of the legacy API, which Kafka Streams 4.0 removed")
    if topology["op"] not in BUILDERS:
        raise Later(topology["op"])
    app = App("oracle", optimize="all" if topology.get("optimize") else "none")
    BUILDERS[topology["op"]](app, topology)
    return app


def later(case: dict[str, Any]) -> str | None:
    """Why a case is left for later, or None when it can be run."""
    try:
        build(case)
    except Later as word:
        return str(word)
    return None


def in_oracle_form(key: Any, value: Any, timestamp: int) -> list[Any]:
    """A record as the oracle writes it."""
    if isinstance(key, Windowed):
        key = {"key": key.key, "start": key.start, "end": key.end}
    return [key, value, timestamp]


def by_topic(rows: Iterable[list[Any]]) -> dict[str, list[Any]]:
    """Rows by the topic they are expected in; one with a tag has a topic of its own."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(f"output-{row[3]}" if len(row) > 3 else "output", []).append(row[:3])
    return found


def _concat(total: str, value: str) -> str:
    return f"{total}+{value}"


def _minus(total: str, value: str) -> str:
    return f"{total}-{value}"


def _stream_aggregate(app: App, topology: dict[str, Any]) -> None:
    grouped = app.stream("input", key=str, value=str).group_by_key()
    grouped.aggregate(lambda: "0", _concat, value=str, name="totals").to_stream().to("output")


def _window(window: dict[str, Any]) -> Any:
    grace = f"{window['grace_ms']}ms"
    if window["type"] == "tumbling":
        return tumbling(f"{window['size_ms']}ms", grace=grace)
    if window["type"] == "hopping":
        return hopping(f"{window['size_ms']}ms", f"{window['advance_ms']}ms", grace=grace)
    if window["type"] == "session":
        return session(f"{window['gap_ms']}ms", grace=grace)
    if window["type"] == "sliding":
        return sliding(f"{window['time_difference_ms']}ms", grace=grace)
    raise Later(f"{window['type']} windows")


def _windowed_aggregate(app: App, topology: dict[str, Any]) -> None:
    window = topology["window"]
    windowed = (
        app.stream("input", key=KEY_TYPES[topology["key_type"]], value=str).group_by_key().windowed_by(_window(window))
    )
    how: dict[str, Any] = {
        "name": "windows",
        "emit": "on_close" if topology.get("emit") == "on_window_close" else "on_update",
    }
    if "retention_ms" in window:
        how["retention"] = f"{window['retention_ms']}ms"
    start = topology.get("agg_init", "0")
    table: KTable[Any, Any]
    match topology["agg"]:
        case "count":
            table = windowed.count(**how)
        case "reduce_concat":
            separator = topology.get("agg_sep", "+")
            table = windowed.reduce(lambda total, value: f"{total}{separator}{value}", **how)
        case "concat":
            merge = {"merge": _concat} if topology["window"]["type"] == "session" else {}
            table = windowed.aggregate(lambda: start, _concat, value=str, **merge, **how)
        case other:
            raise Later(other)
    suppressing.tell(table, topology)


def _stream_table_join(app: App, topology: dict[str, Any]) -> None:
    key, sep = KEY_TYPES[topology["key_type"]], topology.get("joiner_sep", "+")
    left: KStream[Any, str] = app.stream("left", key=key, value=str)
    right: KTable[Any, str]
    if topology.get("explicit_repartition"):
        left = left.repartition(name="left")
        right = app.stream("right", key=key, value=str).repartition(name="right").to_table(name="right-table")
    else:
        right = app.table("right", key=key, value=str, **history(topology, "table"))

    def joiner(value: str, row: str | None) -> str:
        return f"{value}{sep}{'null' if row is None else row}"

    join = left.join if topology["join"] == "inner" else left.left_join
    grace = {"grace": f"{topology['grace_ms']}ms"} if "grace_ms" in topology else {}
    join(right, joiner, value=str, **grace).to("output")


def _explicit_repartition(app: App, topology: dict[str, Any]) -> None:
    app.stream("input", key=str, value=str).repartition(name="again").to("output")


def _table_source(app: App, topology: dict[str, Any]) -> None:
    app.table("input", key=str, value=str).to_stream().to("output")


def _group(mapper: str) -> Callable[[str, str], tuple[str | None, str] | None]:
    def null_cases(key: str, value: str) -> tuple[str | None, str] | None:
        return (None, value) if key == "null" else None if key == "NULL" else (value, value)

    return {
        "same": lambda key, value: (key, value),
        "swap": lambda key, value: (value, key),
        "value_as_key": lambda key, value: (value, value),
        "value_as_key_null_cases": null_cases,
    }[mapper]


def _table_group_aggregate(app: App, topology: dict[str, Any]) -> None:
    table = app.table("input", key=str, value=str, **history(topology, "table"))
    grouped = table.group_by(_group(topology["group_mapper"]), key=str, value=str)
    if topology["agg"] == "count":
        suppressing.tell(grouped.count(name="groups"), topology)
    else:
        grouped.aggregate(lambda: "0", _concat, _minus, value=str, name="groups").to_stream().to("output")


def _cogroup(app: App, topology: dict[str, Any]) -> None:
    one, two = (app.stream(topic, key=str, value=str).group_by_key() for topic in ("one", "two"))
    first, second, start = topology["first_sep"], topology["second_sep"], topology["init"]
    both = one.cogroup(lambda total, value: f"{total}{first}{value}")
    both = both.cogroup(two, lambda total, value: f"{total}{second}{value}")
    both.aggregate(lambda: start, value=str, name="both").to_stream().to("output")


def _global_join(app: App, topology: dict[str, Any]) -> None:
    left = app.stream("left", key=KEY_TYPES[topology["key_type"]], value=str)
    right = app.global_table("right", key=str, value=str)

    def on(value: str) -> str | None:
        tokens = value.split(",")
        return tokens[1] if len(tokens) > 1 else None

    def joiner(one: str, other: str | None) -> str:
        return f"{one}+{'null' if other is None else other}"

    join = left.join if topology["join"] == "inner" else left.left_join
    join(right, joiner, on=on, value=str).to("output")


BUILDERS: dict[str, Build] = {
    "stream_aggregate": _stream_aggregate,
    "windowed_aggregate": _windowed_aggregate,
    "stream_table_join": _stream_table_join,
    "stream_stream_join": stream_joins.build,
    "table_table_join": table_joins.build,
    "stream_globaltable_join": _global_join,
    "table_table_fk_join": foreign_keys.build,
    "explicit_repartition": _explicit_repartition,
    "table_source": _table_source,
    "table_group_aggregate": _table_group_aggregate,
    "cogroup": _cogroup,
    "table_suppress_group_count": suppressing.build,
}

DECIDED_OTHERWISE: dict[str, Otherwise] = {
    **stream_joins.DECIDED_OTHERWISE,
    **suppressing.DECIDED_OTHERWISE,
    **foreign_keys.decided_otherwise(all_cases()),
}
"""Case id -> what streamflow answers because the reference has a defect (semantics 1.15)."""
