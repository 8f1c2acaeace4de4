"""What is fed, and what the check expects, worked out on a cut of the data; nothing of streamflow runs here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.flights.check import Expected, compare, expected, times
from examples.flights.data import rows
from examples.flights.feed import TOPICS, lines, scheduled

CUT = Path(__file__).parent / "flights_cut"


def outputs(wanted: Expected) -> dict[str, list[dict[str, Any]]]:
    """Records as the topology would write them if it were right."""
    names = ("airline", "number", "tail", "origin", "dest", "delay", "plane")
    found: dict[str, list[dict[str, Any]]] = {
        "departures": [
            {"key": row[2], "value": dict(zip(names, row, strict=False)), "timestamp": row[-1]}
            for row in wanted.departures.elements()
        ]
    }
    for table, rows_ in wanted.tables.items():
        found[table] = []
        fields = ("flights", "minutes", "plane") if table == "aircraft" else ("flights", "delay")
        for key, row in rows_.items():
            shown = {"key": key[0], "start": key[1], "end": key[1] + 3_600_000} if isinstance(key, tuple) else key
            counting = [(n, *row[1:]) for n in range(1, row[0])] + [row]
            found[table] += [{"key": shown, "value": dict(zip(fields, one, strict=True))} for one in counting]
    return found


def wrong(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    def read(topic: str, key_type: str) -> Iterator[dict[str, Any]]:
        return iter(found[topic])

    return compare(expected(CUT), read).wrong


def test_the_local_time_of_a_departure_is_the_same_moment_as_the_hour_the_data_tells_in_utc() -> None:
    flights = list(rows(CUT, "flights"))
    assert [scheduled(row) for row in flights] == [times(row)[1] for row in flights]


def test_the_records_of_a_topic_come_in_the_order_of_time_and_airlines_before_all_flights() -> None:
    stamps = {topic: [line["timestamp"] for line in lines(CUT, topic)] for topic in TOPICS}
    assert all(times_ == sorted(times_) for times_ in stamps.values())
    assert max(stamps["airlines"] + stamps["planes"]) < min(stamps["flights"])


def test_a_missing_delay_or_aircraft_is_none() -> None:
    flights = [line["value"] for line in lines(CUT, "flights")]
    assert any(flight["delay"] is None and flight["tail"] is None for flight in flights)
    assert any(flight["delay"] is None and flight["tail"] is not None for flight in flights)
    assert not any(value in ("", "NA") for flight in flights for value in flight.values())


def test_the_check_finds_nothing_wrong_with_right_outputs() -> None:
    assert wrong(outputs(expected(CUT))) == []


def test_the_check_notices_a_lost_a_doubled_and_a_changed_record() -> None:
    def lose(records: list[dict[str, Any]]) -> None:
        del records[0]

    def double(records: list[dict[str, Any]]) -> None:
        records.insert(0, records[0])

    for damage in (lose, double):
        for topic in outputs(expected(CUT)):
            found = outputs(expected(CUT))
            damage(found[topic])
            assert {sentence.split(":")[0] for sentence in wrong(found)} == {topic}
    found = outputs(expected(CUT))
    found["aircraft"][-1]["value"]["minutes"] += 1
    assert len(wrong(found)) == 1
