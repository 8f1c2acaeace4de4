"""The contract of groups: who has which task, and how a task changes hands."""

from __future__ import annotations

import asyncio

import pytest

from streamflow.errors import LogError
from streamflow.log.contract import Assignment, Log, Membership
from streamflow.topic import NewTopic

from .support import DEADLINE, GROUP, Transport, asynchronous, at, until

TASKS = {f"t_{n}": 1 for n in range(6)}


async def member(log: Log, tasks: dict[str, int] = TASKS, **holding: int) -> Membership:
    membership = log.membership(GROUP)
    await membership.join(tasks, f"http://{membership.member_id}", holding)
    return membership


async def reaches(membership: Membership, state: str, wanted: int) -> Assignment:
    """Wait until an assignment has so many tasks (or so many free ones)."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE
    now = membership.assignment()
    while len(getattr(now, state)) != wanted:
        assert loop.time() < deadline, f"{state} did not become {wanted}: {now}"
        now = await membership.changed(now, deadline - loop.time())
    return now


@asynchronous
async def test_who_is_alone_gets_every_task(transport: Transport) -> None:
    alone = await member(await transport.client())

    now = await reaches(alone, "free", 6)

    assert now.tasks == now.free == frozenset(TASKS)
    assert await alone.claim(now.free) == now.free
    assert await alone.confirm()
    assert [(m.id, m.tasks) for m in await alone.members()] == [(alone.member_id, frozenset(TASKS))]


@asynchronous
async def test_a_second_member_gets_half_and_starts_what_the_first_has_let_go(transport: Transport) -> None:
    first = await member(await transport.client())
    await first.claim((await reaches(first, "free", 6)).free)
    second = await member(await transport.client())

    moved = frozenset(TASKS) - (await reaches(first, "tasks", 3)).tasks
    now = await reaches(second, "tasks", 3)
    assert (now.tasks, now.free) == (moved, frozenset())
    assert await second.claim(moved) == frozenset()

    one, *rest = sorted(moved)
    await first.release(frozenset({one}))
    assert (await reaches(second, "free", 1)).free == {one}
    await first.release(frozenset(rest))
    assert (await reaches(second, "free", 3)).free == moved
    assert await second.claim(moved) == moved
    assert await first.confirm() and await second.confirm()


@asynchronous
async def test_tasks_that_do_not_move_are_not_touched(transport: Transport) -> None:
    clients = [await transport.client() for _ in range(3)]
    first = await member(clients[0])
    await first.claim((await reaches(first, "free", 6)).free)
    second = await member(clients[1])
    stays = (await reaches(first, "tasks", 3)).tasks
    await first.release(frozenset(TASKS) - stays)
    await second.claim((await reaches(second, "free", 3)).free)
    others = (await reaches(second, "tasks", 3)).tasks

    third = await member(clients[2])

    assert (await reaches(first, "tasks", 2)).tasks < stays
    assert (await reaches(second, "tasks", 2)).tasks < others
    assert len((await reaches(third, "tasks", 2)).tasks) == 2


@asynchronous
async def test_who_leaves_is_followed_at_once(transport: Transport) -> None:
    first, second = await member(await transport.client()), await member(await transport.client())
    await first.claim((await reaches(first, "free", 3)).free)

    await first.leave()

    now = await reaches(second, "free", 6)
    assert now.tasks == frozenset(TASKS)
    assert [m.id for m in await second.members()] == [second.member_id]
    assert first.assignment().tasks == frozenset()


@asynchronous
async def test_who_is_killed_is_noticed_and_its_tasks_go_on(transport: Transport) -> None:
    log = await transport.client()
    first, second = await member(log), await member(await transport.client())
    await first.claim((await reaches(first, "free", 3)).free)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await transport.kill(log)

    assert (await reaches(second, "free", 6)).free == frozenset(TASKS)
    print(f"a killed member was noticed after {(loop.time() - began) * 1000:.0f} ms")


@asynchronous
async def test_a_group_of_the_dead_does_not_hinder_the_next(transport: Transport) -> None:
    log = await transport.client()
    dead = await member(log)
    await dead.claim((await reaches(dead, "free", 6)).free)
    await transport.kill(log)

    next_one = await member(await transport.client())

    assert (await reaches(next_one, "free", 6)).free == frozenset(TASKS)
    assert await next_one.claim(frozenset(TASKS)) == frozenset(TASKS)


@asynchronous
async def test_a_task_comes_back_to_who_has_its_state(transport: Transport) -> None:
    clients = [await transport.client() for _ in range(3)]
    await member(clients[0])
    second = await member(clients[1], t_0=5, t_1=5, t_2=5, t_5=9)
    assert {"t_0", "t_1", "t_2", "t_5"} > (await reaches(second, "tasks", 3)).tasks

    third = await member(clients[2], t_5=100)

    await reaches(second, "tasks", 2)
    assert len((await reaches(third, "tasks", 2)).tasks) == 2


@asynchronous
async def test_the_freshest_state_gets_the_task_of_who_is_gone(transport: Transport) -> None:
    clients = [await transport.client() for _ in range(3)]
    tasks = {f"t_{n}": 1 for n in range(3)}
    members = [await member(log, tasks) for log in clients]
    for one in members:
        await one.claim((await reaches(one, "tasks", 1)).tasks)
    [lost] = members[0].assignment().tasks
    await members[1].join(tasks, "", {lost: 10})
    await members[2].join(tasks, "", {lost: 11})

    await members[0].leave()

    assert lost in (await reaches(members[2], "free", 2)).free
    assert len(members[1].assignment().tasks) == 1


@asynchronous
async def test_loads_are_balanced_by_weight(transport: Transport) -> None:
    tasks = {"heavy_0": 3, "a_0": 1, "b_0": 1, "c_0": 1}
    first = await member(await transport.client(), tasks)
    second = await member(await transport.client(), tasks)

    async def balanced() -> bool:
        return {sum(tasks[task] for task in one.assignment().tasks) for one in (first, second)} == {3}

    await until(balanced, "loads of 3 and 3")


@asynchronous
async def test_tasks_only_one_version_knows_go_to_that_version(transport: Transport) -> None:
    old = await member(await transport.client(), {"a_0": 1, "a_1": 1})
    new = await member(await transport.client(), {"a_0": 1, "a_1": 1, "b_0": 1, "b_1": 1})

    async def shared() -> bool:
        mine, theirs = old.assignment().tasks, new.assignment().tasks
        return {"b_0", "b_1"} <= theirs and mine <= {"a_0", "a_1"} and mine | theirs == {"a_0", "a_1", "b_0", "b_1"}

    await until(shared, "all tasks with somebody who knows them")


@asynchronous
async def test_what_is_not_meant_for_a_member_it_does_not_get(transport: Transport) -> None:
    first, second = await member(await transport.client()), await member(await transport.client())
    await reaches(first, "tasks", 3)

    assert await first.claim((await reaches(second, "tasks", 3)).tasks) == frozenset()
    assert await first.claim(frozenset({"never heard of"})) == frozenset()
    assert await first.confirm()


@asynchronous
async def test_a_change_nobody_makes_is_waited_for_no_longer_than_asked(transport: Transport) -> None:
    alone = await member(await transport.client())
    now = await reaches(alone, "free", 6)

    assert await alone.changed(now, 0.02) == now


@asynchronous
async def test_groups_do_not_see_each_other(transport: Transport) -> None:
    log = await transport.client()
    one, other = log.membership("one"), log.membership("other")
    await one.join(TASKS, "", {})
    await other.join(TASKS, "", {})

    assert len((await reaches(one, "free", 6)).free) == len((await reaches(other, "free", 6)).free) == 6
    assert [m.id for m in await one.members()] == [one.member_id]


@asynchronous
async def test_members_tell_where_they_answer(transport: Transport) -> None:
    log = await transport.client()
    one, two = await member(log), await member(await transport.client())

    looker = (await transport.client()).membership(GROUP)

    assert {m.id: m.address for m in await looker.members()} == {
        one.member_id: f"http://{one.member_id}",
        two.member_id: f"http://{two.member_id}",
    }


@asynchronous
async def test_offsets_are_not_moved_under_a_running_group(transport: Transport) -> None:
    log = await transport.client()
    await log.create_topics([NewTopic("in", 1)])
    worker = await transport.client()
    await member(worker)

    with pytest.raises(LogError, match="1 running"):
        await log.set_committed(GROUP, {at("in"): 3})
    assert await log.committed(GROUP, [at("in")]) == {}

    await transport.kill(worker)

    async def moved() -> bool:
        try:
            await log.set_committed(GROUP, {at("in"): 3})
        except LogError:
            return False
        return True

    await until(moved, "a dead member is no member any more")
    assert await log.committed(GROUP, [at("in")]) == {at("in"): 3}
