"""Who takes an older answer has one from a copy, or from a task that is restored, and is told how old it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from yarl import URL

from tests.http.world import PARTITIONS, World, framed, make_plan

KEYS = [f"k{n}" for n in range(40)]


def kept(key: str) -> str:
    """The value that a key has in the end."""
    return framed(key.encode(), b"v" + key.encode()).decode()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, make_plan("words"), standby_replicas=1)
    world.run(world.start(2))
    world.run(world.keep("words", [(key.encode(), b"v" + key.encode(), 1000 + n) for n, key in enumerate(KEYS)]))
    world.run(world.until(lambda: all(copied(world, number) for number in (0, 1))))
    yield world
    world.run(world.close())
    world.loop.close()


def copied(world: World, number: int) -> bool:
    """A worker has a copy of every task of the store that it does not run, and the copies lack nothing."""
    roster = world.members[number].worker.roster
    copies = roster.standbys.copies
    there = {*roster.held, *copies}
    return {f"words_{p}" for p in range(PARTITIONS)} <= there and all(
        copy.warm and copy.lag == 0 and sum(store.position for store in copy.place.stores.values())
        for copy in copies.values()
    )


async def asked(world: World, target: str, number: int = 0) -> tuple[int, Any, dict[str, str]]:
    """Status, answer, and how old the parts of it are."""
    url = URL(world.members[number].server.address + target, encoded=True)
    async with world.session.get(url) as response:
        body = await response.read()
        told = {name: value for name, value in response.headers.items() if name.startswith("X-Streamflow-")}
        return response.status, msgspec.json.decode(body), told


def test_a_worker_that_runs_a_task_or_keeps_a_copy_answers_itself_and_tells_how_far_it_is(world: World) -> None:
    for number in (0, 1):
        for key in KEYS:
            status, entry, told = world.run(asked(world, f"/stores/words/keys/{key}?stale=allow", number))
            assert (status, entry["value"]) == (200, kept(key))
            partition, _, position = told["X-Streamflow-Position"].partition("=")
            assert int(position) > 0
            assert told["X-Streamflow-Lag"] == f"{partition}=0"
        assert world.run(asked(world, f"/stores/words/keys/{KEYS[0]}", number))[2] == {}


def test_when_an_owner_answers_nobody_only_who_takes_an_older_answer_has_one(world: World) -> None:
    owner = world.members[1]
    theirs = next(name for name in owner.worker.roster.held if name.startswith("words_"))
    world.run(owner.server.close())  # it still runs its tasks
    found = {key: world.run(asked(world, f"/stores/words/keys/{key}")) for key in KEYS}
    refused = [key for key, (status, _, _) in found.items() if status == 503]
    assert refused, f"{theirs} has some of {len(KEYS)} keys"
    for key in refused:
        status, entry, _ = world.run(asked(world, f"/stores/words/keys/{key}?stale=allow"))
        assert (status, entry["value"]) == (200, kept(key))
    status, page, told = world.run(asked(world, "/stores/words/keys?stale=allow&limit=1000"))
    assert status == 200
    assert [entry["key"] for entry in page["entries"]] == sorted(KEYS)
    assert [int(each.partition("=")[0]) for each in told["X-Streamflow-Lag"].split(",")] == list(range(PARTITIONS))


def test_a_copy_elsewhere_answers_for_a_worker_that_has_nothing_of_the_task(world: World) -> None:
    world.run(world.add("w2"))
    third = world.members[2].worker.roster
    world.run(world.until(world.shared))
    here = {*third.held, *third.standbys.copies}
    assert not {f"words_{p}" for p in range(PARTITIONS)} <= here
    for key in KEYS:
        status, entry, told = world.run(asked(world, f"/stores/words/keys/{key}?stale=allow", 2))
        assert (status, entry["value"]) == (200, kept(key))
        assert told["X-Streamflow-Lag"].endswith("=0")


def test_a_task_that_is_restored_answers_with_its_lag_and_only_who_takes_that(world: World) -> None:
    roster = world.members[0].worker.roster
    name, held = next((name, held) for name, held in roster.held.items() if name.startswith("words_"))
    partition = int(name.rpartition("_")[2])
    key = next(
        key for key in KEYS
        if world.run(asked(world, f"/stores/words/keys/{key}?stale=allow"))[2]["X-Streamflow-Lag"] == f"{partition}=0"
    )  # fmt: skip
    task, held.task, held.place.progress.left = held.task, None, 7  # as in the midst of a restore
    try:
        assert world.run(asked(world, f"/stores/words/keys/{key}"))[0] == 503
        status, entry, told = world.run(asked(world, f"/stores/words/keys/{key}?stale=allow"))
        assert (status, entry["value"], told["X-Streamflow-Lag"]) == (200, kept(key), f"{partition}=7")
    finally:
        held.task, held.place.progress.left = task, 0


def test_an_older_answer_and_waiting_for_a_newer_one_exclude_each_other(world: World) -> None:
    status, told, _ = world.run(asked(world, "/stores/words/keys/a?stale=allow&wait=1s"))
    assert status == 400
    assert "stale=allow" in told["error"]
    status, told, _ = world.run(asked(world, "/stores/words/keys/a?stale=yes"))
    assert (status, told["error"]) == (400, "stale is 'yes'; write one of allow")
