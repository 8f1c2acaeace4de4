"""A group of workers as one row, and what may happen to it. Pure: no clock, no file.

    join, tell anew, leave, put out    change the members; the target is then computed anew
    warm                               a standby is ready; the target is computed anew if a task waits for that
    claim, release                     change the holders

``target`` says who should have a task, ``holders`` who has it, ``belongs`` who is to have it once that one has its
state, ``copies`` who follows its changelog until then or for good. A task that moves
stays with its holder until that lets go, is gone, or is passed over because it
took too long (``forced``). Whoever is passed over learns it from `holds`, and
can do no harm: its epoch is fenced.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamflow.log.assign import MemberState
from streamflow.log.contract import Assignment, Member
from streamflow.log.embedded.control import Kind
from streamflow.log.standby import WARM, share


class MemberRow(msgspec.Struct):
    """What a member told: its HTTP address, the tasks it can run with their weights, the state it has on disk; how many
    standbys the tasks with state are to have, where its state lies, and which of its standbys are warm."""

    address: str
    tasks: dict[str, int]
    holding: dict[str, int]
    wanted: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    home: str = ""
    warm: list[str] = msgspec.field(default_factory=list[str])


class GroupRow(msgspec.Struct):
    """Members by id; ``target``, ``holders`` and ``belongs`` are task -> member id, ``copies`` task -> ids."""

    generation: int = 0
    members: dict[str, MemberRow] = msgspec.field(default_factory=dict[str, MemberRow])
    target: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    holders: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    belongs: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    copies: dict[str, list[str]] = msgspec.field(default_factory=dict[str, list[str]])


GROUP = Kind("group", GroupRow)


def join(group: GroupRow, id: str, member: MemberRow) -> None:
    """Add a member, or take what it tells anew."""
    known = group.members.get(id)
    if known is not None:
        member.warm = known.warm
    if known == member:
        return
    group.members[id] = member
    _assign(group)


def warm(group: GroupRow, id: str, tasks: frozenset[str]) -> None:
    """A member says which standbys are warm; a task that waited for it may move."""
    if id not in group.members:
        return
    new = tasks - frozenset(group.members[id].warm)
    group.members[id].warm = sorted(tasks)
    if any(group.belongs.get(task) == id and group.target.get(task) != id for task in new):
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
    return Assignment(group.generation, tasks, free, standbys=_copies_of(group, id))


def awaited(group: GroupRow, id: str) -> frozenset[str]:
    """Tasks meant for a member that another one still holds."""
    return frozenset(task for task, to in group.target.items() if to == id and group.holders.get(task, id) != id)


def members(group: GroupRow) -> list[Member]:
    """All members with the tasks they hold."""
    held: dict[str, set[str]] = {id: set() for id in group.members}
    for task, id in group.holders.items():
        held[id].add(task)
    return [
        Member(id, group.members[id].address, frozenset(held[id]), _copies_of(group, id))
        for id in sorted(group.members)
    ]


def _copies_of(group: GroupRow, id: str) -> frozenset[str]:
    return frozenset(task for task, ids in group.copies.items() if id in ids)


def _assign(group: GroupRow) -> None:
    tasks: dict[str, int] = {}
    for member in group.members.values():
        for task, weight in member.tasks.items():
            tasks[task] = max(weight, tasks.get(task, 0))
    wanted: dict[str, int] = {}
    for member in group.members.values():
        for task, count in member.wanted.items():
            wanted[task] = max(count, wanted.get(task, 0))
    # Sticky to the last target, not to the holders: a move that is under way goes on instead of turning back.
    last = {task: group.belongs.get(task) or group.target.get(task, "") for task in tasks}
    stays = {task: id if id in group.members else group.holders.get(task, "") for task, id in last.items()}
    states = [_state(group, id, stays) for id in group.members]
    shares = share(tasks, states, group.holders, wanted)
    group.belongs, group.target = dict(shares.home), dict(shares.runs)
    group.copies = {task: list(ids) for task, ids in shares.copies.items()}
    group.generation += 1


def _state(group: GroupRow, id: str, stays: Mapping[str, str]) -> MemberState:
    member = group.members[id]
    return MemberState(
        id,
        holds=frozenset(task for task, at in stays.items() if at == id),
        state=member.holding | dict.fromkeys(member.warm, WARM),
        tasks=frozenset(member.tasks),
        warm=frozenset(member.warm),
        follows=_copies_of(group, id),
        home=member.home,
    )
