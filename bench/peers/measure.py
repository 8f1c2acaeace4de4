"""What is measured of a worker; each gives its figures by name."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.live import feed, percentile, read
from bench.peers.given import KEPT, PARTITIONS
from bench.peers.processes import Job, Running
from streamflow.log.contract import Log
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic

Figures = dict[str, float]

WARM = {"streamflow": 3.0, "kafka streams": 25.0}  # seconds of CPU: a JVM compiles what is hot, for long
SPAN = 10.0  # seconds of CPU
LOOK = 0.25
LIMIT = 240.0  # seconds for one measurement


async def rate(log: Log, job: Job, scale: float) -> Figures:
    """Input records a second, from one commit to another, once it is warm."""
    inputs = [TopicPartition(job.source, n) for n in range(PARTITIONS)]
    there = sum(ends.end for ends in (await log.offsets(inputs)).values())
    await log.create_topics([NewTopic(job.out, PARTITIONS, KEPT)])
    worker = Running(job)
    try:
        commits: list[tuple[float, float, int, float]] = []
        done, began = 0, time.monotonic()
        warm, span = WARM[job.peer] * scale, SPAN * scale
        while done < there and time.monotonic() < began + LIMIT:
            await asyncio.sleep(LOOK)
            now = sum(at for at in (await log.committed(job.app, inputs)).values() if at > 0)
            cpu = worker.cpu
            if now > done and cpu >= warm:
                commits.append((time.monotonic(), cpu, now, busy()))
            done = now
            if commits and cpu > commits[0][1] + span:
                break
        if len(commits) < 3:
            raise SystemExit(f"{job.peer}, {job.workload}: {done} of {there} records done before it was warm")
        (wall, cpu, first, all_), (wall_end, cpu_end, last, all_end) = commits[0], commits[-1]
        return {
            "records/CPU-s": round((last - first) / (cpu_end - cpu)),
            "records/s": round((last - first) / (wall_end - wall)),
            "cores": round((cpu_end - cpu) / (wall_end - wall), 2),
            "cores of others": round((all_end - all_ - (cpu_end - cpu)) / (wall_end - wall), 2),
            "peak MB": round(worker.peak),
            **(worker.commit_latency() if job.peer == "streamflow" else {}),
        }
    finally:
        worker.stop()
        await tidy(log, job)


async def latency(log: Log, job: Job, scale: float) -> Figures:
    """From the append of a record to its count in a reader's hands, at 1,000 records a second."""
    source = f"{job.app}-in"
    job = Job(job.peer, job.workload, job.app, job.bootstrap, job.home, source)
    await log.create_topics([NewTopic(name, PARTITIONS, KEPT) for name in (source, job.out)])
    out = [TopicPartition(job.out, n) for n in range(PARTITIONS)]
    warm, span = 12.0 * scale, 20.0 * scale
    worker = Running(job)
    try:
        await feed(log, 0.1, source)
        await first(log, out)
        began = time.time() * 1000
        feeding = asyncio.create_task(feed(log, warm + span, source))
        told = await read(log, round(1000 * (warm + span)), int(began), out)
        await feeding
        late = sorted(late for sent, late in told if sent > began + warm * 1000)
        commits = worker.commit_latency() if job.peer == "streamflow" else {}
        cpu = worker.cpu
    finally:
        worker.stop()
        await tidy(log, job, source)
    commits = commits or worker.commit_latency()
    shares = {"p50 ms": 0.5, "p90 ms": 0.9, "p99 ms": 0.99, "most ms": 1.0}
    return {name: round(percentile(late, share), 1) for name, share in shares.items()} | commits | {"CPU s": cpu}


async def start(log: Log, job: Job, scale: float) -> Figures:
    """From the start of the process to its first committed output, a hundred records waiting."""
    job = Job(job.peer, job.workload, job.app, job.bootstrap, job.home, "few")
    await log.create_topics([NewTopic(job.out, PARTITIONS, KEPT)])
    out = [TopicPartition(job.out, n) for n in range(PARTITIONS)]
    began = time.monotonic()
    worker = Running(job)
    try:
        await first(log, out)
        return {"s": round(time.monotonic() - began, 2), "CPU s": round(worker.cpu, 2)}
    finally:
        worker.stop()
        await tidy(log, job)


async def restore(log: Log, job: Job, scale: float) -> Figures:
    """A count of as many users as orders is stopped, its state deleted, and started again with one order waiting."""
    job = Job(job.peer, job.workload, job.app, job.bootstrap, job.home, "people")
    inputs = [TopicPartition("people", n) for n in range(PARTITIONS)]
    there = sum(ends.end for ends in (await log.offsets(inputs)).values())
    await log.create_topics([NewTopic(job.out, PARTITIONS, KEPT)])
    worker, until = Running(job), time.monotonic() + LIMIT
    try:
        while sum((await log.committed(job.app, inputs)).values()) < there:
            worker.cpu  # noqa: B018  # raises when it has ended
            if time.monotonic() > until:
                raise SystemExit(f"{job.peer} did not count {there} orders")
            await asyncio.sleep(LOOK)
        worker.stop()
        shutil.rmtree(worker.state)
        began = time.monotonic()
        worker = Running(job)
        cpu = await restored(worker)
        return {
            "records/CPU-s": round(there / cpu),
            "s": round(time.monotonic() - began, 1),
            "CPU s": round(cpu, 2),
            "peak MB": round(worker.peak),
        }
    finally:
        worker.stop()
        await tidy(log, job)


async def restored(worker: Running) -> float:
    """The seconds of CPU of a process when all of its stores are back, its start included."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        cpu = worker.cpu
        if worker.whole(PARTITIONS):
            return cpu
        await asyncio.sleep(LOOK)
    raise SystemExit(f"{worker.job.peer} was not restored within {LIMIT:.0f} s")


async def first(log: Log, out: list[TopicPartition]) -> None:
    """Until something is committed to a topic."""
    if not await log.fetch(dict.fromkeys(out, 0), max_bytes=1, max_wait=LIMIT):
        raise SystemExit(f"nothing came to {out[0].topic} within {LIMIT:.0f} s")


async def tidy(log: Log, job: Job, *more: str) -> None:
    """Without what a worker left: its topics and its state."""
    for name in await log.topics():
        if name.startswith(job.app) or name in more:
            await log.delete_topic(name)
    shutil.rmtree(job.home / f"{job.app}-state", ignore_errors=True)


def busy() -> float:
    """Seconds of CPU that this machine has worked."""
    fields = [int(each) for each in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


Measure = Callable[[Log, Job, float], Awaitable[Figures]]
MEASURES: dict[str, Measure] = {"rate": rate, "latency": latency, "start": start, "restore": restore}
