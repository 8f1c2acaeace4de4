"""What a worker does beside its records: write committed state down, and delete what every commit has left behind.

Write-behind is put off as long as it may be, and done one store and a few batches a turn, so that no turn is long.
A store that takes no writes (a full disk) keeps its rows in memory and is asked again; after a few times it is closed
and recovered, for RocksDB never takes another write once it has met a full disk, and opening it anew is the only way
to find out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from streamflow.clock import Clock
from streamflow.errors import StateError, StoreCorrupt, StoreStalled
from streamflow.log.contract import Log
from streamflow.plan import Plan
from streamflow.runtime.pace import Pace
from streamflow.runtime.roster import Held, Roster

logger = logging.getLogger("streamflow.worker")

PURGE_INTERVAL = 30.0
WRITE_SECONDS = 0.020  # of a turn; a batch that was begun is finished
STALL_PAUSE = 1.0
STALLS = 3


@dataclass
class Refusal:
    """A store takes no writes: since when, how often it said so, and when to ask again. It ends with a write."""

    since: float
    times: int = 0
    not_before: float = 0.0


class Upkeep:
    """Write-behind and purge for all running tasks of a roster."""

    def __init__(self, plan: Plan, log: Log, roster: Roster, clock: Clock, pace: Pace) -> None:
        self._internal = {topic.name for topic in plan.internal_topics}
        self._log = log
        self._roster = roster
        self._clock = clock
        self._pace = pace
        self._since: dict[tuple[str, str], float] = {}  # when rows began to wait
        self._refusals: dict[tuple[str, str], Refusal] = {}
        self._last_purge = clock.monotonic()
        self._total = 0
        self.writing = False
        """A store is half written down: the next turn goes on with it."""

    @property
    def congested(self) -> bool:
        """Back-pressure: state grows faster than it can be written down, so nothing should be processed."""
        return self._total > 2 * self._pace.write_behind_bytes

    def write_down(self) -> tuple[Held, StoreCorrupt] | None:
        """Write the store down that waited longest, if that is too long or all together is too much.

        Gives the task whose store proves to be damaged. Raises `StateError` when one has refused for too long.
        """
        now = self._clock.monotonic()
        self.writing = False
        since, self._since, self._total = self._since, {}, 0
        oldest: tuple[float, Held, str] | None = None
        for held, task, _ in self._roster.running():
            for name, store in task.stores.items():
                entries, size = store.behind
                if not entries:
                    continue
                key = held.place.name, name
                waits = self._since[key] = since.get(key, now)
                self._total += size
                if (oldest is None or waits < oldest[0]) and not self._too_early(key, now):
                    oldest = waits, held, name
        pace = self._pace
        if oldest is None or (now - oldest[0] < pace.write_behind and self._total < pace.write_behind_bytes):
            return None
        _, held, name = oldest
        try:
            store = held.place.stores[name]
            while (more := store.flush_some(self._clock.now_ms())) and self._clock.monotonic() < now + WRITE_SECONDS:
                pass
        except StoreStalled as error:
            self._refused(held, name, error, now)
        except StoreCorrupt as error:
            return held, error
        else:
            self.writing = more
            if not more:
                self._since.pop((held.place.name, name))
            self._refusals.pop((held.place.name, name), None)
        return None

    async def purge(self) -> None:
        """Now and then: delete the records of repartition topics that every commit has left behind."""
        now = self._clock.monotonic()
        if now - self._last_purge < PURGE_INTERVAL:
            return
        self._last_purge = now
        before = {
            tp: offset
            for _, _, ledger in self._roster.running()
            for tp, offset in ledger.committed.items()
            if tp.topic in self._internal
        }
        if before:
            await self._log.delete_records(before)

    def _too_early(self, key: tuple[str, str], now: float) -> bool:
        refusal = self._refusals.get(key)
        return refusal is not None and now < refusal.not_before

    def _refused(self, held: Held, name: str, error: StoreStalled, now: float) -> None:
        logger.warning("store %s of %s cannot be written now, keeping it in memory: %s", name, held.place.name, error)
        refusal = self._refusals.setdefault((held.place.name, name), Refusal(now))
        refusal.times += 1
        refusal.not_before = now + STALL_PAUSE
        if now - refusal.since > self._pace.patience:
            raise StateError(f"{error}; gave up after {self._pace.patience:g} s") from error
        if refusal.times % STALLS == 0:
            held.place.shut()
            self._roster.recover(held)
