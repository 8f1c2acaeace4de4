"""Who runs which task: sticky, balanced, and the same answer from everybody who asks.

`assign` is a pure function. A task stays where it is while the loads allow; one
that must move goes to whoever has the freshest state for it, else to the least
loaded. Tasks of one *kind*, the partitions of a sub-topology, are spread first:
members differ by at most one of each kind. What that leaves open is decided by
weight, so that no single move could make two loads more equal without making a
kind less even. Kinds come first because weights are only guesses: a member with
all partitions of the one expensive sub-topology looks like any other.

The shape is that of Kafka's sticky assignor (KIP-54): keep, place, then level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MemberState:
    """One member: the tasks it has now, and the position of the state on its disk for each task it has state of.

    ``tasks`` are those it is able to run (None: all), so that an old and a new version of a program can share a group.
    ``warm`` are those whose state it has but for a short replay, ``follows`` those it keeps a copy of; ``home`` names
    the folder of its state, which members on one machine may share (see `streamflow.log.standby`).
    """

    id: str
    holds: frozenset[str] = frozenset()
    state: Mapping[str, int] = field(default_factory=dict[str, int])
    tasks: frozenset[str] | None = None
    warm: frozenset[str] = frozenset()
    follows: frozenset[str] = frozenset()
    home: str = ""

    def can_run(self, task: str) -> bool:
        """Whether it knows the task."""
        return self.tasks is None or task in self.tasks


def assign(tasks: Mapping[str, int], members: Sequence[MemberState]) -> dict[str, str]:
    """Task -> member id, for every task that some member can run. Weights below 1 count as 1.

    >>> assign({"a": 1, "b": 1}, [MemberState("m"), MemberState("n", frozenset({"a"}))])
    {'a': 'n', 'b': 'm'}
    """
    board = _Board(tasks, members)
    board.keep()
    board.place()
    board.level()
    return {task: board.owner[task] for task in sorted(board.owner)}


Kind = tuple[str, int]
"""The name of a task without its partition, and its weight."""


class _Board:
    """Members, their loads, and the tasks given so far."""

    def __init__(self, tasks: Mapping[str, int], members: Sequence[MemberState]) -> None:
        self.weights = {task: max(1, tasks[task]) for task in sorted(tasks)}
        self.members = {member.id: member for member in sorted(members, key=lambda member: member.id)}
        self.kinds = {task: (task.rpartition("_")[0], weight) for task, weight in self.weights.items()}
        self.load = dict.fromkeys(self.members, 0)
        self.given: dict[str, dict[Kind, set[str]]] = {
            id: {kind: set() for kind in sorted(set(self.kinds.values()))} for id in self.members
        }
        self.owner: dict[str, str] = {}

    def keep(self) -> None:
        """Every task stays with the member that holds it."""
        for member in self.members.values():
            for task in sorted(member.holds):
                if task in self.weights and task not in self.owner and member.can_run(task):
                    self._give(task, member.id)

    def place(self) -> None:
        """Tasks without an owner, the heaviest first: to the freshest state with room, else to who has least of it."""
        if not self.members:
            return
        room = {kind: -(-count // len(self.members)) for kind, count in Counter(self.kinds.values()).items()}
        for task in sorted(self.weights.keys() - self.owner.keys(), key=lambda task: (-self.weights[task], task)):
            kind = self.kinds[task]
            able = [member for member in self.members.values() if member.can_run(task)]
            fresh = [m for m in able if task in m.state and self._has(m.id, kind) < room[kind]]
            if fresh:
                self._give(task, min(fresh, key=lambda m: (-m.state[task], self.load[m.id], m.id)).id)
            elif able:
                self._give(task, min(able, key=lambda m: (self._has(m.id, kind), self.load[m.id], m.id)).id)

    def level(self) -> None:
        """Move tasks: first until every kind is even, then for as long as two loads become more equal."""
        for kind in sorted(set(self.kinds.values())):
            while move := self._evening(kind):
                self._move(*move)
        while move := self._leveling():
            self._move(*move)

    def _evening(self, kind: Kind) -> tuple[str, str] | None:
        """A task of this kind, and a member that has at least two less of it."""
        most = sorted(self.members, key=lambda id: (-self._has(id, kind), -self.load[id], id))
        for giver in most:
            for taker in sorted(self.members, key=lambda id: (self._has(id, kind), self.load[id], id)):
                if self._has(giver, kind) - self._has(taker, kind) < 2:
                    break
                if movable := [task for task in self.given[giver][kind] if self.members[taker].can_run(task)]:
                    return min(movable, key=lambda task: self._cost(task, taker)), taker
        return None

    def _leveling(self) -> tuple[str, str] | None:
        """A task whose move makes loads more equal, to a member that has less of its kind."""
        lightest = sorted(self.members, key=lambda id: (self.load[id], id))
        for giver in sorted(self.members, key=lambda id: (-self.load[id], id)):
            for taker in lightest:
                gap = self.load[giver] - self.load[taker]
                if gap <= 1:
                    break
                movable = [
                    task
                    for kind, tasks in self.given[giver].items()
                    if kind[1] < gap and len(tasks) > self._has(taker, kind)
                    for task in tasks
                    if self.members[taker].can_run(task)
                ]
                if movable:
                    return min(movable, key=lambda task: self._cost(task, taker, gap)), taker
        return None

    def _cost(self, task: str, to: str, gap: int = 0) -> tuple[bool, int, int, str]:
        """What is lost by a move: first a task that runs now, then one without state there, then a bad fit."""
        held = task in self.members[self.owner[task]].holds
        return held, -self.members[to].state.get(task, -1), abs(gap - 2 * self.weights[task]), task

    def _has(self, id: str, kind: Kind) -> int:
        return len(self.given[id][kind])

    def _move(self, task: str, to: str) -> None:
        old = self.owner[task]
        self.given[old][self.kinds[task]].remove(task)
        self.load[old] -= self.weights[task]
        self._give(task, to)

    def _give(self, task: str, to: str) -> None:
        self.owner[task] = to
        self.given[to][self.kinds[task]].add(task)
        self.load[to] += self.weights[task]
