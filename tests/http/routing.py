"""Random keys asked of random workers while the group changes: never a wrong answer.

    python -m tests.http.routing [KEYS] [SEED]

Four workers hold a table of half of the keys; a fifth comes when a third of the questions is asked, and one of the first
four goes when two thirds are. Each question is put to a worker of its choice. Its answer is the row, a 404 for a key
that has none, or a 503 with Retry-After, after which it is put again.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
from yarl import URL

from tests.http.world import World, framed, make_plan, world_in

AT_ONCE = 32
BATCH = 20_000  # rows written at a time
AGAIN = 60.0  # seconds in which a 503 must end
ALPHABET = "abcdefghijklmnopqrstuvwxyzäöüßñ0123456789 /%?&=#+.~-"


def keys(rng: random.Random, count: int) -> list[str]:
    """Different ones, of signs that mean something in an address among others."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(rng.choices(ALPHABET, k=rng.randrange(1, 24)))] = None
    return list(found)


async def run(world: World, count: int, rng: random.Random) -> Counter[str]:
    """Ask ``count`` times; gives how often which answer came. Raises `AssertionError` for a wrong one."""
    await world.start(4)
    every = keys(rng, count)
    there = every[::2]
    for at in range(0, len(there), BATCH):
        await world.keep("words", [(key.encode(), b"", 1) for key in there[at : at + BATCH]])
    held = set(there)
    rng.shuffle(every)
    seen: Counter[str] = Counter()
    questions = iter(enumerate(every))

    async def ask(key: str) -> None:
        until = time.monotonic() + AGAIN
        path = "/stores/words/keys/" + "".join(f"%{byte:02X}" for byte in key.encode())
        while True:
            member = rng.choice(world.members)
            async with world.session.get(URL(member.server.address + path, encoded=True)) as response:
                body = await response.read()
            if response.status != 503:
                break
            assert "Retry-After" in response.headers and time.monotonic() < until, (key, body)
            seen["503, and asked again"] += 1
            await asyncio.sleep(0.05)
        if key in held:
            assert response.status == 200, (key, response.status, body)
            row = msgspec.json.decode(body)
            assert (row["key"], row["value"]) == (key, framed(key.encode()).decode()), (key, row)
            seen["the row"] += 1
        else:
            assert response.status == 404, (key, response.status, body)
            seen["no row"] += 1

    async def asker() -> None:
        for _, key in questions:
            await ask(key)

    async def change() -> None:
        while seen["the row"] + seen["no row"] < count // 3:
            await asyncio.sleep(0.05)
        await world.add("late")
        await world.until(world.shared)
        seen["rebalances"] += 1
        while seen["the row"] + seen["no row"] < 2 * count // 3:
            await asyncio.sleep(0.05)
        going = world.members.pop(rng.randrange(4))
        going.worker.stop()
        await going.running
        await going.server.close()
        await going.log.close()
        await world.until(world.shared)
        seen["rebalances"] += 1

    await asyncio.gather(change(), *(asker() for _ in range(AT_ONCE)))
    return seen


def main(arguments: Iterator[str]) -> None:
    count = int(next(arguments, "1000000"))
    seed = int(next(arguments, str(random.randrange(1 << 31))))
    print(f"{count:,} keys, seed {seed}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, world_in(Path(folder)) as world:
        world.plan = make_plan("words")
        seen = world.loop.run_until_complete(run(world, count, random.Random(seed)))
    print(f"{dict(seen)}: none wrong, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main(iter(sys.argv[1:]))
