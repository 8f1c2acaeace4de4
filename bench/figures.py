"""What is measured. Each figure is one number from one fresh process: `python -m bench.figures NAME SCALE` prints it.

Records per CPU-second count the CPU of the whole process, RocksDB's and the log's threads included.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from bench.alone import LogForOne
from bench.lasting import count_all, idle
from bench.live import latencies, percentile, start
from bench.workers import KEYS, PARTITIONS, prepare, run_to_end
from streamflow.log.open import open_log
from streamflow.runtime.task import Rules

T = TypeVar("T")

Measure = Callable[[float, Path], float]
"""``(scale, an empty folder) -> the figure``; ``scale`` 1.0 is the size that is recorded."""


@dataclass(frozen=True)
class Figure:
    """A named number; ``digits`` behind the point are worth printing."""

    name: str
    unit: str
    measure: Measure
    digits: int = 0


def run(work: Coroutine[Any, Any, T]) -> T:
    """On the event loop that `streamflow run` uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def engine(app: str, count: int, scale: float, home: Path, keys: int = KEYS, partitions: int = PARTITIONS) -> float:
    """Input records per CPU-second, bytes in to bytes out, on a log that costs nothing."""

    async def work() -> float:
        log, n = LogForOne(), round(count * scale)
        planned = await prepare(log, app, n, keys, partitions)
        rules = Rules(emit_on_commit=app.endswith("on commit"))
        return n / (await run_to_end(planned, log, home / "state", rules=rules)).cpu

    return run(work())


def end_to_end(app: str, count: int, scale: float, home: Path) -> float:
    """The same on the embedded log, every commit on the disk."""

    async def work() -> float:
        log, n = open_log(f"embedded://{home / 'log'}"), round(count * scale)
        await log.start()
        planned = await prepare(log, app, n)
        cost = await run_to_end(planned, log, home / "state")
        await log.close()
        return n / cost.cpu

    return run(work())


def restore(count: int, scale: float, home: Path) -> float:
    """Changelog records per CPU-second when the state is gone: a running count with as many keys as records."""

    async def work() -> float:
        log, n = LogForOne(), round(count * scale)
        planned = await prepare(log, "count", n, keys=n)
        await run_to_end(planned, log, home / "state")
        changelogs = [tp for tp in log.produced if tp.topic.endswith("-changelog")]
        written = sum(ends.end for ends in (await log.offsets(changelogs)).values())
        return written / (await run_to_end(planned, log, home / "new state")).cpu

    return run(work())


def import_time(scale: float, home: Path) -> float:
    """Milliseconds that ``import streamflow`` adds to the start of Python."""

    def seconds(program: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return time.perf_counter() - began

    for program in ("pass", "import streamflow"):
        seconds(program)  # once for the disk's cache
    return (seconds("import streamflow") - seconds("pass")) * 1000


def start_up(scale: float, home: Path) -> float:
    """Seconds from the start of ``streamflow run`` to the first committed output."""
    return run(start(home))


def together(count: int, workers: int, scale: float, home: Path) -> float:
    """Records per CPU-second of all workers together, processes of their own; their start is in it."""
    n = round(count * scale)
    return n / run(count_all(home, n, KEYS, workers)).cpu


def memory(keys: int, scale: float, home: Path) -> float:
    """The most MB that a worker takes while it counts twice as many orders as there are users."""
    n = round(keys * scale)
    return run(count_all(home, 2 * n, n, 1)).peak


def longest_turn(count: int, scale: float, home: Path) -> float:
    """Milliseconds for which the event loop did nothing else, at most, on the embedded log with as many keys as records."""

    async def work() -> float:
        log, n = open_log(f"embedded://{home / 'log'}"), round(count * scale)
        await log.start()
        planned = await prepare(log, "count", n, keys=n)
        longest = 0.0

        async def beat() -> None:
            nonlocal longest
            last = time.thread_time()
            while True:
                await asyncio.sleep(0)
                now = time.thread_time()
                longest, last = max(longest, now - last), now

        await run_to_end(planned, log, home / "state", beat())
        await log.close()
        return longest * 1000

    return run(work())


def latency(share: float, scale: float, home: Path) -> float:
    """Milliseconds that ``share`` of the records do not exceed, end to end at 1,000 records a second."""

    async def work() -> float:
        return percentile(await latencies(home, 8 * scale), share)

    return run(work())


FIGURES = [
    Figure("engine stateless", "records/CPU-s", partial(engine, "stateless", 400_000)),
    Figure("engine count", "records/CPU-s", partial(engine, "count", 400_000)),
    Figure("engine count on commit", "records/CPU-s", partial(engine, "count on commit", 400_000)),
    Figure("engine tumbling", "records/CPU-s", partial(engine, "tumbling", 300_000)),
    Figure("engine join", "records/CPU-s", partial(engine, "join", 300_000)),
    Figure("engine streams", "records/CPU-s", partial(engine, "streams", 300_000)),
    Figure("engine hopping", "records/CPU-s", partial(engine, "hopping", 100_000)),
    Figure("engine sessions", "records/CPU-s", partial(engine, "sessions", 200_000)),
    Figure("engine sliding", "records/CPU-s", partial(engine, "sliding", 100_000)),
    Figure("engine suppress", "records/CPU-s", partial(engine, "suppress", 200_000)),
    Figure("engine tables", "records/CPU-s", partial(engine, "tables", 200_000)),
    Figure("engine foreign keys", "records/CPU-s", partial(engine, "foreign keys", 100_000)),
    Figure("keys 100", "records/CPU-s", partial(engine, "count", 300_000, keys=100)),
    Figure("keys 200000", "records/CPU-s", partial(engine, "count", 300_000, keys=200_000)),
    Figure("partitions 1", "records/CPU-s", partial(engine, "count", 300_000, partitions=1)),
    Figure("partitions 32", "records/CPU-s", partial(engine, "count", 300_000, partitions=32)),
    Figure("end-to-end stateless", "records/CPU-s", partial(end_to_end, "stateless", 300_000)),
    Figure("end-to-end count", "records/CPU-s", partial(end_to_end, "count", 300_000)),
    Figure("two workers", "records/CPU-s", partial(together, 600_000, 2)),
    Figure("restore", "records/CPU-s", partial(restore, 300_000)),
    Figure("latency p50", "ms", partial(latency, 0.5), 1),
    Figure("latency p99", "ms", partial(latency, 0.99), 1),
    Figure("start", "s to first output", start_up, 2),
    Figure("import", "ms", import_time),
    Figure("idle", "% of a core", lambda scale, home: run(idle(home)), 2),
    Figure("longest turn", "ms of CPU", partial(longest_turn, 400_000)),
    Figure("memory 1000000 keys", "MB", partial(memory, 1_000_000)),
]


def main() -> None:
    name, scale = sys.argv[1], float(sys.argv[2])
    figure = next(figure for figure in FIGURES if figure.name == name)
    with tempfile.TemporaryDirectory(prefix="streamflow-bench-") as home:
        print(json.dumps(figure.measure(scale, Path(home))))


if __name__ == "__main__":
    main()
