"""A worker in a process of its own, started by the command line and watched through the log."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bench.orders import batches, orders
from bench.workers import KEYS, PARTITIONS, append, prepare
from streamflow.log.batch import RawRecord, records
from streamflow.log.contract import Log
from streamflow.log.open import open_log
from streamflow.record import TopicPartition

ROOT = Path(__file__).parents[1]
RATE = 1_000  # records a second
EVERY = 0.01  # seconds between two appends
WARM_UP = 2.0
PATIENCE = 30.0
OUT = [TopicPartition("out", n) for n in range(PARTITIONS)]


@contextmanager
def worker(url: str, home: Path) -> Generator[subprocess.Popen[bytes]]:
    """``streamflow run`` with its state in ``home``, until the block ends."""
    options = ["--broker", url, "--state-dir", str(home / "state"), "--http", "127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamflow", "run", "bench/live_app.py", *options],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


async def start(home: Path) -> float:
    """Seconds from the start of the process to its first committed output, with a hundred records waiting."""
    url = f"embedded://{home / 'log'}"
    log = open_log(url)
    await log.start()
    await prepare(log, "count", 100)
    began = time.perf_counter()
    with worker(url, home):
        found = await log.fetch(dict.fromkeys(OUT, 0), max_bytes=1, max_wait=PATIENCE)
        seconds = time.perf_counter() - began
    await log.close()
    if not found:
        raise SystemExit(f"no output within {PATIENCE:.0f} s")
    return seconds


async def latencies(home: Path, seconds: float) -> list[float]:
    """Milliseconds from the append of a record to its output in a reader's hands, sorted; from the second `WARM_UP` on.

    A record's timestamp travels through the count; it is whole milliseconds, so each figure may be 1 ms too high.
    """
    url = f"embedded://{home / 'log'}"
    log = open_log(url)
    await log.start()
    await prepare(log, "count", 100)
    with worker(url, home):
        await log.fetch(dict.fromkeys(OUT, 0), max_bytes=1, max_wait=PATIENCE)
        began = time.time() * 1000
        feeding = asyncio.create_task(feed(log, WARM_UP + seconds))
        found = await read(log, round(RATE * (WARM_UP + seconds)), int(began))
        await feeding
    await log.close()
    return sorted(late for sent, late in found if sent > began + WARM_UP * 1000)


async def feed(log: Log, seconds: float, topic: str = "orders") -> None:
    """`RATE` records a second, stamped with the time of their append."""
    per_append = round(RATE * EVERY)
    source = orders(round(RATE * seconds), KEYS)
    due = time.monotonic()
    while chunk := list(islice(source, per_append)):
        now = time.time_ns() // 1_000_000
        stamped: list[RawRecord] = [(key, value, now, headers) for key, value, _, headers in chunk]
        await append(log, {tp: found for tp, found in batches(topic, iter(stamped), PARTITIONS).items() if found})
        due += EVERY
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def read(log: Log, count: int, since: int, out: Sequence[TopicPartition] = OUT) -> list[tuple[int, float]]:
    """``(sent, latency)`` in milliseconds of the first ``count`` outputs of records sent since."""
    positions = dict.fromkeys(out, 0)
    found: list[tuple[int, float]] = []
    while len(found) < count:
        got = await log.fetch(positions, max_bytes=1 << 20, max_wait=PATIENCE)
        now = time.time() * 1000
        if not got:
            raise SystemExit(f"{count - len(found)} of {count} outputs did not come within {PATIENCE:.0f} s")
        for tp, fetched in got.items():
            for batch in fetched.batches:
                new = (record.timestamp for record in records(batch) if record.offset >= positions[tp])
                found += [(sent, now - sent) for sent in new if sent >= since]
            positions[tp] = fetched.next_offset
    return found


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of the sorted values do not exceed."""
    return values[min(len(values) - 1, int(len(values) * share))]
