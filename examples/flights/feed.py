"""The CSV files as records in the order of time, one JSON line each, as `streamflow produce --format json` reads them.

    python -m examples.flights.feed FOLDER flights | streamflow produce flights --format json --value json

The data tells scheduled departures in New York's local time. New York puts its clocks back once a year, and the hour
that then comes twice (1 o'clock) has no flight in it, so each local time is one moment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from examples.flights.data import Row, number, rows

NEW_YORK = ZoneInfo("America/New_York")
BEFORE_ALL_FLIGHTS = 1_356_998_400_000  # 2013-01-01T00:00Z: airlines and planes are known before anything flies
TOPICS = ("airlines", "planes", "flights")

Line = dict[str, Any]


def scheduled(row: Row) -> int:
    """The scheduled departure, in milliseconds since the epoch (UTC)."""
    hour, minute = divmod(int(row["sched_dep_time"]), 100)
    return hour_begins(row["year"], row["month"], row["day"], hour) + minute * 60_000


@cache
def hour_begins(year: str, month: str, day: str, hour: int) -> int:
    """The beginning of an hour of New York's clock."""
    return round(datetime(int(year), int(month), int(day), hour, tzinfo=NEW_YORK).timestamp() * 1000)


def airline(row: Row) -> Line:
    return {"key": row["carrier"], "value": {"name": row["name"]}, "timestamp": BEFORE_ALL_FLIGHTS}


def plane(row: Row) -> Line:
    value = {"maker": row["manufacturer"], "model": row["model"], "seats": int(row["seats"])}
    return {"key": row["tailnum"], "value": value, "timestamp": BEFORE_ALL_FLIGHTS}


def flight(row: Row) -> Line:
    value = {
        "carrier": row["carrier"],
        "number": int(row["flight"]),
        "tail": row["tailnum"] if row["tailnum"] not in ("", "NA") else None,
        "origin": row["origin"],
        "dest": row["dest"],
        "delay": number(row["dep_delay"]),
    }
    return {"key": row["carrier"], "value": value, "timestamp": scheduled(row)}


def lines(folder: Path, topic: str) -> Iterator[Line]:
    """The records of one topic, in the order of time."""
    make = {"airlines": airline, "planes": plane, "flights": flight}[topic]
    return iter(sorted((make(row) for row in rows(folder, topic)), key=itemgetter("timestamp")))


def main() -> None:
    folder, topic = sys.argv[1:]
    encode = json.JSONEncoder(separators=(",", ":")).encode
    sys.stdout.writelines(encode(line) + "\n" for line in lines(Path(folder), topic))


if __name__ == "__main__":
    main()
