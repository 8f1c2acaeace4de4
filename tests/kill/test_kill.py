"""Nothing is lost, doubled or out of order when real workers are killed with `kill -9` at any moment."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("kill_harness", Path(__file__).with_name("harness.py"))
assert _spec is not None and _spec.loader is not None
harness = importlib.util.module_from_spec(_spec)
sys.modules["kill_harness"] = harness
_spec.loader.exec_module(harness)


def test_sixty_kills_under_a_live_reader_lose_and_double_nothing() -> None:
    seed = int(os.environ.get("STREAMFLOW_SEED", random.randrange(1 << 31)))
    print(f"again with STREAMFLOW_SEED={seed}")

    figures = asyncio.run(harness.run(60, seed))

    print(figures)
    assert figures["kills"] == 60
