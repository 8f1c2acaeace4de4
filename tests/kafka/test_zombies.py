"""Workers that stop for a while and go on as if nothing had been, exactly between the steps of a commit.

`make zombies` runs 40 of them.
"""

from __future__ import annotations

import asyncio
import os

from tests.kill import harness

from .proxy import PRODUCE, STEPS, Fault
from .stage import Stage
from .watching import Watching, within

ZOMBIES = int(os.environ.get("STREAMFLOW_ZOMBIES", "3"))
REJOINS = 120.0  # seconds: on a quiet machine it takes one or two, which the test prints
PUT_OUT = "this worker was put out of its group; closing its tasks and joining again"
WORKERS = 3


def test_a_zombie_commits_nothing_is_told_and_joins_again(stage: Stage) -> None:
    proxy, broker, rng, seed = stage
    url, session = f"{broker}?session_timeout=6s", 6.0
    took: list[float] = []

    async def strike(crew: harness.Crew, number: int) -> None:
        worker, told = crew.workers[number], crew.all_said(number).count(PUT_OUT)
        api, way = rng.choice(STEPS[2:])  # those that come again and again
        stop = Fault("freeze", api, way, session + rng.uniform(1.0, 3.0), rng.random() < 0.5, pid=worker.pid)
        proxy.arm(stop)
        if not await asyncio.to_thread(stop.done.wait, session + 10.0):
            if proxy.disarm(stop):
                return  # it had nothing to commit
            assert await asyncio.to_thread(stop.done.wait, 30.0), f"{stop} never ended"

        async def told_again() -> bool:
            return crew.all_said(number).count(PUT_OUT) > told

        assert await within(REJOINS, told_again) is not None, f"{stop}: nobody told it: {crew.said(number)}"
        async with Watching(url, WORKERS) as group:
            back = await within(REJOINS, group.all_owned)
        assert back is not None, f"{stop}: not back after {REJOINS} s, {group.seen}: {crew.said(number)}"
        took.append(back)
        crew.kills += 1

    deadline = 240.0 + 30.0 * ZOMBIES
    figures = asyncio.run(
        harness.run(ZOMBIES, seed, WORKERS, deadline, broker=url, pause=(0.5, 2.0), orders=50, strike=strike)
    )
    print(figures, dict(proxy.happened), f"back in {sorted(round(each, 1) for each in took)} s")
    assert len(took) >= ZOMBIES


def test_a_stop_longer_than_a_transaction_and_shorter_than_the_session_ends_by_itself(stage: Stage) -> None:
    """The coordinator has aborted what was begun; the owner is a member still, and goes on with the task.

    On a machine so busy that the rest of the session went by in waiting as well, it is put out: then once more.
    """
    proxy, broker, rng, seed = stage
    url = f"{broker}?session_timeout=40s"
    went_on: list[bool] = []

    async def strike(crew: harness.Crew, number: int) -> None:
        async with Watching(url, WORKERS) as group:
            assert await within(REJOINS, group.all_owned) is not None, group.seen
        worker, told = crew.workers[number], crew.all_said(number).count(PUT_OUT)
        stop = Fault("freeze", PRODUCE, rng.choice(["request", "answer"]), 15.0, pid=worker.pid)
        proxy.arm(stop)
        if not await asyncio.to_thread(stop.done.wait, 30.0):
            if proxy.disarm(stop):
                return  # it had nothing to commit
            assert await asyncio.to_thread(stop.done.wait, 60.0), f"{stop} never ended"
        async with Watching(url, WORKERS) as group:
            assert await within(REJOINS, group.all_owned) is not None, group.seen
        went_on.append(crew.all_said(number).count(PUT_OUT) == told)
        assert any(went_on) or len(went_on) < 3, f"put out each time: {crew.said(number)}"
        crew.kills += went_on[-1]

    figures = asyncio.run(harness.run(1, seed, WORKERS, broker=url, pause=(0.5, 1.0), orders=20, strike=strike))
    print(figures, dict(proxy.happened), went_on)
    assert proxy.happened.total() == len(went_on)
