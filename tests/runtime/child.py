"""A worker in a process of its own, to be stopped and continued: ``python child.py FOLDER STATE SESSION_TIMEOUT``."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from streamflow import App
from streamflow.clock import SystemClock
from streamflow.log.embedded import EmbeddedLog
from streamflow.runtime.prepare import prepare
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import DiskStores
from streamflow.runtime.worker import Pace, Worker


def counting() -> App:
    app = App("frozen", topic_partitions=4)
    app.stream("in", key=str, value=str).group_by_key().count(name="n").to_stream().to("counts")
    return app


async def main(folder: Path, state: str, session_timeout: float) -> None:
    app = counting()
    log = EmbeddedLog(folder / "log", session_timeout=session_timeout)
    await log.start()
    plan = await prepare(app.id, app.topology, app.settings, log, create=True)
    stats = Stats()
    stores = DiskStores(folder / state, app.id, SystemClock(), stats)
    worker = Worker(plan, log, SystemClock(), stores, stats=stats, pace=Pace(commit_interval=0.01, write_behind=0.1))
    running = asyncio.get_running_loop().create_task(worker.run())
    told = ""
    while not running.done():
        tasks = ",".join(sorted(task.name for _, task, _ in worker.roster.running()))
        now = f"tasks={tasks} rebalances={stats.rebalances} member={worker.membership.member_id}"
        if now != told:
            told = now
            print(now, flush=True)
        await asyncio.sleep(0.02)
    running.result()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
