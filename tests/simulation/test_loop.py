"""The event loop of the simulation keeps asyncio's promises, and its own."""

from __future__ import annotations

import asyncio
import contextvars
import random
from typing import Any

import pytest

from .loop import OWNER, Deadlock, Handle, SimLoop


def run(seed: int, main: Any, **options: Any) -> Any:
    loop = SimLoop(random.Random(seed), **options)  # type: ignore[abstract]
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


async def _race(noted: list[Any]) -> float:
    async def one(name: int) -> None:
        for step in range(3):
            await asyncio.sleep(0.01 * (name % 3))
            noted.append((name, step))

    await asyncio.gather(*(one(name) for name in range(9)))
    return asyncio.get_running_loop().time()


def test_the_same_seed_is_the_same_order_and_another_seed_is_another() -> None:
    orders: list[list[Any]] = []
    for seed in (1, 1, 2):
        orders.append([])
        run(seed, _race(orders[-1]))

    assert orders[0] == orders[1] != orders[2]


def test_without_shuffling_first_come_is_first_served() -> None:
    noted: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for n in range(20):
            loop.call_soon(noted.append, n)
        await asyncio.sleep(0.1)

    run(1, main(), shuffled=False)
    assert noted == list(range(20))


def test_time_jumps_and_timers_come_in_order() -> None:
    noted: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay in (50.0, 3600.0, 0.5):
            loop.call_later(delay, lambda: noted.append(loop.time()))
        await asyncio.sleep(4000)

    run(1, main())
    assert noted == [0.5, 50.0, 3600.0]


def test_a_timeout_cancels_what_takes_too_long() -> None:
    async def main() -> str:
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(3)
        except TimeoutError:
            return f"gave up at {asyncio.get_running_loop().time():.0f}"
        return "done"

    assert run(1, main()) == "gave up at 2"


def test_a_run_in_which_nobody_will_ever_go_on_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="nothing is left to do"):
        run(1, main())


class _Owner:
    """Alive until it is told otherwise."""

    def __init__(self) -> None:
        self.dead = self.stopped = False
        self.tasks: list[Any] = []
        self.parked: list[Handle] = []

    def turn(self) -> bool:
        return not self.stopped

    def park(self, handle: Handle) -> None:
        self.parked.append(handle)


def test_what_a_dead_owner_began_never_goes_on_and_what_a_stopped_one_began_waits() -> None:
    noted: list[str] = []
    dying, stopping = _Owner(), _Owner()

    async def tick(name: str) -> None:
        for n in range(5):
            await asyncio.sleep(1)
            noted.append(f"{name}{n}")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        for name, owner in (("dying", dying), ("stopping", stopping)):
            context = contextvars.copy_context()
            context.run(OWNER.set, owner)
            owner.tasks.append(loop.create_task(tick(name), context=context))
        await asyncio.sleep(2.5)
        dying.dead = stopping.stopped = True
        await asyncio.sleep(10)
        assert sorted(noted) == ["dying0", "dying1", "stopping0", "stopping1"]
        stopping.stopped = False
        loop.resume(stopping.parked)
        await asyncio.sleep(10)

    run(1, main())
    assert noted[4:] == ["stopping2", "stopping3", "stopping4"]
    for task in dying.tasks:
        task.get_coro().close()
