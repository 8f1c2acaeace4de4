"""The network between workers and their broker breaks at each step of a commit: nothing lost or doubled, nobody hangs.

`make network` plays 200 faults; here there are a few, of every kind.
"""

from __future__ import annotations

import asyncio
import os
from itertools import cycle

from streamflow.log.kafka import codes
from tests.kill import harness

from .proxy import STEPS, Fault
from .stage import Stage

FAULTS = int(os.environ.get("STREAMFLOW_NETWORK_FAULTS", "10"))
WORKERS = 3
KINDS = ("cut", "deaf", "delay", "dead", "lie")
LIES = [code for code in [*codes.NAMES, 999] if code not in codes.REFUSED]
"""What is refused for good stops a worker with a message, as it should."""


def test_a_network_that_breaks_at_any_step_loses_and_doubles_nothing(stage: Stage) -> None:
    proxy, broker, rng, seed = stage
    kinds, steps = cycle(KINDS), cycle(STEPS[2:])  # 5 and 6: every kind at every step in 30 faults

    async def strike(crew: harness.Crew, number: int) -> None:
        kind, (api, way) = next(kinds), next(steps)
        way = "answer" if kind == "lie" else way
        fault = Fault(kind, api, way, rng.uniform(0.5, 6.0), code=rng.choice(LIES), pid=crew.workers[number].pid)
        proxy.arm(fault)
        done = await asyncio.to_thread(fault.done.wait, 20.0)
        if not done and not proxy.disarm(fault):  # it has begun; should its connection end first, it never happens
            done = await asyncio.to_thread(fault.done.wait, 10.0)
        crew.kills += done

    url = f"{broker}?session_timeout=6s"
    deadline = 120.0 + 15.0 * FAULTS
    figures = asyncio.run(
        harness.run(FAULTS, seed, WORKERS, deadline, broker=url, pause=(0.1, 0.5), orders=50, strike=strike)
    )
    print(figures, dict(proxy.happened))
    assert proxy.happened.total() >= FAULTS
