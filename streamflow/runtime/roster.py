"""The tasks a worker holds: claimed, restoring, running, let go.

    free task --claim--> restoring --recover--> running --revoked--> closed, released
                             ^                     |
                             +---- doubt, fenced --+

Every recovery begins by asking the group (rule R0): a worker that was put out, or passed over, must not fence the
rightful owner. Such a task is let go instead; if it is still meant for this worker, it is claimed like any other.

Restores run beside each other and beside the running tasks; nothing waits for them. A task that was followed here
begins with the stores of its copy (`standby.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from streamflow.clock import Clock
from streamflow.errors import LogUnavailable, OffsetOutOfRange, StateError, StoreCorrupt, StoreStalled
from streamflow.log.contract import Assignment, Log, Membership
from streamflow.log.trouble import Trouble
from streamflow.plan import Plan, SubTopology, task_name
from streamflow.runtime.commit import Ledger
from streamflow.runtime.recovery import Place, recover
from streamflow.runtime.services import NO_TABLES, Tables
from streamflow.runtime.standby import Standbys
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import OpenStore
from streamflow.runtime.task import Rules, Task

logger = logging.getLogger("streamflow.worker")

BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass
class Held:
    """One task of this worker. Exactly one of ``task`` (running) and ``recovery`` (restoring) is there.

    ``slice`` is how many records it may process in one go, found out by how long they take. ``careful`` says that its
    records are looked at one by one until the next commit, because one of them has had huge effects.
    """

    place: Place
    recovery: asyncio.Task[tuple[Task, Ledger] | None] | None = None
    task: Task | None = None
    ledger: Ledger | None = None
    slice: int = 1
    careful: bool = False


@dataclass
class Roster:
    """Everything this worker holds, by task name. ``owed`` are tasks that were closed and not yet let go of.

    ``patience`` in seconds is how long a store may refuse to be written before that is an error. ``trouble`` is the log's
    when it cannot be had: the same for all tasks, and said once.
    """

    plan: Plan
    group: str
    log: Log
    membership: Membership
    rules: Rules
    clock: Clock
    open_store: OpenStore
    stats: Stats
    wake: Callable[[], None]
    patience: float = 60.0
    tables: Tables = NO_TABLES
    held: dict[str, Held] = field(default_factory=dict[str, Held])
    owed: set[str] = field(default_factory=set[str])
    standbys: Standbys = field(init=False)
    trouble: Trouble = field(init=False)

    def __post_init__(self) -> None:
        self.standbys = Standbys(self.group, self.log, self.clock, self.open_store, self.place, self.wake)
        self.trouble = Trouble(logger, self.clock.monotonic)

    def place(self, name: str) -> Place:
        """Where a task is to run; nothing is open there yet."""
        sub, partition = self.all_tasks()[name]
        place = Place(sub, partition, self.log.session(self.group, name))
        place.undo = [] if self.rules.takes_back else None
        place.tables = self.tables
        return place

    def all_tasks(self) -> dict[str, tuple[SubTopology, int]]:
        """Every task of the plan."""
        return {task_name(sub, p): (sub, p) for sub in self.plan.subtopologies for p in range(sub.partitions)}

    def running(self) -> list[tuple[Held, Task, Ledger]]:
        """The tasks that process."""
        return [(held, held.task, held.ledger) for held in self.held.values() if held.task and held.ledger]

    def restoring(self) -> list[Held]:
        """The tasks that do not process yet."""
        return [held for held in self.held.values() if held.task is None]

    async def take(self, assignment: Assignment) -> bool:
        """Claim what is free and not held yet, and begin its recovery. False if not all of it was had."""
        wanted = frozenset(assignment.free - self.held.keys())
        if not wanted:
            return True
        had = await self.membership.claim(wanted)
        for name in sorted(had):
            place = await self.standbys.give(name) or self.place(name)
            self.owed.discard(name)
            self.held[name] = Held(place)
            self.recover(self.held[name])
        return had == wanted

    async def follow(self, assignment: Assignment) -> None:
        """Keep the copies that are wished for, and those of tasks that are about to come here."""
        coming = assignment.tasks & self.standbys.copies.keys()
        await self.standbys.follow((assignment.standbys | coming) - self.held.keys())

    def recover(self, held: Held, delay: float = 0.0) -> None:
        """Drop what is not committed and go through recovery; the stores stay open."""
        if held.task is not None:
            self._keep(held.task)
            held.task.forget()
        held.task = held.ledger = None
        self.stats.recoveries += 1
        held.recovery = asyncio.get_running_loop().create_task(self._recover(held.place, delay))
        held.recovery.add_done_callback(lambda _: self.wake())

    def start_recovered(self) -> list[str]:
        """Let tasks run whose recovery is over; gives those that turned out to be no longer ours.

        Raises what a recovery could not get over.
        """
        lost: list[str] = []
        for name, held in self.held.items():
            if held.recovery is None or not held.recovery.done():
                continue
            if (found := held.recovery.result()) is None:
                lost.append(name)
                continue
            held.task, held.ledger = found
            held.task.services.under_way.wake = self.wake
            held.recovery = None
            logger.info("task %s runs", name)
        return lost

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
        """Close tasks and tell the group, so that their next owner may start them. If that raises they are ``owed``."""
        self.owed.update(names)
        await self.close(names)
        await self.settle_debts()

    async def settle_debts(self) -> None:
        """Tell the group about every task that was closed and that it still takes for ours."""
        if self.owed:
            await self.membership.release(frozenset(self.owed))
            self.owed.clear()

    def _keep(self, task: Task) -> None:
        self.stats.keep(task.name, task.processed, task.drops)

    async def _recover(self, place: Place, delay: float) -> tuple[Task, Ledger] | None:
        """Recover, asking again while log or disk cannot be had; None when the group says that it is not ours (R0)."""
        await asyncio.sleep(delay)
        attempt, least, since = 0, -1, self.clock.monotonic()
        why: Exception
        while True:
            try:
                if not await self.membership.confirm():
                    logger.warning("task %s was taken over by another worker; it is let go", place.name)
                    return None
                return await recover(place, self.plan, self.group, self.log, self.rules, self.clock, self.open_store)
            except LogUnavailable as error:
                why = error
            except OffsetOutOfRange as error:
                why = error
                place.shut()  # what was believed of the stores is to be looked at anew
            except StoreCorrupt as error:
                why = error
                place.damage(error)
            except StoreStalled as error:
                why = error
                place.shut()  # a RocksDB that met a full disk takes no more writes before it is opened again
                if place.progress.left != least:  # it got further than the last time
                    least, since = place.progress.left, self.clock.monotonic()
                if self.clock.monotonic() - since > self.patience:
                    raise StateError(f"{error}; gave up after {self.patience:g} s") from error
            wait = BACKOFF[min(attempt, len(BACKOFF) - 1)]
            attempt += 1
            if isinstance(why, LogUnavailable):
                self.trouble.say("%s; trying again until it goes", why)
            else:
                logger.warning("task %s cannot recover yet (%s); trying again in %.2g s", place.name, why, wait)
            await asyncio.sleep(wait)
