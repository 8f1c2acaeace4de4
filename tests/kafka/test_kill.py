"""Nothing is lost, doubled or out of order on Kafka when workers and brokers are killed with `kill -9`."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.kill import harness

from .broker import Cluster, missing

KILLS = int(os.environ.get("STREAMFLOW_KILLS", "15"))
BROKER_KILLS = int(os.environ.get("STREAMFLOW_BROKER_KILLS", "3"))
SESSION = "session_timeout=3s"


def seed() -> int:
    found = int(os.environ.get("STREAMFLOW_SEED", random.randrange(1 << 31)))
    print(f"again with STREAMFLOW_SEED={found}")
    return found


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    if why := missing():
        pytest.skip(f"TESTS AGAINST KAFKA ARE SKIPPED. {why}")
    return Cluster(tmp_path / "brokers", 3)


def test_workers_and_brokers_that_are_killed_lose_and_double_nothing(cluster: Cluster) -> None:
    number = seed()
    rng = random.Random(number)
    broken = 0

    async def break_brokers() -> None:
        nonlocal broken
        while broken < BROKER_KILLS:
            await asyncio.sleep(rng.uniform(3.0, 6.0))  # a moment like any other
            node = rng.choice(cluster.nodes)
            node.kill()
            broken += 1
            await asyncio.sleep(rng.uniform(1.0, 4.0))
            node.start()
            await asyncio.to_thread(node.wait)

    async def whole() -> dict[str, object]:
        breaking = asyncio.create_task(break_brokers())
        try:
            return await harness.run(
                KILLS,
                number,
                broker=f"kafka://{cluster.bootstrap}?{SESSION}",
                pause=(1.0, 3.0),
                orders=50,
                more=lambda: broken < BROKER_KILLS,
                deadline=150.0 + 10.0 * KILLS,
            )
        finally:
            breaking.cancel()
            await asyncio.gather(breaking, return_exceptions=True)

    cluster.start()
    try:
        figures = asyncio.run(whole())
    finally:
        cluster.stop()

    print(figures, f"{broken} brokers killed")
    assert int(str(figures["kills"])) >= KILLS and broken == BROKER_KILLS
