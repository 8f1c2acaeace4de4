"""A key is asked where its record lies: never elsewhere, whatever its type."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from urllib.parse import quote_from_bytes

import pytest

from streamflow.http.text import key_bytes
from streamflow.query import sites
from tests.http.world import APP, KEYED, World, framed, number, text

EACH = 25_000
SEED = 20_261_123


def random_key(kind: str, rng: random.Random) -> tuple[bytes, bytes]:
    """A key as its serde writes it, and as a person writes it."""
    if kind == "numbers":
        chosen = rng.choice((rng.randrange(-100, 100), rng.randrange(-(2**63), 2**63)))
        return number.serialize(chosen) or b"", str(chosen).encode()
    length = rng.randrange(1, 24)
    if kind == "blobs":
        return (data := rng.randbytes(length)), data
    letters = "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xA0, 0xD7FF)))) for _ in range(length))
    return (data := text.serialize(letters) or b""), data


@pytest.fixture(scope="module")
def kept(world: World) -> dict[str, dict[bytes, bytes]]:
    """Per store: each key's text -> its bytes. All of them have gone through the workers."""
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    found: dict[str, dict[bytes, bytes]] = {}
    for kind in ("words", "numbers", "blobs", "clicks"):
        keys: dict[bytes, bytes] = {}
        while len(keys) < EACH:
            data, written = random_key(kind, rng)
            keys[written] = data
        found[kind] = keys
        world.run(world.send(kind, [(data, b"", 1_000) for data in keys.values()]))
    world.run(world.drained())
    return found


def test_none_of_100_000_keys_is_looked_for_in_a_partition_it_does_not_lie_in(
    world: World, kept: dict[str, dict[bytes, bytes]]
) -> None:
    known = sites(world.plan)
    asked = 0
    for kind, keys in kept.items():
        site = known[kind]
        tail = 8 if kind == "clicks" else 0
        changelog = world.run(world.everything(f"{APP}-{kind}-changelog"))
        lies = {record.key[: len(record.key) - tail]: partition for partition, record in changelog}
        wrong = [
            written
            for written, data in keys.items()
            if site.holding(key_bytes(site.spec.key, written)) != (lies[data],)
        ]
        assert wrong == []
        asked += len(keys)
    assert asked == 4 * EACH


@pytest.mark.parametrize("kind", ["words", "numbers", "blobs", "clicks"])
def test_whichever_worker_is_asked_the_answer_is_that_of_the_key(
    world: World, kept: dict[str, dict[bytes, bytes]], kind: str
) -> None:
    rng = random.Random(SEED + 1)
    print(f"seed {SEED + 1}")
    chosen = rng.sample(sorted(kept[kind].items()), 750)

    async def ask(worker: int, written: bytes, data: bytes) -> None:
        where = "windows" if kind == "clicks" else "keys"
        status, answer = await world.get(f"/stores/{kind}/{where}/{quote_from_bytes(written, safe='')}", worker)
        assert status == 200, answer
        if kind == "clicks":
            assert answer == [{"start": 0, "end": 60_000, "value": 1, "timestamp": 1_000}]
        else:
            assert answer["timestamp"] == 1_000
            assert framed(data) == value_of(answer)

    async def all_of_them() -> None:
        at_once = asyncio.Semaphore(32)

        async def one(worker: int, written: bytes, data: bytes) -> None:
            async with at_once:
                await ask(worker, written, data)

        await asyncio.gather(*(one(n % 2, *pair) for n, pair in enumerate(chosen)))

    world.run(all_of_them())


def value_of(answer: dict[str, Any]) -> bytes:
    """The bytes of a value in an answer."""
    import base64

    return base64.b64decode(answer["value"]) if "encoding" in answer else answer["value"].encode()


def test_both_workers_hold_a_part_of_every_store(world: World) -> None:
    for sub in world.plan.subtopologies:
        tasks = {f"{sub.name}_{p}" for p in range(sub.partitions)}
        held = [tasks & set(member.worker.roster.held) for member in world.members]
        assert set().union(*held) == tasks
    shares = [len(member.worker.roster.held) for member in world.members]
    assert min(shares) >= 16, shares


def test_a_key_placed_by_a_partitioner_of_the_users_is_found(world: World) -> None:
    world.run(world.keep("spread", [(b"a", b"0", 1), (b"b", b"1", 2), (b"c", b"3", 3)]))
    assert sites(world.plan)["spread"].spread is None
    for worker in (0, 1):
        for key, value in (("a", "0"), ("b", "1"), ("c", "3")):
            status, answer = world.run(world.get(f"/stores/spread/keys/{key}", worker))
            assert (status, answer["value"]) == (200, f"001{key}{value}")


def test_a_key_that_a_partitioner_put_in_two_places_is_refused_with_the_partitions(world: World) -> None:
    world.run(world.keep("spread", [(b"twice", b"0", 1), (b"twice", b"1", 2)]))
    status, answer = world.run(world.get("/stores/spread/keys/twice"))
    assert status == 409
    assert "0, 1" in answer["error"]


def test_a_json_key_is_found_however_it_is_spaced(world: World) -> None:
    key = KEYED["people"].serialize({"id": 7}) or b""
    world.run(world.keep("people", [(key, b"", 1)]))
    status, answer = world.run(world.get("/stores/people/keys/%7B%20%22id%22%3A%207%20%7D", 1))
    assert (status, answer["key"]) == (200, {"id": 7})
