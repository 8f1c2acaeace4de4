"""A worker that has work and does none is ended, so that whoever started it starts it again.

Two things are watched. A thread of its own sees whether the event loop turns: a function of the script that blocks it
blocks everything, and where it stands is in the log. And the loop itself sees whether what is to be done is done. A
log that cannot be had is no fault of the worker's: then it waits, and says so elsewhere.

The end is SIGABRT, as after any defect: a supervisor starts the worker again, and so do systemd and Kubernetes. Nothing
is lost by it, for a worker can be killed at any moment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from streamflow.runtime.worker import Worker

logger = logging.getLogger("streamflow.watchdog")

SHOWN = 6  # frames of what blocks the loop
DEBUGGERS = {"bdb", "pdb", "pydevd"}
"""Modules of somebody who looks at the loop standing still."""


async def watch(worker: Worker, seconds: float, end: Callable[[], None] | None = None) -> None:
    """Call ``end`` (by default: abort) when the worker has had work for so long and did nothing of it. Never returns."""
    end = end or abort
    every = min(1.0, seconds / 4)
    ended = threading.Event()
    beats = [time.monotonic()]
    blocked = threading.Thread(
        target=_until_blocked,
        args=(beats, seconds, every, ended, threading.get_ident(), end),
        name="streamflow-watchdog",
        daemon=True,
    )
    blocked.start()
    # A commit that is put off is no standstill.
    patience = max(seconds, 2 * worker.pace.commit_interval)
    seen, since = _progress(worker), time.monotonic()
    try:
        while True:
            await asyncio.sleep(every)
            before, now = beats[0], time.monotonic()
            beats[0] = now
            progress = _progress(worker)
            stopped = now - before > seconds / 2  # the process was, and has had no time yet to go on
            if progress != seen or worker.drained or worker.waits_for_log or stopped:
                seen, since = progress, now
            elif now - since > patience:
                logger.error(
                    "no progress for %.0f s though there is work; ending this worker. %s", patience, standing(worker)
                )
                end()
                return
    finally:
        ended.set()


def standing(worker: Worker) -> str:
    """What each task is at, for a person who looks for the one that is stuck."""
    found: list[str] = []
    for name, held in sorted(worker.roster.held.items()):
        task, ledger = held.task, held.ledger
        if task is None or ledger is None:
            found.append(f"task {name} restores, {held.place.progress.left:,} changelog records to go")
            continue
        for tp, source in task.inputs.items():
            committed = ledger.committed.get(tp, 0)
            if source.end > committed:
                found.append(
                    f"task {name}: {tp.topic} partition {tp.partition} is committed up to {committed}, processed up to "
                    f"{source.position}, and ends at {source.end}"
                )
    return "; ".join(found)


def abort() -> None:
    """End this process at once, without a core dump."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError):
        pass
    os.kill(os.getpid(), signal.SIGABRT)


def _progress(worker: Worker) -> tuple[int, ...]:
    """Numbers that change whenever something is done."""
    roster = worker.roster
    running = roster.running()
    return (
        worker.stats.commits,
        worker.stats.rebalances,
        sum(task.processed for _, task, _ in running),
        sum(source.position for _, task, _ in running for source in task.inputs.values()),
        sum(held.place.progress.restored for held in roster.held.values()),
        sum(held.place.progress.left for held in roster.held.values()),
        len(running),
    )


def _until_blocked(
    beats: list[float], seconds: float, every: float, ended: threading.Event, loop: int, end: Callable[[], None]
) -> None:
    looked = time.monotonic()
    while not ended.wait(every):
        now, before = time.monotonic(), looked
        looked = now
        if now - before > seconds / 2:  # this thread stood still as well: the process was stopped, or the machine
            beats[0] = now
        if now - beats[0] > seconds:
            stack = traceback.extract_stack(sys._current_frames().get(loop))
            if any(Path(frame.filename).stem in DEBUGGERS for frame in stack):
                continue
            at = "".join(traceback.format_list(stack[-SHOWN:])).rstrip()
            logger.error("the event loop has stood still for %.0f s; ending this worker. It is in\n%s", seconds, at)
            end()
            return
