"""Who runs which task: sticky, balanced, and the same answer from everybody who asks.

`assign` is a pure function. A task stays where it is while the loads allow; one
that must move goes to whoever has the freshest state for it, else to the least
loaded. Afterwards no single move could make two loads more equal, so members of
equal tasks differ by at most one.

The shape is that of Kafka's sticky assignor (KIP-54): keep, place, then level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MemberState:
    """One member: the tasks it has now, and the position of the state on its disk for each task it has state of.

    ``tasks`` are those it is able to run (None: all), so that an old and a new version of a program can share a group.
    """

    id: str
    holds: frozenset[str] = frozenset()
    state: Mapping[str, int] = field(default_factory=dict[str, int])
    tasks: frozenset[str] | None = None

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


class _Board:
    """Members, their loads, and the tasks given so far."""

    def __init__(self, tasks: Mapping[str, int], members: Sequence[MemberState]) -> None:
        self.weights = {task: max(1, tasks[task]) for task in sorted(tasks)}
        self.members = {member.id: member for member in sorted(members, key=lambda member: member.id)}
        self.load = dict.fromkeys(self.members, 0)
        self.given: dict[str, set[str]] = {id: set() for id in self.members}
        self.owner: dict[str, str] = {}

    def keep(self) -> None:
        """Every task stays with the member that holds it."""
        for member in self.members.values():
            for task in sorted(member.holds):
                if task in self.weights and task not in self.owner and member.can_run(task):
                    self._give(task, member.id)

    def place(self) -> None:
        """Tasks without an owner, the heaviest first: to the freshest state with room, else to the least loaded."""
        if not self.members:
            return
        room = -(-sum(self.weights.values()) // len(self.members))
        for task in sorted(self.weights.keys() - self.owner.keys(), key=lambda task: (-self.weights[task], task)):
            able = [member for member in self.members.values() if member.can_run(task)]
            fresh = [m for m in able if task in m.state and self.load[m.id] + self.weights[task] <= room]
            if fresh:
                self._give(task, min(fresh, key=lambda m: (-m.state[task], self.load[m.id], m.id)).id)
            elif able:
                self._give(task, min(able, key=lambda m: (self.load[m.id], m.id)).id)

    def level(self) -> None:
        """Move tasks from loaded members to lighter ones for as long as two loads become more equal."""
        while move := self._best_move():
            task, to = move
            old = self.owner[task]
            self.given[old].remove(task)
            self.load[old] -= self.weights[task]
            self._give(task, to)

    def _best_move(self) -> tuple[str, str] | None:
        lightest = sorted(self.members, key=lambda id: (self.load[id], id))
        heaviest = sorted(set(self.load.values()), reverse=True)
        for load in heaviest:
            for to in lightest:
                gap = load - self.load[to]
                if gap <= 1:
                    break
                movable = [
                    (task, to)
                    for id in self.members
                    if self.load[id] == load
                    for task in self.given[id]
                    if self.weights[task] < gap and self.members[to].can_run(task)
                ]
                if movable:
                    return min(movable, key=lambda move: self._cost(move[0], move[1], gap))
        return None

    def _cost(self, task: str, to: str, gap: int) -> tuple[bool, int, int, str]:
        """What is lost by a move: first a task that runs now, then one without state there, then a bad fit."""
        held = task in self.members[self.owner[task]].holds
        return held, -self.members[to].state.get(task, -1), abs(gap - 2 * self.weights[task]), task

    def _give(self, task: str, to: str) -> None:
        self.owner[task] = to
        self.given[to].add(task)
        self.load[to] += self.weights[task]
