"""Groups of the embedded log when members hang, come back, or do not let go; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from streamflow.log.embedded import EmbeddedLog, groups
from streamflow.log.embedded.groups import GroupRow, MemberRow
from streamflow.log.embedded.membership import EmbeddedMembership

from .support import GROUP
from .virtual import Inline, run

TASKS = {"t_0": 1, "t_1": 1}
SESSION = 10.0
REVOCATION = 30.0


async def member(folder: Path) -> tuple[EmbeddedLog, EmbeddedMembership]:
    log = EmbeddedLog(folder, runner=Inline(), session_timeout=SESSION, revocation_timeout=REVOCATION)
    await log.start()
    membership = log.membership(GROUP)
    await membership.join(TASKS, "", {})
    return log, membership


async def settled(membership: EmbeddedMembership, tasks: int, within: float) -> float:
    """Wait until so many tasks are free for a member; the seconds it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    now = membership.assignment()
    while len(now.free) != tasks:
        assert loop.time() - began < within, f"{tasks} free tasks did not come within {within} s: {now}"
        now = await membership.changed(now, 0.5)
    return loop.time() - began


def in_virtual_time(main: Coroutine[Any, Any, None]) -> None:
    run(main)


def hang(membership: EmbeddedMembership) -> None:
    """As when the event loop of its process stands still: the lock is held, the heartbeat stops."""
    membership._stop()


def wake(membership: EmbeddedMembership) -> None:
    membership._follower = asyncio.get_running_loop().create_task(membership._follow())


def test_a_member_that_hangs_is_put_out_after_the_session_timeout_and_learns_it(tmp_path: Path) -> None:
    async def whole() -> None:
        one, first = await member(tmp_path)
        two, second = await member(tmp_path)
        await settled(first, 1, 1)
        held = first.assignment().tasks
        await first.claim(held)

        hang(first)
        took = await settled(second, 2, SESSION + 2)
        assert took >= SESSION - 1
        assert await second.claim(held) == held

        wake(first)
        lost = await first.changed(first.assignment(), 1)
        assert (lost.lost, lost.tasks) == (True, frozenset())
        assert not await first.confirm()
        assert await first.claim(held) == frozenset()
        await first.release(held)
        assert await second.confirm()

        before = first.member_id
        await first.join(TASKS, "", {})
        assert first.member_id != before
        await second.changed(second.assignment(), 1)
        assert len(first.assignment().tasks) == len(second.assignment().tasks) == 1
        assert await first.confirm() and not first.assignment().lost
        await one.close()
        await two.close()

    in_virtual_time(whole())


def test_a_member_that_lives_is_not_put_out_however_long_it_takes(tmp_path: Path) -> None:
    async def whole() -> None:
        one, first = await member(tmp_path)
        two, second = await member(tmp_path)
        await asyncio.sleep(120)
        assert {m.id for m in await first.members()} == {first.member_id, second.member_id}
        assert first.assignment().generation == 2
        await one.close()
        await two.close()

    in_virtual_time(whole())


def test_the_sleep_of_a_watcher_counts_for_next_to_nothing(tmp_path: Path) -> None:
    async def whole() -> None:
        one, first = await member(tmp_path)
        two, second = await member(tmp_path)
        await asyncio.sleep(1)
        hang(first)
        hang(second)
        await asyncio.sleep(15)  # the machine was suspended: both stood still, longer than the timeout

        wake(second)
        await asyncio.sleep(1)
        wake(first)
        await asyncio.sleep(30)

        assert not first.assignment().lost and not second.assignment().lost
        await one.close()
        await two.close()

    in_virtual_time(whole())


def test_a_task_that_is_not_let_go_moves_on_after_the_revocation_timeout(tmp_path: Path) -> None:
    async def whole() -> None:
        one, first = await member(tmp_path)
        await first.claim(frozenset(TASKS))
        two, second = await member(tmp_path)
        [moved] = second.assignment().tasks

        took = await settled(second, 1, REVOCATION + 2)

        assert took >= REVOCATION - 1
        assert await second.claim(frozenset({moved})) == {moved}
        assert not await first.confirm(), "it holds a task no more that it has not let go"
        assert await second.confirm()
        await first.release(frozenset({moved}))
        assert await first.confirm() and await second.confirm()
        await one.close()
        await two.close()

    in_virtual_time(whole())


def test_a_fetch_waits_in_virtual_time_too(tmp_path: Path) -> None:
    async def whole() -> None:
        log, _ = await member(tmp_path)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await log.fetch({}, max_bytes=1, max_wait=100) == {}
        assert 100 <= loop.time() - began < 101
        await log.close()

    in_virtual_time(whole())


def test_closing_leaves_the_group_and_removes_the_lock(tmp_path: Path) -> None:
    async def whole() -> None:
        one, _ = await member(tmp_path)
        two, second = await member(tmp_path)
        await one.close()
        assert [m.id for m in await second.members()] == [second.member_id]
        assert [path.stem for path in (tmp_path / "members").iterdir()] == [second.member_id]
        await two.close()
        assert list((tmp_path / "members").iterdir()) == []

    in_virtual_time(whole())


def test_a_killed_member_leaves_its_file_and_whoever_follows_removes_it(tmp_path: Path) -> None:
    async def whole() -> None:
        one, first = await member(tmp_path)
        one.abandon()
        assert [path.stem for path in (tmp_path / "members").iterdir()] == [first.member_id]
        two, second = await member(tmp_path)
        assert [path.stem for path in (tmp_path / "members").iterdir()] == [second.member_id]
        assert second.assignment().free == frozenset(TASKS)
        await two.close()

    in_virtual_time(whole())


# The row alone


def told(*tasks: str) -> MemberRow:
    return MemberRow("", dict.fromkeys(tasks, 1), {})


def test_telling_the_same_again_changes_no_generation() -> None:
    group = GroupRow()
    groups.join(group, "m", told("a"))
    groups.join(group, "m", told("a"))
    assert group.generation == 1


@pytest.mark.parametrize("forced", [False, True])
def test_a_held_task_is_had_only_by_force(forced: bool) -> None:
    group = GroupRow()
    groups.join(group, "m", told("a"))
    assert groups.claim(group, "m", frozenset("a"), frozenset()) == {"a"}
    group.target["a"] = "n"
    group.members["n"] = told("a")

    had = groups.claim(group, "n", frozenset("a"), frozenset("a") if forced else frozenset())

    assert had == (frozenset("a") if forced else frozenset())
    assert groups.holds(group, "m", frozenset("a")) is not forced


def test_a_move_that_is_under_way_is_not_turned_back_by_a_third_member() -> None:
    group = GroupRow()
    groups.join(group, "m", told(*"abcd"))
    groups.claim(group, "m", frozenset("abcd"), frozenset())
    groups.join(group, "n", told(*"abcd"))
    moving = {task for task, to in group.target.items() if to == "n"}
    groups.join(group, "o", told(*"abcd"))

    assert {task for task, to in group.target.items() if to == "n"} <= moving
    assert sorted(group.target.values()) in (["m", "m", "n", "o"], ["m", "n", "n", "o"])
