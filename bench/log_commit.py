"""How long a commit on the embedded log takes, alone and with others, and how fast records go in and out.

    python bench/log_commit.py [--processes 8] [--seconds 4] [--folder /tmp]

Each process commits for a task of its own. "Hard": 100 KB as fast as it can. "Steady": 10 KB every 100 ms, which is
what a worker does.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any, Literal

import click

from streamflow.log.batch import RawRecord, encode
from streamflow.log.contract import Commit, Committed
from streamflow.log.embedded import EmbeddedLog
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic

Durability = Literal["full", "fast"]
RECORDS = 500_000


async def commits(
    folder: str, durability: Durability, task: int, size: int, pause: float, seconds: float
) -> list[float]:
    """Commit for some seconds; how long each took."""
    log = EmbeddedLog(folder, durability=durability, lock_timeout=60)
    await log.start()
    await log.create_topics([NewTopic("out", 8)])
    session = log.session("bench", f"t_{task}")
    await session.init()
    place = TopicPartition("out", task)
    record: RawRecord = (b"key", os.urandom(1000), 0, [])
    batches = encode([record] * (size // 1000))
    times: list[float] = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        [outcome] = await log.commit([Commit(session, {place: batches}, {place: 0}, len(times), os.urandom(8))])
        assert isinstance(outcome, Committed), outcome
        took = time.monotonic() - began
        times.append(took)
        if pause:
            await asyncio.sleep(max(0.0, pause - took))
    await log.close()
    return times


def together(processes: int, seconds: float, durability: Durability, size: int, pause: float, parent: str) -> None:
    """Commit in several processes at once; print how it went."""
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        told = json.dumps(
            {"folder": folder, "durability": durability, "size": size, "pause": pause, "seconds": seconds}
        )
        command = [sys.executable, __file__, "--child"]
        running = [
            subprocess.Popen([*command, json.dumps({**json.loads(told), "task": n})], stdout=subprocess.PIPE, text=True)
            for n in range(processes)
        ]
        times = [json.loads(child.communicate()[0]) for child in running]
    flat = sorted(took for some in times for took in some)
    counts = sorted(len(some) for some in times)
    label = f"{processes} processes, {size // 1000} KB, {'hard' if not pause else 'steady'}, {durability}"
    click.echo(
        f"{label:44} p50 {at(flat, 0.5):7.2f}  p99 {at(flat, 0.99):7.2f}  most {flat[-1] * 1000:7.2f} ms, "
        f"{len(flat) / seconds:6.0f} commits/s, {counts[0]} to {counts[-1]} a process"
    )


def at(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


async def throughput(folder: str) -> None:
    """One process, records of 100 bytes, a partition."""
    log = EmbeddedLog(folder)
    await log.start()
    await log.create_topics([NewTopic("a", 1)])
    place = TopicPartition("a", 0)
    batches = encode([(b"key%06d" % (n % 10_000), b"v" * 91, n, []) for n in range(RECORDS)])
    began = time.monotonic()
    for n in range(0, len(batches), 32):
        await log.append({place: batches[n : n + 32]})
    wrote = time.monotonic()
    position = 0
    while position < RECORDS:
        found = await log.fetch({place: position}, max_bytes=4 << 20, max_wait=1)
        position = found[place].next_offset
    done = time.monotonic()
    for what, took in (("append", wrote - began), ("fetch", done - wrote)):
        click.echo(f"{what} {RECORDS / took / 1e6:.2f} M records/s")
    await log.close()
    began = time.monotonic()
    again = EmbeddedLog(folder)
    await again.start()
    click.echo(f"open {1000 * (time.monotonic() - began):.1f} ms")
    await again.close()


@click.command()
@click.option("--processes", default=8)
@click.option("--seconds", default=4.0)
@click.option("--folder", default=tempfile.gettempdir(), help="Where the log is made: its disk is what is measured.")
@click.option("--child", default="", hidden=True)
def main(processes: int, seconds: float, folder: str, child: str) -> None:
    if child:
        what: dict[str, Any] = json.loads(child)
        click.echo(json.dumps(asyncio.run(commits(**what))))
        return
    with tempfile.TemporaryDirectory(dir=folder) as place:
        asyncio.run(throughput(place))
    durabilities: tuple[Durability, Durability] = ("full", "fast")
    for durability in durabilities:
        together(1, seconds, durability, 10_000, 0.0, folder)
        together(1, seconds, durability, 10_000, 0.1, folder)
        together(processes, seconds, durability, 100_000, 0.0, folder)
        together(processes, seconds, durability, 10_000, 0.1, folder)


if __name__ == "__main__":
    main()
