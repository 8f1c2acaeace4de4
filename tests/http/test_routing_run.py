"""A short form of `make routing`."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.http import routing
from tests.http.world import make_plan, world_in

KEYS = 3_000


def test_no_key_is_looked_for_at_the_wrong_worker_while_workers_come_and_go(tmp_path: Path) -> None:
    seed = int(os.environ.get("STREAMFLOW_SEED", random.randrange(1 << 31)))
    print(f"again with STREAMFLOW_SEED={seed}")
    with world_in(tmp_path) as world:
        world.plan = make_plan("words")
        seen = world.loop.run_until_complete(routing.run(world, KEYS, random.Random(seed)))
    print(dict(seen))
    assert seen["the row"] + seen["no row"] == KEYS
    assert min(seen["the row"], seen["no row"]) > 0
    assert seen["rebalances"] == 2
