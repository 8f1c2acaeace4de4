"""A group of workers as one row, and what may happen to it. Pure: no clock, no file.

    join, tell anew, leave, put out    change the members; the target is then computed anew
    claim, release                     change the holders

``target`` says who should have a task, ``holders`` who has it. A task that moves
stays with its holder until that lets go, is gone, or is passed over because it
took too long (``forced``). Whoever is passed over learns it from `holds`, and
can do no harm: its epoch is fenced.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamflow.log.assign import MemberState, assign
from streamflow.log.contract import Assignment, Member
from streamflow.log.embedded.control import Kind


class MemberRow(msgspec.Struct):
    """What a member told: its HTTP address, the tasks it can run with their weights, the state it has on disk."""

    address: str
    tasks: dict[str, int]
    holding: dict[str, int]


class GroupRow(msgspec.Struct):
    """Members by id; ``target`` and ``holders`` are task -> member id."""

    generation: int = 0
    members: dict[str, MemberRow] = msgspec.field(default_factory=dict[str, MemberRow])
    target: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    holders: dict[str, str] = msgspec.field(default_factory=dict[str, str])


GROUP = Kind("group", GroupRow)


def join(group: GroupRow, id: str, member: MemberRow) -> None:
    """Add a member, or take what it tells anew."""
    if group.members.get(id) == member:
        return
    group.members[id] = member
    _assign(group)


def drop(group: GroupRow, ids: frozenset[str]) -> None:
    """Members are gone, with all they held."""
    gone = ids & group.members.keys()
    if not gone:
        return
    for id in gone:
        del group.members[id]
    group.holders = {task: id for task, id in group.holders.items() if id in group.members}
    _assign(group)


def claim(group: GroupRow, id: str, tasks: frozenset[str], forced: frozenset[str]) -> frozenset[str]:
    """Take hold of tasks that are meant for the member and held by nobody else (or ``forced``)."""
    had = frozenset(
        task for task in tasks if group.target.get(task) == id and (group.holders.get(task, id) == id or task in forced)
    )
    group.holders.update(dict.fromkeys(sorted(had), id))
    return had


def release(group: GroupRow, id: str, tasks: frozenset[str]) -> None:
    """Let go of tasks."""
    for task in tasks:
        if group.holders.get(task) == id:
            del group.holders[task]


def holds(group: GroupRow, id: str, tasks: frozenset[str]) -> bool:
    """Whether a member is still one and still has these tasks."""
    return id in group.members and all(group.holders.get(task) == id for task in tasks)


def assignment(group: GroupRow, id: str, overdue: frozenset[str] = frozenset()) -> Assignment:
    """What a member should own; ``overdue`` are tasks it has waited for long enough."""
    if id not in group.members:
        return Assignment(group.generation, frozenset(), frozenset(), lost=True)
    tasks = frozenset(task for task, member in group.target.items() if member == id)
    free = frozenset(task for task in tasks if group.holders.get(task, id) == id or task in overdue)
    return Assignment(group.generation, tasks, free)


def awaited(group: GroupRow, id: str) -> frozenset[str]:
    """Tasks meant for a member that another one still holds."""
    return frozenset(task for task, to in group.target.items() if to == id and group.holders.get(task, id) != id)


def members(group: GroupRow) -> list[Member]:
    """All members with the tasks they hold."""
    held: dict[str, set[str]] = {id: set() for id in group.members}
    for task, id in group.holders.items():
        held[id].add(task)
    return [Member(id, group.members[id].address, frozenset(held[id])) for id in sorted(group.members)]


def _assign(group: GroupRow) -> None:
    tasks: dict[str, int] = {}
    for member in group.members.values():
        for task, weight in member.tasks.items():
            tasks[task] = max(weight, tasks.get(task, 0))
    # Sticky to the last target, not to the holders: a move that is under way goes on instead of turning back.
    last = {task: group.target.get(task, "") for task in tasks}
    stays = {task: id if id in group.members else group.holders.get(task, "") for task, id in last.items()}
    group.target = assign(tasks, [_state(id, member, stays) for id, member in group.members.items()])
    group.generation += 1


def _state(id: str, member: MemberRow, stays: Mapping[str, str]) -> MemberState:
    holds = frozenset(task for task, at in stays.items() if at == id)
    return MemberState(id, holds, member.holding, frozenset(member.tasks))
