"""The short cut of `make fuzz`: hostile requests to a worker that processes meanwhile."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.http import fuzz
from tests.http.world import World

REQUESTS = 2_000


def test_2_000_hostile_requests_get_no_5xx_but_503_and_the_worker_goes_on(
    words: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamflow.http.connections.ASK_WITHIN", 3.0)
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    told, processed = words.run(_siege(words, seed))
    statuses, wrong = told
    assert wrong == []
    assert processed > 0
    assert {200, 201, 400, 403, 404, 405} <= set(statuses), statuses
    assert words.run(words.get("/health/ready"))[0] == 200


async def _siege(world: World, seed: int) -> tuple[tuple[dict[int, int], list[object]], int]:
    over = asyncio.Event()
    beside = asyncio.create_task(fuzz.processing(world, over))
    statuses, wrong = await fuzz.assault(world, REQUESTS, seed)
    over.set()
    return (dict(statuses), list(wrong)), await beside
