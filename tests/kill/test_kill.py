"""Nothing is lost, doubled or out of order when real workers are killed with `kill -9` at any moment."""

from __future__ import annotations

import asyncio
import os
import random

from tests.kill import harness


def test_sixty_kills_under_a_live_reader_lose_and_double_nothing() -> None:
    seed = int(os.environ.get("STREAMFLOW_SEED", random.randrange(1 << 31)))
    print(f"again with STREAMFLOW_SEED={seed}")

    figures = asyncio.run(harness.run(60, seed))

    print(figures)
    assert figures["kills"] == 60
