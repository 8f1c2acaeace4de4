"""A worker in this process: what it is given, and what it costs until everything is processed and committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.apps import APPS
from bench.orders import batches, orders, payments, users
from streamflow.clock import SystemClock
from streamflow.log.contract import Log
from streamflow.plan import Plan, plan
from streamflow.record import TopicPartition
from streamflow.runtime.collector import settle
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import DiskStores
from streamflow.runtime.task import Rules
from streamflow.runtime.worker import DEFAULT_RULES, Worker
from streamflow.topic import NewTopic

KEYS = 10_000
PARTITIONS = 4


@dataclass(frozen=True)
class Cost:
    """CPU seconds of this process (all threads), and seconds on the wall."""

    cpu: float
    wall: float


async def prepare(log: Log, name: str, count: int, keys: int = KEYS, partitions: int = PARTITIONS) -> Plan:
    """Topics, ``count`` records of input and the plan of the app ``name``."""
    topics: dict[str, int] = dict.fromkeys(("orders", "out", "users", "payments"), partitions)
    await log.create_topics([NewTopic(topic, number) for topic, number in topics.items()])
    app = APPS[name]()
    planned = plan(app.topology, app.id, topics)
    await log.create_topics(planned.internal_topics)
    if name in ("join", "tables", "foreign keys"):
        await append(log, batches("users", users(keys), partitions))
    if name == "streams":
        count //= 2
        paid = batches("payments", payments(count, keys), partitions)
        await append(log, batches("orders", orders(count, keys), partitions) | paid)
    else:
        await append(log, batches("orders", orders(count, keys), partitions))
    return planned


async def append(log: Log, all_: Mapping[TopicPartition, Sequence[bytes]]) -> None:
    """Append in rounds of one batch a partition, as producers that write side by side would."""
    for n in range(max(map(len, all_.values()))):
        await log.append({tp: [found[n]] for tp, found in all_.items() if n < len(found)})


async def _at_the_end(worker: Worker, log: Log) -> bool:
    """Nothing waits in any input: a worker knows of what it wrote to itself when it has read it."""
    positions = {tp: at for _, task, _ in worker.roster.running() for tp, at in task.positions().items()}
    ends = await log.offsets(list(positions))
    return all(at >= ends[tp].end for tp, at in positions.items())


async def run_to_end(
    planned: Plan, log: Log, state: Path, watch: Coroutine[Any, Any, None] | None = None, rules: Rules = DEFAULT_RULES
) -> Cost:
    """One worker from its start until all is committed; ``watch`` runs beside it for as long."""
    clock, stats = SystemClock(), Stats()
    worker = Worker(planned, log, clock, DiskStores(state, planned.app_id, clock, stats), stats=stats, rules=rules)
    settle()  # as `streamflow run` does
    cpu, wall = time.process_time(), time.perf_counter()
    running = asyncio.create_task(worker.run())
    watching = None if watch is None else asyncio.create_task(watch)
    while not (worker.state == "RUNNING" and worker.roster.held and worker.drained and await _at_the_end(worker, log)):
        await asyncio.wait([running], timeout=0.005)
        if running.done():
            running.result()
    cost = Cost(time.process_time() - cpu, time.perf_counter() - wall)
    if watching is not None:
        watching.cancel()
    worker.stop()
    await running
    return cost
