"""Answers are committed state, and nothing is answered by a worker that does not run the task."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from streamflow.http.forward import FORWARDED
from streamflow.log.contract import Commit, Fetched, Outcome
from streamflow.log.embedded.log import EmbeddedLog
from streamflow.query import sites
from streamflow.record import TopicPartition
from tests.http.world import World, framed

KEYS = [f"key{n}" for n in range(200)]


class GatedLog(EmbeddedLog):
    """A real log with two gates: commits wait at one, reading a changelog at the other."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commits, self.restores = asyncio.Event(), asyncio.Event()
        self.commits.set()
        self.restores.set()

    async def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        await self.commits.wait()
        return await super().commit(commits)

    async def fetch(
        self, positions: Mapping[TopicPartition, int], *, max_bytes: int, max_wait: float
    ) -> dict[TopicPartition, Fetched]:
        if any(tp.topic.endswith("-changelog") for tp in positions):
            await self.restores.wait()
        return await super().fetch(positions, max_bytes=max_bytes, max_wait=max_wait)


def rows(value: bytes) -> list[tuple[bytes, bytes, int]]:
    return [(key.encode(), value, 1) for key in KEYS]


async def ask_all(world: World, worker: int) -> dict[int, int]:
    """How often each status came; an answer that is not refused must be right."""
    found: dict[int, int] = {}
    for key in KEYS:
        status, answer = await world.get(f"/stores/words/keys/{key}", worker)
        assert status in (200, 503), answer
        if status == 200:
            assert answer["value"].encode() == framed(key.encode(), b"kept")
        found[status] = found.get(status, 0) + 1
    return found


@pytest.mark.parametrize("empty_world", [("numbers",)], indirect=True)
def test_a_value_that_is_not_committed_is_never_answered(empty_world: World) -> None:
    world = empty_world
    member = world.run(world.add("w0", GatedLog))
    log = member.log
    assert isinstance(log, GatedLog)
    world.run(world.keep("numbers", [((7).to_bytes(8, "big"), b"old", 1)]))

    stores = [store for _, task, _ in member.worker.roster.running() for store in task.stores.values()]
    commit = log.commit

    async def until_a_store_changes(commits: Sequence[Commit]) -> list[Outcome]:
        """The first hop, to the repartition topic, is let through; the commit of the table's rows waits."""
        if any(tp.topic.endswith("-changelog") for each in commits for tp in each.batches):
            log.commits.clear()
        return await commit(commits)

    async def stuck() -> None:
        await world.send("numbers", [((n).to_bytes(8, "big"), b"new", 2) for n in (7, 8)])
        await world.until(lambda: uncommitted() > 0 and not log.commits.is_set())

    def uncommitted() -> int:
        return sum(store.dirty for store in stores)

    log.commit = until_a_store_changes  # type: ignore[method-assign]
    world.run(stuck())
    assert uncommitted() > 0
    assert world.run(world.get("/stores/numbers/keys/7"))[1]["timestamp"] == 1
    assert world.run(world.get("/stores/numbers/keys/8"))[0] == 404
    _, listed = world.run(world.get("/stores/numbers/keys"))
    assert [(entry["key"], entry["timestamp"]) for entry in listed["entries"]] == [(7, 1)]

    log.commits.set()
    log.commit = commit  # type: ignore[method-assign]
    world.run(world.drained())
    _, listed = world.run(world.get("/stores/numbers/keys"))
    assert [(entry["key"], entry["timestamp"]) for entry in listed["entries"]] == [(7, 2), (8, 2)]


def test_while_a_task_is_restored_its_keys_are_503_with_retry_after_and_the_others_are_answered(
    empty_world: World,
) -> None:
    world = empty_world
    world.run(world.start(workers=2))
    world.run(world.keep("words", rows(b"kept")))

    async def third_restores() -> GatedLog:
        gates: list[GatedLog] = []

        def make(*args: Any, **kwargs: Any) -> GatedLog:
            gates.append(log := GatedLog(*args, **kwargs))
            log.restores.clear()
            return log

        # Its copies are never warm, so it comes by a task of "words" only when that has no other owner.
        member = await world.add("w2", make)
        await world.until(lambda: bool(member.worker.roster.standbys.copies))
        await world.kill(world.members[1])
        await world.until(lambda: any(h.place.sub.name == "words" for h in member.worker.roster.restoring()))
        return gates[0]

    log = world.run(third_restores())
    for worker in (0, 1):
        found = world.run(ask_all(world, worker))
        assert found[503] > 0
        assert found[200] > 0
    status, answer = world.run(world.get("/stores/words/keys?limit=10"))
    assert (status, "restored" in answer["error"]) == (503, True)

    async def ready() -> tuple[int, str, str]:
        async with world.session.get(world.members[1].server.address + "/health/ready") as response:
            return response.status, response.headers["Retry-After"], await response.text()

    status, retry, text = world.run(ready())
    assert (status, retry) == (503, "1")
    assert "restoring" in text

    log.restores.set()

    async def all_answered(worker: int) -> None:
        async with asyncio.timeout(20):  # once restored, tasks still move to where they belong
            while await ask_all(world, worker) != {200: len(KEYS)}:
                pass

    world.run(world.until(world.shared))
    for worker in (0, 1):
        world.run(all_answered(worker))
    assert world.run(world.get("/health/ready", 1)) == (200, {"status": "ready"})


def test_a_killed_workers_keys_are_refused_until_another_has_them_and_never_missing(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=2))
    world.run(world.keep("words", rows(b"kept")))
    assert world.run(ask_all(world, 0)) == {200: len(KEYS)}

    async def kill_and_ask() -> dict[int, int]:
        await world.kill(world.members[1])
        async with asyncio.timeout(20):
            while (found := await ask_all(world, 0)) != {200: len(KEYS)}:
                pass
        return found

    assert world.run(kill_and_ask()) == {200: len(KEYS)}


def test_while_workers_come_and_go_every_answer_is_right_or_503(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=1))
    world.run(world.keep("words", rows(b"kept")))
    statuses: dict[int, int] = {}
    moving = True

    async def keep_asking(at: int) -> None:
        while moving:
            for key in KEYS[at::4]:
                worker = at % len(world.members)
                status, answer = await world.get(f"/stores/words/keys/{key}", worker)
                assert status in (200, 503), answer
                assert status == 503 or answer["value"].encode() == framed(key.encode(), b"kept")
                statuses[status] = statuses.get(status, 0) + 1

    async def move() -> None:
        nonlocal moving
        for name in ("w1", "w2"):
            await world.add(name)
            await world.until(world.shared)
        leaving = world.members.pop(0)
        leaving.worker.stop()
        await leaving.running
        await world.until(world.shared)
        await leaving.server.close()
        await leaving.log.close()
        moving = False

    async def both() -> None:
        await asyncio.gather(move(), *(keep_asking(at) for at in range(4)))

    world.run(both())
    print(f"answers while workers came and went: {statuses}")
    assert statuses[200] > 0
    for worker in (0, 1):
        assert world.run(ask_all(world, worker)) == {200: len(KEYS)}


def test_a_request_that_was_forwarded_is_never_forwarded_again(words: World) -> None:
    world = words
    site = sites(world.plan)["words"]
    mine = [p for p in site.partitions if site.task(p) in world.members[0].worker.roster.held]
    others = [p for p in site.partitions if p not in mine]
    assert mine
    assert others
    for partitions, expected in ((mine, 200), (others, 503), ([*mine, *others], 503)):
        header = {FORWARDED: ",".join(map(str, partitions))}
        status, answer = world.run(world.get("/stores/words/keys", 0, **header))
        assert status == expected
        assert expected == 200 or "moved to another worker" in answer["error"]


def test_a_worker_that_cannot_be_reached_is_named_in_the_503(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=1))

    async def silent() -> None:
        member = await world.add("w1")
        await member.server.close()
        await world.until(world.shared)

    world.run(silent())
    site = sites(world.plan)["words"]
    there = [p for p in site.partitions if site.task(p) in world.members[1].worker.roster.held]
    assert there
    status, answer = world.run(world.get("/stores/words/keys"))
    assert status == 503
    assert world.members[1].server.address in answer["error"]


def test_a_worker_that_was_put_out_unawares_passes_questions_on_to_the_new_owner(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=2))
    world.run(world.keep("words", rows(b"old")))
    zombie = world.members[1]
    key = next(key for key in KEYS if task_of(world, key) in zombie.worker.roster.held)
    deaf = asyncio.Event()

    async def nothing(*_: Any, **__: Any) -> dict[TopicPartition, Fetched]:
        deaf.set()
        await asyncio.Event().wait()
        return {}

    zombie.log.fetch = nothing  # type: ignore[method-assign]

    async def put_out() -> None:
        # It reads nothing any more, so no commit tells it; and its lock is gone, so that the others put it out.
        await world.until(lambda: deaf.is_set())
        next(iter(zombie.log._memberships)).abandon()
        every = sum(sub.partitions for sub in world.plan.subtopologies)
        await world.until(lambda: len(world.members[0].worker.roster.running()) == every)
        await world.keep("words", rows(b"kept"))
        assert zombie.worker.roster.running()
        async with asyncio.timeout(20):  # it believes the group's last word for a second
            while not (await world.get(f"/stores/words/keys/{key}", 1))[1].get("value", "").endswith("kept"):
                pass

    world.run(put_out())
    assert world.run(ask_all(world, 1)) == {200: len(KEYS)}
    world.run(world.kill(zombie))


def task_of(world: World, key: str) -> str:
    site = sites(world.plan)["words"]
    (partition,) = site.holding(key.encode())
    return site.task(partition)
