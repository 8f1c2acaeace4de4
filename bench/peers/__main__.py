"""streamflow and Kafka Streams in turn, on one broker, exactly once, a commit every 100 ms.

python -m bench.peers                       all of it (half an hour; needs a JDK 17 and Maven)
python -m bench.peers rate:count latency    the measurements whose names begin so
python -m bench.peers --quick               short, to see whether it runs
python -m bench.peers --record              keep the figures in bench/results/peers.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.ledger import HISTORY, this_commit, this_machine
from bench.peers.given import give, give_people
from bench.peers.measure import MEASURES, Figures
from bench.peers.processes import PEERS, Job, compile_streams
from streamflow.log.contract import Log
from streamflow.log.open import open_log
from tests.kafka.broker import VERSION, Cluster, missing

RESULTS = HISTORY.with_name("peers.jsonl")
RECORDS, PEOPLE = 12_000_000, 1_000_000
WORKLOADS = ("stateless", "count", "count on commit", "tumbling", "join", "hopping")
NAMES = [*(f"rate:{workload}" for workload in WORKLOADS), "latency:count", "start:count", "restore:count"]


@contextmanager
def broker(home: Path) -> Generator[str]:
    """One of its own, or that of ``STREAMFLOW_KAFKA``."""
    if given := os.environ.get("STREAMFLOW_KAFKA"):
        yield given
        return
    cluster = Cluster(home / "broker", settings="num.io.threads=4\n").start()
    try:
        yield cluster.bootstrap
    finally:
        cluster.stop()


async def measure(log: Log, bootstrap: str, home: Path, names: list[str], asked: argparse.Namespace) -> list[Figures]:
    """Every measurement of every peer, one peer after the other so that a slow hour falls on both."""
    scale = 0.1 if asked.quick else 1.0
    if any(name.partition(":")[0] in ("rate", "start") for name in names):
        await give(log, asked.records)
    if "restore:count" in names:
        await give_people(log, round(PEOPLE * scale))
    rows: list[Figures] = []
    for turn in range(asked.repeats):
        for name in names:
            what, _, workload = name.partition(":")
            for peer in asked.peers:
                job = Job(peer, workload, f"b{uuid.uuid4().hex[:8]}", bootstrap, home)
                found = await MEASURES[what](log, job, scale)
                print(f"{turn + 1}/{asked.repeats} {name}, {peer}: {found}", flush=True)
                rows.append(found)
                if asked.record:
                    keep(name, peer, found)
    return rows


def keep(name: str, peer: str, found: Figures) -> None:
    """A line of the results."""
    row = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": this_commit(), "kafka": VERSION,
        "machine": vars(this_machine()), "load": os.getloadavg()[1], "what": name, "peer": peer, "figures": found,
    }  # fmt: skip
    with RESULTS.open("a") as out:
        out.write(json.dumps(row) + "\n")


def table(names: list[str], peers: list[str], rows: list[Figures], repeats: int) -> Table:
    """The median of each figure, and how much more streamflow does with a second of CPU."""
    shown = Table(title="medians")
    for heading in ("what", *peers, "times"):
        shown.add_column(heading)
    for n, name in enumerate(names):
        found: list[Figures] = []
        for p in range(len(peers)):
            turns = [rows[(turn * len(names) + n) * len(peers) + p] for turn in range(repeats)]
            found.append({key: sorted(t[key] for t in turns)[repeats // 2] for key in turns[0]})
        cells = [", ".join(f"{key} {value:,}" for key, value in each.items()) for each in found]
        more = [each["records/CPU-s"] for each in found if "records/CPU-s" in each]
        shown.add_row(name, *cells, f"{more[0] / more[1]:.2f}" if len(more) == 2 else "")
    return shown


async def run(names: list[str], asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="streamflow-peers-", dir=asked.folder) as folder:
        home = Path(folder)
        compile_streams(home)
        with broker(home) as bootstrap:
            log = open_log(f"kafka://{bootstrap}")
            await log.start()
            try:
                rows = await measure(log, bootstrap, home, names, asked)
            finally:
                await log.close()
    Console(width=160).print(table(names, asked.peers, rows, asked.repeats))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"beginnings of {', '.join(NAMES)}; all if none")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--records", type=int, default=RECORDS, help=f"orders on the broker ({RECORDS:,}, some 700 MB)")
    parser.add_argument("--folder", help="where the broker's and the workers' data lie for as long")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    parser.add_argument("--record", action="store_true", help="keep the figures in bench/results/peers.jsonl")
    asked = parser.parse_args()
    names = [name for name in NAMES if not asked.names or name.startswith(tuple(asked.names))]
    if not names:
        parser.error(f"nothing begins with {' or '.join(asked.names)}; there are {', '.join(NAMES)}")
    if why := missing():
        raise SystemExit(why)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(names, asked))


if __name__ == "__main__":
    main()
