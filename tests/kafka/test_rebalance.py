"""Workers join and leave all the time, under load: nothing is lost or doubled, and the work goes on meanwhile.

`make rebalance` does it for three minutes, from 1 worker to 6 and back, and holds the progress to half of the quiet rate, or to
what came in if that was less.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kill import harness

from .broker import Cluster, missing
from .watching import Watching, within

SECONDS = float(os.environ.get("STREAMFLOW_REBALANCE", "15"))
LONG = SECONDS >= 60  # a short one tells nothing of rates
MOST = 6 if LONG else 3
QUIET = 30.0 if LONG else 3.0
EVERY = 3.0  # seconds


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if why := missing():
        pytest.skip(f"TESTS AGAINST KAFKA ARE SKIPPED. {why}")
    cluster = Cluster(tmp_path / "broker").start()
    yield cluster
    cluster.stop()


def leave(worker: subprocess.Popen[bytes]) -> int:
    """An orderly end; gives its exit code."""
    worker.send_signal(signal.SIGTERM)
    return worker.wait(30)


def test_workers_that_come_and_go_all_the_time_lose_and_double_nothing_and_get_on(cluster: Cluster) -> None:
    seed = int(os.environ.get("STREAMFLOW_SEED", random.randrange(1 << 31)))
    print(f"again with STREAMFLOW_SEED={seed}")
    url = f"kafka://{cluster.bootstrap}?session_timeout=6s"
    rates: dict[str, tuple[float, float]] = {}
    changes = 0

    async def rate(crew: harness.Crew, seconds: float) -> tuple[float, float]:
        """Orders a second that came out, and that came in."""
        begun, before, offered = time.monotonic(), crew.passed(), crew.produced
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        return (crew.passed() - before) / took, (crew.produced - offered) / took

    async def dance(crew: harness.Crew, until: float) -> None:
        nonlocal changes
        leaving: list[asyncio.Future[int]] = []
        step = 1
        while time.monotonic() < until or len(crew.workers) > 1:
            if len(crew.workers) == MOST:
                step = -1
            elif len(crew.workers) == 1:
                step = 1
            if step > 0:
                crew.workers.append(crew.start(len(crew.workers)))
            else:
                number = len(crew.workers) - 1
                while not crew.is_up(number):  # it listens to signals from then on
                    await asyncio.sleep(0.05)
                leaving.append(asyncio.ensure_future(asyncio.to_thread(leave, crew.workers.pop())))
            changes += 1
            await asyncio.sleep(EVERY)
        assert await asyncio.gather(*leaving) == [0] * len(leaving)

    async def strike(crew: harness.Crew, number: int) -> None:
        async with Watching(url, 1) as group:
            assert await within(60.0, group.all_owned) is not None, group.seen
        rates["quiet"] = await rate(crew, QUIET)
        measured = asyncio.ensure_future(rate(crew, SECONDS))
        await dance(crew, time.monotonic() + SECONDS)
        rates["changing"] = await measured
        crew.kills += 1

    deadline = 180.0 + 5 * SECONDS
    figures = asyncio.run(harness.run(1, seed, 1, deadline, broker=url, pause=(1.0, 2.0), orders=50, strike=strike))
    print(figures, f"{changes} joins and leaves", rates, "orders a second out and in")
    assert changes >= SECONDS / EVERY / 2
    if LONG:
        (quiet, _), (changing, offered) = rates["quiet"], rates["changing"]
        assert changing >= min(quiet / 2, 0.8 * offered)
