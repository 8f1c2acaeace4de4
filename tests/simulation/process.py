"""A simulated process: a disk that stays, and lives that come and go.

Inside a life runs the product as it is: an `EmbeddedLog` on the shared folder
and a `Worker`. Its clocks, its runner, its connections and its stores are handed
in. A life ends by a crash (nothing of it runs again), by an error that the
worker could not get over, or in an orderly way.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamflow.errors import LogError, StateError, StreamflowError
from streamflow.log.embedded import EmbeddedLog
from streamflow.runtime.worker import Pace, Worker

from .disk import Disk, Image, view_of
from .faults import Crash, Faults, SimRunner, connector
from .loop import OWNER, Handle, SimLoop
from .script import PLAN

EPOCH_MS = 1_700_000_000_000


class SimClock:
    """The loop's time as both clocks; the wall clock may be set wrong."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self.wrong_by_ms = 0

    def now_ms(self) -> int:
        return EPOCH_MS + self.wrong_by_ms + int(self._loop.now * 1000)

    def monotonic(self) -> float:
        return self._loop.now


class Life:
    """One life of a process; what `Faults` calls a victim and `SimLoop` an owner."""

    def __init__(self, loop: SimLoop, faults: Faults, died: Callable[[Life], None]) -> None:
        self.dead = False
        self.doubt = False
        self.stalls = False
        self.connections: list[sqlite3.Connection] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.log: EmbeddedLog | None = None
        self.worker: Worker | None = None
        self._loop = loop
        self._faults = faults
        self._died = died
        self._buried = False
        self._stopped_until = 0.0
        self._parked: list[Handle] = []

    def turn(self) -> bool:
        """May a callback run? One of many turns is the last."""
        if self._loop.now < self._stopped_until:
            return False
        try:
            self._faults.at(self, "turn", "crash", weight=0.01)
        except Crash:
            return False
        return True

    def park(self, handle: Handle) -> None:
        self._parked.append(handle)

    def stop_for(self, seconds: float) -> None:
        """Stand still, as after SIGSTOP; locks are kept."""
        self._stopped_until = self._loop.now + seconds
        self._loop.call_at(self._stopped_until, self.go_on, context=contextvars.Context())

    def go_on(self) -> None:
        self._stopped_until = min(self._stopped_until, self._loop.now)
        parked, self._parked = self._parked, []
        self._loop.resume(parked)

    def die(self) -> None:
        """From here on nothing of this life runs; its handles are dropped as soon as its last call has come back."""
        if not self.dead:
            self.dead = True
            self._loop.call_soon(self._after_death, context=contextvars.Context())

    def _after_death(self) -> None:
        self.bury()
        self._died(self)

    def bury(self) -> None:
        """What the system does for a killed process: close its files, free its locks."""
        if not self._buried and self.log is not None:
            self._buried = True
            self.log.abandon()
            for connection in self.connections:
                connection.close()

    def forget(self) -> None:
        """Close what is left of coroutines that will never go on. Whatever they try in their ``finally`` is a `Crash`."""
        self.dead = True
        for task in self.tasks:
            coroutine: Any = task.get_coro()
            with suppress(Crash, Exception):
                coroutine.close()
            if task.done() and not task.cancelled():
                task.exception()
        self.tasks.clear()
        self._parked.clear()
        self.log = self.worker = None


class Process:
    """A disk, and at most one life at a time."""

    def __init__(
        self, number: int, loop: SimLoop, rng: random.Random, faults: Faults, disk: Disk, clock: SimClock
    ) -> None:
        self.number = number
        self.disk = disk
        self.clock = clock
        self.life: Life | None = None
        self.lives: list[Life] = []
        self.errors: list[BaseException] = []
        self._loop = loop
        self._rng = rng
        self._faults = faults

    @property
    def running(self) -> bool:
        return self.life is not None

    def start(self, folder: Path, pace: Pace, fast: bool) -> None:
        """Begin a life."""
        life = self.life = Life(self._loop, self._faults, self._ended)
        self.lives.append(life)
        context = contextvars.Context()
        context.run(OWNER.set, life)
        task = self._loop.create_task(self._live(life, folder, pace, fast), context=context)
        task.add_done_callback(lambda done: self._done(life, done), context=contextvars.Context())

    def tidy(self) -> None:
        """Compact everything there is to compact, beside all else that this life does."""
        life = self.life
        if life is not None and life.log is not None and life.worker is not None:
            context = contextvars.Context()
            context.run(OWNER.set, life)
            self._loop.create_task(self._tidy(life.log), context=context)

    async def _tidy(self, log: EmbeddedLog) -> None:
        with suppress(LogError):  # its own housekeeping would ask again
            await log.tidy()

    async def _live(self, life: Life, folder: Path, pace: Pace, fast: bool) -> None:
        life.log = EmbeddedLog(
            folder,
            clock=self.clock,
            runner=SimRunner(life, self._faults, self._rng),
            durability="fast" if fast else "full",
            connect=connector(life, self._faults),
            entropy=self._rng.randbytes,
            session_timeout=1.5,
            revocation_timeout=2.0,
            housekeeping_interval=3600.0,
        )
        await life.log.start()
        life.worker = Worker(
            PLAN,
            life.log,
            self.clock,
            self.disk.opener(life, self._faults, self.clock),
            pace=pace,
            address=f"process-{self.number}",
            holding=self.disk.holding(),
        )
        try:
            await life.worker.run()
        finally:
            await life.log.close()

    def _done(self, life: Life, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if life.dead or isinstance(error, Crash):
            return
        if error is not None:
            self.errors.append(error)
        life.die()

    def _ended(self, life: Life) -> None:
        if self.life is life:
            self.life = None
            self.disk.died()

    def views(self) -> list[Image]:
        """What queries of this process see now of its key-value stores; asking may go wrong as anything may."""
        if self.life is None or self.life.dead or self.life.worker is None:
            return []
        found: list[Image] = []
        with suppress(Crash, StateError):
            for _, task, _ in self.life.worker.roster.running():
                for name, store in task.stores.items():
                    if store.spec.kind == "key_value":
                        found.append(view_of(store, task.sub.changelogs[name], task.partition))
        return found

    def tell(self, happened: Counter[str]) -> None:
        """What the workers of all lives went through."""
        for life in self.lives:
            if life.worker is not None:
                stats = life.worker.stats
                for name in ("fenced", "doubtful", "rejected", "stores_rebuilt", "rebalances", "commits"):
                    happened[f"worker: {name}"] += getattr(stats, name)
        happened["worker: stores_rebuilt"] += self.disk.rebuilt

    def unexpected(self) -> list[str]:
        """Errors that are not the user's or the machine's fault."""
        return [repr(error) for error in self.errors if not isinstance(error, StreamflowError)]
