"""Membership on real brokers: how fast tasks change hands, and that none is ever left alone."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.protocol.group import JoinGroupRequest

from streamflow.errors import LogError, LogUnavailable
from streamflow.log.kafka.coordinator import DYNAMIC, Connection, Coordinator, Finder, Named
from streamflow.log.kafka.membership import KafkaMembership, put_out
from tests.log.support import asynchronous, seeded

from .broker import Cluster
from .members import DEADLINE, SESSION, Child, Keeper, Plain, settled, until

TASKS = {f"t_{n}": 1 for n in range(12)}


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def keepers() -> AsyncIterator[list[Keeper]]:
    """Members that are gone when the test is over."""
    alive: list[Keeper] = []
    try:
        yield alive
    finally:
        for keeper in alive:
            await keeper.kill()


@asynchronous
async def test_from_one_to_six_and_back_each_step_is_balanced_and_moves_no_more_than_it_must(
    bootstrap: str, group: str
) -> None:
    async with keepers() as alive:
        took: list[float] = []
        rebalances: list[int] = []

        async def step(change: str) -> None:
            before = {task: keeper for keeper in alive for task in keeper.holds}
            count = alive[0].membership.rebalances if alive else 0
            if change == "join":
                alive.append(Keeper(bootstrap, group, TASKS, closing=0.02))
                await alive[-1].start()
            else:
                leaver = alive.pop()
                await leaver.leave()
            took.append(await until(lambda: settled(alive, TASKS), f"settled with {len(alive)} members"))
            rebalances.append(alive[0].membership.rebalances - count)
            sizes = sorted(len(keeper.holds) for keeper in alive)
            moved = sum(before.get(task) is not keeper for keeper in alive for task in keeper.holds)
            assert sizes[-1] - sizes[0] <= 1, f"not balanced: {sizes}"
            assert moved <= -(-len(TASKS) // min(len(alive), len(alive) + (change == "leave"))), f"{moved} tasks moved"

        for _ in range(6):
            await step("join")
        for _ in range(5):
            await step("leave")

        print(f"seconds per step {[round(one, 2) for one in took]}, rebalances per step {rebalances}")
        assert max(rebalances[1:6]) <= 4


@asynchronous
async def test_more_members_than_tasks_wait_without_a_task(bootstrap: str, group: str) -> None:
    tasks = {"t_0": 1, "t_1": 1}
    async with keepers() as alive:
        for _ in range(4):
            alive.append(Keeper(bootstrap, group, tasks))
            await alive[-1].start()

        await until(lambda: settled(alive, tasks), "settled")

        assert sorted(len(keeper.holds) for keeper in alive) == [0, 0, 1, 1]


@asynchronous
async def test_who_is_stopped_past_its_session_is_lost_and_back_within_ten_seconds(bootstrap: str, group: str) -> None:
    async with keepers() as alive:
        child = Child(bootstrap, group, TASKS)
        try:
            await until(lambda: len(child.holds) == 12, "the child has all")
            alive.append(Keeper(bootstrap, group, TASKS))
            await alive[0].start()
            await until(lambda: len(alive[0].holds) == len(child.holds) == 6, "both have half")

            child.signal(signal.SIGSTOP)
            noticed = await until(lambda: len(alive[0].holds) == 12, "the other one has all")
            child.signal(signal.SIGCONT)
            back = await until(lambda: child.count("lost") == 1 and len(alive[0].holds) == 6, "both have half", 10.0)
            await until(lambda: len(child.holds) == 6, "the child has its half", 10.0)

            assert SESSION - 1 < noticed < SESSION + 3
            print(f"noticed after {noticed:.1f} s, back after {back:.1f} s")
        finally:
            await child.end()


@asynchronous
async def test_who_is_stopped_for_less_than_its_session_goes_on_by_itself(bootstrap: str, group: str) -> None:
    async with keepers() as alive:
        child = Child(bootstrap, group, TASKS)
        try:
            alive.append(Keeper(bootstrap, group, TASKS))
            await alive[0].start()
            await until(lambda: len(alive[0].holds) == len(child.holds) == 6, "both have half")
            await until(lambda: bool(child.holds), "the child has its half")
            before = child.heard[:], alive[0].membership.assignment()

            child.signal(signal.SIGSTOP)
            await asyncio.sleep(SESSION - 2)
            child.signal(signal.SIGCONT)
            await asyncio.sleep(SESSION)

            assert (child.heard, alive[0].membership.assignment()) == before
        finally:
            await child.end()


@asynchronous
async def test_a_killed_process_is_noticed_after_its_session(bootstrap: str, group: str) -> None:
    async with keepers() as alive:
        child = Child(bootstrap, group, TASKS)
        try:
            alive.append(Keeper(bootstrap, group, TASKS))
            await alive[0].start()
            await until(lambda: len(alive[0].holds) == len(child.holds) == 6, "both have half")

            child.signal(signal.SIGKILL)

            noticed = await until(lambda: len(alive[0].holds) == 12, "the other one has all")
            print(f"a killed process was noticed after {noticed:.2f} s")
            assert noticed < SESSION + 2
        finally:
            await child.end()


@asynchronous
async def test_a_dead_member_that_is_put_out_is_not_waited_for(bootstrap: str, group: str) -> None:
    async with keepers() as alive:
        for _ in range(2):
            alive.append(Keeper(bootstrap, group, TASKS))
            await alive[-1].start()
        await until(lambda: settled(alive, TASKS), "settled")
        dead = alive.pop(0)
        await dead.kill()

        await put_out(Plain(bootstrap), group, dead.membership.member_id)

        took = await until(lambda: settled(alive, TASKS), "the other one has all")
        print(f"tasks of a member that was put out went on after {took:.2f} s")
        assert took < 2.0


@asynchronous
async def test_the_leader_killed_in_the_midst_of_a_rebalance_holds_nobody_up_for_longer_than_its_session(
    bootstrap: str, group: str
) -> None:
    async with keepers() as alive:
        # given a leader that has joined but never shares out the tasks
        leader = Coordinator(Plain(bootstrap), group, "leader", SESSION)
        name = ""
        while not name:
            try:
                await leader.join("", b"\x01")
            except Named as named:
                name = named.member
            except LogUnavailable:
                await asyncio.sleep(0.1)
        await leader.join(name, b"\x01")
        for _ in range(2):
            alive.append(Keeper(bootstrap, group, TASKS))
            await alive[-1].start()

        leader.close()

        took = await until(lambda: settled(alive, TASKS), "the others share the tasks")
        print(f"went on {took:.1f} s after the leader had died in the midst of a rebalance")
        assert took < 2 * SESSION + 2


@asynchronous
async def test_another_kind_of_program_in_the_group_is_told_to_the_user(bootstrap: str, group: str) -> None:
    finder = Finder(Plain(bootstrap), group, "consumer", 10.0)
    consumer = await _first_connection(finder)
    name = ""
    for _ in range(2):  # the first answer gives it a name
        join = JoinGroupRequest(group, 6000, 6000, name, DYNAMIC, "consumer", [("range", b"")])
        name = (await consumer.send(join)).member_id
    one = KafkaMembership(Plain(bootstrap), group, SESSION)
    try:
        with pytest.raises(LogError, match="belongs to another kind of program"):
            await one.join(TASKS, "", {})
    finally:
        one.abandon()
        consumer.close()


async def _first_connection(finder: Finder) -> Connection:
    """To the coordinator, as soon as there is one."""
    while True:
        try:
            return await finder.connect()
        except LogUnavailable:
            await asyncio.sleep(0.1)


@asynchronous
async def test_without_a_cluster_nothing_hangs(group: str) -> None:
    loop = asyncio.get_running_loop()
    one = KafkaMembership(Plain("127.0.0.1:1"), group, SESSION)
    begun = loop.time()

    with pytest.raises(LogUnavailable, match="is not found"):
        await one.join(TASKS, "", {})
    assert await one.claim(frozenset(TASKS)) == frozenset()
    assert not await one.confirm()
    with pytest.raises(LogUnavailable):
        await one.members()
    await one.leave()

    assert loop.time() - begun < DEADLINE


@asynchronous
async def test_no_task_is_left_without_an_owner_whoever_joins_leaves_or_dies(bootstrap: str, group: str) -> None:
    random = seeded()
    done = {"join": 0, "leave": 0, "kill": 0}
    worst = 0.0
    async with keepers() as alive:
        for _ in range(25):
            what = random.choice(["join", "join", "leave", "kill"]) if alive else "join"
            done[what] += 1
            if what == "join" and len(alive) < 6:
                alive.append(Keeper(bootstrap, group, TASKS, closing=random.choice([0.0, 0.05, 0.3])))
                await alive[-1].start()
            elif alive:
                gone = alive.pop(random.randrange(len(alive)))
                await (gone.kill() if what == "kill" else gone.leave())
            if random.random() < 0.3 and alive:
                worst = max(worst, await until(lambda: settled(alive, TASKS), "every task with its owner", 30.0))
            else:
                await asyncio.sleep(random.random() * 0.5)
        if not alive:
            alive.append(Keeper(bootstrap, group, TASKS))
            await alive[-1].start()
        worst = max(worst, await until(lambda: settled(alive, TASKS), "every task with its owner", 30.0))

        assert min(done.values()) > 0, done
        # A machine that stands still for a session loses members; what counts is that they come back to their tasks.
        lost = sum(bool(keeper.lost) for keeper in alive)
        print(f"{done}, {lost} lost and back, at most {worst:.1f} s until every task had its owner")


@asynchronous
async def test_the_coordinators_broker_is_killed_and_everybody_keeps_its_tasks(cluster: Cluster, group: str) -> None:
    async with keepers() as alive:
        for _ in range(3):
            alive.append(Keeper(cluster.bootstrap, group, TASKS))
            await alive[-1].start()
        await until(lambda: settled(alive, TASKS), "settled")
        names = {keeper.membership.identity()[0] for keeper in alive}
        held = [set(keeper.holds) for keeper in alive]

        for _ in range(2):
            finder = Finder(Plain(cluster.bootstrap), group, "looker", 10.0)
            (await finder.connect()).close()
            [node] = [node for node in cluster.nodes if node.port == finder.address[1]]
            node.kill()
            alive.append(Keeper(cluster.bootstrap, group, TASKS))  # it cannot join without a coordinator
            await alive[-1].start()
            took = await until(lambda: settled(alive, TASKS), "settled with another coordinator", 40.0)
            print(f"{took:.1f} s from the coordinator's death until a new member had its tasks")
            node.start()
            await asyncio.to_thread(node.wait)

        assert names <= {keeper.membership.identity()[0] for keeper in alive}
        assert all(keeper.holds < before for keeper, before in zip(alive, held, strict=False))
        assert not any(keeper.lost for keeper in alive)
