"""Who owns the task, as the group coordinator sees it.

A member learns of a change only by asking. A killed member stays until its
session ends, and a living one may be expelled because it hung: it goes on as a
zombie until it asks.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple


class Standing(NamedTuple):
    """A member's place: ``owner`` says that the task is its."""

    generation: int
    owner: bool


class Group:
    """Members of one group with one task."""

    def __init__(self, rng: random.Random) -> None:
        self.members: list[str] = []
        self.owner: str | None = None
        self.generation = 0
        self.strays: Counter[str] = Counter()
        self._rng = rng

    def join(self, member: str) -> None:
        """Become a member. A rebalance follows, which may or may not move the task."""
        if member not in self.members:
            self.members.append(member)
            self.generation += 1
            if self.owner is None or self._rng.random() < 0.3:
                self.move()

    def standing(self, member: str) -> Standing | None:
        """A heartbeat's answer; None: not a member."""
        return Standing(self.generation, self.owner == member) if member in self.members else None

    def expel(self, member: str) -> None:
        """The member's session ended."""
        self.members.remove(member)
        self.generation += 1
        if self.owner == member:
            self.move()

    def move(self) -> None:
        """Give the task to any member."""
        self.owner = self._rng.choice(self.members) if self.members else None
        self.generation += 1
        if self.owner is not None:
            self.strays[self.owner] = 0

    def fencing_begins(self, member: str) -> None:
        """Observed, not part of the protocol: who starts R1 without owning the task. Twice is no race any more."""
        if member != self.owner:
            self.strays[member] += 1
