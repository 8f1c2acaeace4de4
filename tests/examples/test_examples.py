"""Each example does what it says: in the test driver, and as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from examples.flights.app import app as flights
from examples.flights.check import compare, expected
from examples.flights.feed import TOPICS, lines
from examples.word_count import app as word_count
from streamflow import Windowed
from streamflow.testing import TopologyTestDriver

CUT = Path(__file__).parent / "flights_cut"
ROOT = Path(__file__).parents[2]


def told(driver: TopologyTestDriver, topic: str) -> Iterator[dict[str, Any]]:
    """The records of a topic in the words of `streamflow consume --format json`."""
    for record in driver.output_topic(topic).read_records():
        key = record.key._asdict() if isinstance(record.key, Windowed) else record.key
        yield {"key": key, "value": msgspec.to_builtins(record.value), "timestamp": record.timestamp}


def test_word_count_counts_the_words_of_every_line() -> None:
    with TopologyTestDriver(word_count) as driver:
        driver.input_topic("lines").pipe(None, "a rose is a rose", timestamp=0)
        updates = driver.output_topic("counts").read_key_values()
        assert updates == [("a", 1), ("rose", 1), ("is", 1), ("a", 2), ("rose", 2)]


def test_the_flights_come_out_as_the_csv_files_imply() -> None:
    with TopologyTestDriver(flights, partitions=3, commit="manual") as driver:
        for topic in TOPICS:
            into = driver.input_topic(topic, key=str, value=dict)
            for line in lines(CUT, topic):
                into.pipe(line["key"], line["value"], timestamp=line["timestamp"])
            driver.commit()
        outcome = compare(expected(CUT), lambda topic, key_type: told(driver, topic))
    assert outcome.wrong == []
    assert outcome.records > 1000


def test_the_demo_feeds_runs_and_checks_the_flights(tmp_path: Path) -> None:
    demo = [sys.executable, "-m", "examples.flights.demo", "--data", str(CUT), "--home", str(tmp_path / "home")]
    ran = subprocess.run(demo, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "as the CSV files imply" in ran.stdout
