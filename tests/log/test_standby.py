"""Who keeps copies, and when a task with state moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from streamflow.log.assign import MemberState
from streamflow.log.standby import Shares, share

from .support import seeded

TASKS = {f"t_{n}": 1 for n in range(6)}


class Group:
    """Members that do what they are told: claim, follow, and are warm when the test says so."""

    def __init__(self, copies: int = 0, homes: bool = False) -> None:
        self.copies = dict.fromkeys(TASKS, copies)
        self.members: dict[str, MemberState] = {}
        self.holders: dict[str, str] = {}
        self.homes = homes
        self.shares = Shares({}, {}, {})

    def join(self, id: str) -> None:
        self.members[id] = MemberState(id, home="here" if self.homes else id)

    def drop(self, id: str) -> None:
        del self.members[id]
        self.holders = {task: holder for task, holder in self.holders.items() if holder != id}

    def turn(self, *, warm: bool = True) -> Shares:
        """One assignment, which every member then follows."""
        shares = self.shares = share(TASKS, self._sticky(), self.holders, self.copies)
        self.holders = dict(shares.runs)
        for id, member in self.members.items():
            follows = shares.copies_of(id)
            self.members[id] = replace(member, follows=follows, warm=follows if warm else member.warm & follows)
        return shares

    def settle(self) -> Shares:
        self.turn()  # who was cold until now is warm when asked the next time
        for _ in range(10):
            before = self.shares
            if self.turn() == before:
                return before
        raise AssertionError("the assignment never comes to rest")

    def _sticky(self) -> Sequence[MemberState]:
        home: Mapping[str, str] = self.shares.home
        return [
            replace(member, holds=frozenset(task for task, to in home.items() if to == id))
            for id, member in self.members.items()
        ]


def test_a_task_with_state_stays_where_it_is_until_its_next_owner_is_warm() -> None:
    group = Group()
    group.join("a")
    group.turn()
    group.join("b")

    cold = group.turn(warm=False)
    assert set(cold.runs.values()) == {"a"}
    assert len(cold.copies_of("b")) == 3 and cold.copies_of("b") == cold.warming("b")
    assert group.turn().runs == cold.runs  # still cold when it was asked; warm from now on
    warm = group.turn()
    assert sorted(warm.runs.values()) == ["a"] * 3 + ["b"] * 3
    assert group.turn().copies == {}


def test_members_that_share_a_folder_hand_over_at_once() -> None:
    group = Group(homes=True)
    group.join("a")
    group.turn()
    group.join("b")

    assert sorted(group.turn(warm=False).runs.values()) == ["a"] * 3 + ["b"] * 3


def test_who_is_gone_is_followed_by_its_standby_even_if_that_has_more_than_its_share() -> None:
    group = Group(copies=1)
    for id in ("a", "b", "c"):
        group.join(id)
    before = group.settle()
    [*lost] = [task for task, runner in before.runs.items() if runner == "a"]

    group.drop("a")
    after = group.turn(warm=False)

    for task in lost:
        assert after.runs[task] in before.copies[task]
    assert all(after.runs[task] == before.runs[task] for task in TASKS if task not in lost)


def test_every_task_has_its_standbys_on_other_members_and_nobody_has_many_more() -> None:
    for copies, count in ((1, 2), (1, 3), (2, 3), (2, 2), (1, 1), (3, 6)):
        group = Group(copies=copies)
        for n in range(count):
            group.join(f"m{n}")
        shares = group.settle()

        for task in TASKS:
            kept = shares.copies.get(task, [])
            assert len(set(kept)) == len(kept) == min(copies, count - 1)
            assert shares.runs[task] not in kept
        sizes = sorted(len(shares.copies_of(f"m{n}")) for n in range(count))
        assert sizes[-1] - sizes[0] <= 2, sizes


def test_whatever_happens_a_running_task_only_moves_to_who_is_warm() -> None:
    random = seeded()
    group = Group(copies=1)
    moved = 0
    for step in range(400):
        if len(group.members) < 2 or (random.random() < 0.15 and len(group.members) < 6):
            group.join(f"m{step}")
        elif random.random() < 0.1:
            group.drop(random.choice(sorted(group.members)))
        holders, members = dict(group.holders), dict(group.members)

        shares = group.turn(warm=random.random() < 0.5)

        assert shares.runs.keys() == TASKS.keys()
        for task, runner in shares.runs.items():
            if task in holders and holders[task] != runner:
                assert task in members[runner].warm
                moved += 1
            if task not in holders and any(task in member.warm for member in members.values()):
                assert task in members[runner].warm
    assert moved
    shares = group.settle()
    assert shares.runs == shares.home
