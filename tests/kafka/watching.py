"""What the tests of this folder wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from streamflow.errors import LogUnavailable
from streamflow.log.open import open_log

TASKS = 16  # of the application that the kill tests run


class Watching:
    """Looks at the group from outside."""

    seen = ""

    def __init__(self, url: str, workers: int) -> None:
        self._log = open_log(url)
        self._workers = workers

    async def __aenter__(self) -> Watching:
        await self._log.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._log.close()

    async def all_owned(self) -> bool:
        """All workers are members, and each task is one's."""
        try:
            members = await self._log.membership("kills").members()
        except LogUnavailable:
            return False
        owned = [task for member in members for task in member.tasks]
        self.seen = f"{len(members)} members own {len(owned)} tasks, {len(set(owned))} different ones"
        return len(members) == self._workers and len(owned) == len(set(owned)) == TASKS


async def within(seconds: float, state: Callable[[], Awaitable[bool]]) -> float | None:
    """After how many seconds it was so; None if it was not."""
    begun = time.monotonic()
    while not await state():
        if time.monotonic() - begun > seconds:
            return None
        await asyncio.sleep(0.1)
    return time.monotonic() - begun
