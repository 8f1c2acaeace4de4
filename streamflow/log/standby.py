"""Who keeps a copy of whose state, and how long a task stays where it is before it moves.

`assign` says where tasks belong. A task with state does not run there before its state is there: while it has a
holder, that goes on, and the member it belongs to keeps a copy, until that copy lacks a short replay only (*warm*).
A task that lost its holder runs on whoever is warm, for as long as the one it belongs to is not. So whatever happens,
a task waits for a long restore only if nobody has its state.

Standby replicas are copies on further members: first on those that have one, no member with more than its share, and
not in the folder where the task's own state lies if there is another (members on one machine may share it).

This is KIP-441 without its timer: a member says when it is warm, and the next assignment follows from that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamflow.log.assign import MemberState, assign

WARM = 1 << 62
"""Fresher than any position of a state that merely lies on a disk."""


@dataclass(frozen=True)
class Shares:
    """For each task: the member it belongs to, the one to run it now, and those to keep a copy, all by id."""

    home: Mapping[str, str]
    runs: Mapping[str, str]
    copies: Mapping[str, Sequence[str]]

    def copies_of(self, id: str) -> frozenset[str]:
        """The tasks that a member keeps a copy of."""
        return frozenset(task for task, members in self.copies.items() if id in members)

    def warming(self, id: str) -> frozenset[str]:
        """The tasks that come to a member as soon as it is warm."""
        return frozenset(task for task, to in self.home.items() if to == id and self.runs[task] != id)


def share(
    tasks: Mapping[str, int], members: Sequence[MemberState], holders: Mapping[str, str], copies: Mapping[str, int]
) -> Shares:
    """Share out tasks (with weights). ``holders`` says who runs them now, ``copies`` which of them have state and how
    many standby replicas each is to have.

    >>> old, new = MemberState("old", frozenset({"a_0", "a_1"})), MemberState("new")
    >>> cold = share({"a_0": 1, "a_1": 1}, [old, new], {"a_0": "old", "a_1": "old"}, {"a_0": 0, "a_1": 0})
    >>> cold.home["a_0"], cold.runs["a_0"], cold.copies["a_0"]
    ('new', 'old', ['new'])
    """
    belongs = assign(tasks, members)
    by_id = {member.id: member for member in members}
    load = Counter(belongs.values())
    runs: dict[str, str] = {}
    for task, to in belongs.items():
        runs[task] = _runs(task, to, by_id, holders.get(task), load) if task in copies else to
    return Shares(belongs, runs, _copies(belongs, runs, members, holders, copies))


def _runs(task: str, to: str, members: Mapping[str, MemberState], holder: str | None, load: Counter[str]) -> str:
    """Who runs a task with state until it is where it belongs."""
    if task in members[to].warm or holder == to:
        return to
    if holder is not None and holder in members and members[holder].can_run(task):
        moves_within_a_folder = members[to].home and members[to].home == members[holder].home
        return to if moves_within_a_folder else holder
    warm = [member for member in members.values() if task in member.warm and member.can_run(task)]
    return min(warm, key=lambda member: (load[member.id], member.id)).id if warm else to


def _copies(
    belongs: Mapping[str, str],
    runs: Mapping[str, str],
    members: Sequence[MemberState],
    holders: Mapping[str, str],
    copies: Mapping[str, int],
) -> dict[str, list[str]]:
    """Who keeps copies: whoever the task is to move to, and as many more as are wished for."""
    by_id = {member.id: member for member in members}
    wanted = {task: copies[task] for task in sorted(runs) if task in copies}
    most = -(-sum(min(count, len(members) - 1) for count in wanted.values()) // max(1, len(members)))
    kept: Counter[str] = Counter()
    found: dict[str, list[str]] = {}
    for task, count in wanted.items():
        runner, to = by_id[runs[task]], belongs[task]
        found[task] = [to] if to != runner.id else []
        able = [m for m in members if m.can_run(task) and m.id not in (runner.id, to)]

        def order(
            m: MemberState, task: str = task, runner: MemberState = runner
        ) -> tuple[bool, bool, bool, bool, int, int, str]:
            there = bool(m.home) and m.home == runner.home
            warm = task in m.warm or holders.get(task) == m.id
            full = kept[m.id] >= most
            return there, full, not warm, task not in m.follows, kept[m.id], -m.state.get(task, 0), m.id

        for member in sorted(able, key=order)[:count]:
            kept[member.id] += 1
            found[task].append(member.id)
    return {task: ids for task, ids in found.items() if ids}
