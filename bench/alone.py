"""The log in memory, for a worker that is alone in its group: reading and writing cost next to nothing.

Batches are handed over and taken as bytes, so what is measured is decoding, the operators, the state and encoding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streamflow.log.contract import NO_COPIES, Assignment, Copies, Fetched, Member
from streamflow.log.memory import MemoryLog
from streamflow.record import TopicPartition


class OnlyMember:
    """A group of one: every task is free for it."""

    member_id = "only"

    def __init__(self) -> None:
        self._now = Assignment(0, frozenset(), frozenset())

    async def join(
        self, tasks: Mapping[str, int], address: str, holding: Mapping[str, int], copies: Copies = NO_COPIES
    ) -> None:
        self._now = Assignment(1, frozenset(tasks), frozenset(tasks))

    def assignment(self) -> Assignment:
        return self._now

    async def changed(self, seen: Assignment, timeout: float) -> Assignment:
        if seen == self._now:
            await asyncio.sleep(timeout)
        return self._now

    async def claim(self, tasks: frozenset[str]) -> frozenset[str]:
        return tasks

    async def release(self, tasks: frozenset[str]) -> None:
        """Nobody waits for them."""

    async def warm(self, tasks: frozenset[str]) -> None:
        """It has no standbys."""

    async def confirm(self) -> bool:
        return True

    async def members(self) -> list[Member]:
        return [Member(self.member_id, "", self._now.tasks)]

    async def leave(self) -> None:
        """Nobody is left to be told."""


class LogForOne(MemoryLog):
    """`MemoryLog` with a group of one, and a fetch that waits when there is nothing."""

    async def fetch(
        self, positions: Mapping[TopicPartition, int], *, max_bytes: int, max_wait: float
    ) -> dict[TopicPartition, Fetched]:
        found = await super().fetch(positions, max_bytes=max_bytes, max_wait=max_wait)
        if not found:
            await asyncio.sleep(max_wait)
        return found

    def membership(self, group: str) -> OnlyMember:
        return OnlyMember()
