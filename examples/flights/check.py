"""Is every answer right? All outputs worked out anew from the CSV files, in plain Python and without streamflow.

Each table's topic has one record per update. So beside the last value, the number of flights in the updates of a key
must be 1, 2, 3, ... without a gap or a repetition: what was processed twice, or never, shows there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from examples.flights.data import Row, number, rows

HOUR_MS = 3_600_000
TABLES = {"hourly-delays": "windowed:str:1h", "airline-delays": "str", "aircraft": "str"}

Key = str | tuple[str, int]
Update = tuple[Any, ...]
Read = Callable[[str, str], Iterator[dict[str, Any]]]
"""``(topic, type of its key)`` -> the topic's records as `streamflow consume --format json` tells them."""


@dataclass
class Expected:
    """What has to come out."""

    departures: Counter[Update] = field(default_factory=Counter)
    tables: dict[str, dict[Key, Update]] = field(default_factory=dict)


@dataclass
class Outcome:
    """What came out: the last value of each key, how many records were read, and what is wrong in words."""

    tables: dict[str, dict[Key, dict[str, Any]]] = field(default_factory=dict)
    records: int = 0
    wrong: list[str] = field(default_factory=list)


def expected(folder: Path) -> Expected:
    """The outputs as the CSV files imply them."""
    names = {row["carrier"]: row["name"] for row in rows(folder, "airlines")}
    models = {row["tailnum"]: f"{row['manufacturer']} {row['model']}" for row in rows(folder, "planes")}
    departures: Counter[Update] = Counter()
    delays: dict[str, dict[Key, list[int]]] = {name: defaultdict(list) for name in TABLES}
    for row in rows(folder, "flights"):
        delay, tail = number(row["dep_delay"]), row["tailnum"]
        if delay is None or row["carrier"] not in names:
            continue
        hour, moment = times(row)
        departures[
            names[row["carrier"]], int(row["flight"]), tail, row["origin"], row["dest"], delay, models.get(tail), moment
        ] += 1
        delays["hourly-delays"][row["origin"], hour].append(delay)
        delays["airline-delays"][row["carrier"]].append(delay)
        delays["aircraft"][tail].append(delay)
    tables: dict[str, dict[Key, Update]] = {
        name: {key: (len(all_), round(sum(all_) / len(all_), 2)) for key, all_ in delays[name].items()}
        for name in ("hourly-delays", "airline-delays")
    }
    tables["aircraft"] = {
        tail: (len(all_), sum(all_), models.get(str(tail))) for tail, all_ in delays["aircraft"].items()
    }
    return Expected(departures, tables)


def times(row: Row) -> tuple[int, int]:
    """The hour and the moment of a scheduled departure, from the data's own UTC hour (feed.py reads the local one)."""
    hour = round(datetime.fromisoformat(row["time_hour"].replace("Z", "+00:00")).timestamp() * 1000)
    return hour, hour + int(row["minute"]) * 60_000


def compare(wanted: Expected, read: Read) -> Outcome:
    """Read every output to its last record and tell what differs."""
    outcome = Outcome()
    found: Counter[Update] = Counter()
    for record in read("departures", "str"):
        outcome.records += 1
        value = record["value"]
        fields = (value[name] for name in ("airline", "number", "tail", "origin", "dest", "delay", "plane"))
        found[*fields, record["timestamp"]] += 1
    missing, extra = wanted.departures - found, found - wanted.departures
    if missing or extra:
        outcome.wrong.append(f"departures: {missing.total()} are missing, {extra.total()} should not be there")
    for name, key_type in TABLES.items():
        compare_table(name, wanted.tables[name], read(name, key_type), outcome)
    return outcome


def compare_table(name: str, wanted: dict[Key, Update], records: Iterator[dict[str, Any]], outcome: Outcome) -> None:
    """One table's topic: the updates count up by one, and the last of each key is the right one."""
    last: dict[Key, dict[str, Any]] = {}
    jumps = 0
    for record in records:
        outcome.records += 1
        key, value = key_of(record["key"]), record["value"]
        jumps += value["flights"] != (last[key]["flights"] if key in last else 0) + 1
        last[key] = value
    outcome.tables[name] = last
    found = {key: tuple(value.values()) for key, value in last.items()}
    differing = [key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]
    if jumps:
        outcome.wrong.append(f"{name}: {jumps} updates do not follow the one before them")
    if differing:
        key = differing[0]
        outcome.wrong.append(
            f"{name}: {len(differing)} keys differ, {key} is {found.get(key)} and should be {wanted.get(key)}"
        )


def key_of(told: str | dict[str, Any]) -> Key:
    """A key as JSON tells it; of a window its start is enough."""
    return (told["key"], told["start"]) if isinstance(told, dict) else told


def consume(streamflow: Sequence[str], broker: str) -> Read:
    """Read topics through ``streamflow consume``, given the command's first words."""

    def read(topic: str, key_type: str) -> Iterator[dict[str, Any]]:
        options = ["--broker", broker, "--from-beginning", "--until-end", "--format", "json"]
        command = [*streamflow, "consume", topic, *options, "--key", key_type, "--value", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield from map(json.loads, process.stdout)
        if process.returncode:
            raise SystemExit(f"'{' '.join(command)}' ended with {process.returncode}")

    return read


def main() -> None:
    folder, broker = sys.argv[1:]
    outcome = compare(expected(Path(folder)), consume(["streamflow"], broker))
    print("\n".join(outcome.wrong) or f"all {outcome.records:,} output records are as they should be")
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
