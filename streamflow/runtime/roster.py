"""The tasks a worker holds: claimed, restoring, running, let go.

    free task --claim--> restoring --recover--> running --revoked--> closed, released
                             ^                     |
                             +---- doubt, fenced --+   (only while still a member: rule R0)

Restores run beside each other and beside the running tasks; nothing waits for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from streamflow.clock import Clock
from streamflow.errors import LogUnavailable, OffsetOutOfRange
from streamflow.log.contract import Assignment, Log, Membership
from streamflow.plan import Plan, SubTopology, task_name
from streamflow.runtime.commit import Ledger
from streamflow.runtime.recovery import Place, recover
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import OpenStore
from streamflow.runtime.task import Rules, Task

logger = logging.getLogger("streamflow.worker")

BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass
class Held:
    """One task of this worker. Exactly one of ``task`` (running) and ``recovery`` (restoring) is there."""

    place: Place
    recovery: asyncio.Task[tuple[Task, Ledger]] | None = None
    task: Task | None = None
    ledger: Ledger | None = None


@dataclass
class Roster:
    """Everything this worker holds, by task name."""

    plan: Plan
    group: str
    log: Log
    membership: Membership
    rules: Rules
    clock: Clock
    open_store: OpenStore
    stats: Stats
    wake: Callable[[], None]
    held: dict[str, Held] = field(default_factory=dict[str, Held])

    def all_tasks(self) -> dict[str, tuple[SubTopology, int]]:
        """Every task of the plan."""
        return {task_name(sub, p): (sub, p) for sub in self.plan.subtopologies for p in range(sub.partitions)}

    def running(self) -> list[tuple[Held, Task, Ledger]]:
        """The tasks that process."""
        return [(held, held.task, held.ledger) for held in self.held.values() if held.task and held.ledger]

    def restoring(self) -> list[Held]:
        """The tasks that do not process yet."""
        return [held for held in self.held.values() if held.task is None]

    async def take(self, assignment: Assignment) -> None:
        """Claim what is free and not held yet, and begin its recovery."""
        wanted = assignment.free - self.held.keys()
        if not wanted:
            return
        every = self.all_tasks()
        for name in sorted(await self.membership.claim(frozenset(wanted))):
            sub, partition = every[name]
            place = Place(sub, partition, self.log.session(self.group, name))
            place.undo = [] if self.rules.takes_back else None
            self.held[name] = Held(place)
            self.recover(self.held[name])

    def recover(self, held: Held, delay: float = 0.0) -> None:
        """Drop what is not committed and go through recovery; the stores stay open."""
        if held.task is not None:
            self._keep(held.task)
            held.task.forget()
        held.task = held.ledger = None
        self.stats.recoveries += 1
        held.recovery = asyncio.get_running_loop().create_task(self._recover(held.place, delay))
        held.recovery.add_done_callback(lambda _: self.wake())

    def start_recovered(self) -> None:
        """Let tasks run whose recovery is over. Raises what a recovery could not get over."""
        for held in self.held.values():
            if held.recovery is not None and held.recovery.done():
                held.task, held.ledger = held.recovery.result()
                held.recovery = None
                logger.info("task %s runs", held.place.name)

    async def close(self, names: list[str]) -> None:
        """Write down and close tasks, whatever their state. What is not committed is dropped."""
        for name in names:
            held = self.held.pop(name)
            if held.recovery is not None:
                held.recovery.cancel()
                await asyncio.gather(held.recovery, return_exceptions=True)
            if held.task is not None:
                self._keep(held.task)
                held.task.forget()
            held.place.close(self.clock.now_ms())

    async def let_go(self, names: list[str]) -> None:
        """Close tasks and tell the group, so that their next owner may start them."""
        await self.close(names)
        await self.membership.release(frozenset(names))

    def _keep(self, task: Task) -> None:
        self.stats.keep(task.name, task.processed, task.drops)

    async def _recover(self, place: Place, delay: float) -> tuple[Task, Ledger]:
        """Recover, asking again while the log cannot be had."""
        if delay:
            await asyncio.sleep(delay)
        attempt = 0
        while True:
            try:
                return await recover(place, self.plan, self.group, self.log, self.rules, self.clock, self.open_store)
            except (LogUnavailable, OffsetOutOfRange) as error:
                wait = BACKOFF[min(attempt, len(BACKOFF) - 1)]
                attempt += 1
                logger.warning("task %s cannot recover yet (%s); trying again in %.2g s", place.name, error, wait)
                await asyncio.sleep(wait)
