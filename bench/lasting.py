"""What the system says of worker processes: their CPU time, their peak memory, and how long their work took.

Linux only: read from ``/proc``.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.live import OUT, PATIENCE, worker
from bench.workers import KEYS, prepare
from streamflow.log.open import open_log

SETTLE = 3.0  # seconds until a worker that has nothing to do has written down and imported everything
IDLE = 8.0  # seconds that it is then watched
LOOK = 0.1


@dataclass(frozen=True)
class Totals:
    """Of all workers together: CPU seconds and, in MB, the peak of the one that took most."""

    cpu: float
    peak: float


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> float:
    """The most memory that a process has had so far, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


async def count_all(home: Path, records: int, keys: int, workers: int) -> Totals:
    """``workers`` processes count ``records`` that lie on an embedded log."""
    url = f"embedded://{home / 'log'}"
    log = open_log(url)
    await log.start()
    await prepare(log, "count", records, keys)
    with ExitStack() as running:
        pids = [running.enter_context(worker(url, home / f"worker {n}")).pid for n in range(workers)]
        done = last = 0
        quiet = 0.0
        while done < records:
            await asyncio.sleep(LOOK)
            done = sum(ends.end for ends in (await log.offsets(OUT)).values())
            quiet, last = (0.0 if done != last else quiet + LOOK), done
            if quiet > PATIENCE:
                raise SystemExit(f"{records - done} of {records} outputs did not come")
        totals = Totals(sum(map(cpu_seconds, pids)), max(map(peak_memory, pids)))
    await log.close()
    return totals


async def idle(home: Path) -> float:
    """The share of a core, in percent, that a worker of four tasks takes when nothing comes."""
    url = f"embedded://{home / 'log'}"
    log = open_log(url)
    await log.start()
    await prepare(log, "count", 100, KEYS)
    with worker(url, home) as running:
        await log.fetch(dict.fromkeys(OUT, 0), max_bytes=1, max_wait=PATIENCE)
        await asyncio.sleep(SETTLE)
        before = cpu_seconds(running.pid)
        await asyncio.sleep(IDLE)
        share = 100 * (cpu_seconds(running.pid) - before) / IDLE
    await log.close()
    return share
