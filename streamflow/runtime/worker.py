"""The worker: the only loop there is.

One turn: look at the assignment, take what a fetch brought, process a slice of
every running task, commit if it is time, write down what waits too long. A
fetch is always under way while records are processed, so reading and working
overlap; whole batches pass between awaits, never single records.

When to commit: ``commit_interval`` is the longest a record waits. When every
input is drained there is nothing better to do, so the commit comes at once,
though not more often than every 10 ms nor than the last one took.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from streamflow.clock import Clock
from streamflow.errors import OffsetOutOfRange, RecordError, StoreCorrupt, StoreStalled, StreamflowError
from streamflow.log.contract import Assignment, Committed, Fenced, Fetched, Log, Membership, Outcome, Rejected
from streamflow.plan import Plan
from streamflow.record import TopicPartition
from streamflow.runtime.commit import Ledger, Round, commit_all, prepare
from streamflow.runtime.outbox import MissingTopic
from streamflow.runtime.roster import Held, Roster
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import OpenStore
from streamflow.runtime.task import Rules, Task
from streamflow.settings import Settings

logger = logging.getLogger("streamflow.worker")

SLICE = 2_000  # records of one task between two looks at the loop: some 5 to 10 ms
FETCH_BYTES = 4 << 20
BUFFER_BYTES = 4 << 20  # of one input; a partition with more is not fetched until it has less
FETCH_WAIT = 0.5
SMALLEST_INTERVAL = 0.010
PURGE_INTERVAL = 30.0
FENCED_BACKOFF = 0.2


@dataclass(frozen=True)
class Pace:
    """How often a worker commits and writes down, and how much may wait."""

    commit_interval: float = 0.1
    uncommitted_bytes: int = 64 << 20
    write_behind: float = 2.0
    write_behind_bytes: int = 64 << 20

    @staticmethod
    def of(settings: Settings) -> Pace:
        """The pace that an application's settings say."""
        return Pace(commit_interval=settings.commit_interval_ms / 1000)


class Worker:
    """Runs the tasks of one plan that its group gives it, until `stop` is called or something cannot be got over.

    Everything it needs is handed in: the log, the clock, how to open a store. ``create_topic`` is asked for a
    topic that a record goes to and nobody has created (None: that is an error).
    """

    def __init__(
        self,
        plan: Plan,
        log: Log,
        clock: Clock,
        open_store: OpenStore,
        *,
        rules: Rules = Rules(),
        pace: Pace = Pace(),
        address: str = "",
        holding: Mapping[str, int] | None = None,
        create_topic: Callable[[str], Awaitable[None]] | None = None,
        stats: Stats | None = None,
        on_state_change: Callable[[str, str], object] | None = None,
    ) -> None:
        self.plan = plan
        self.log = log
        self.clock = clock
        self.pace = pace
        self.address = address
        self.stats = stats or Stats()
        self.membership: Membership = log.membership(plan.app_id)
        self.roster = Roster(
            plan, plan.app_id, log, self.membership, rules, clock, open_store, self.stats, lambda: self._wake.set()
        )
        self._on_state_change = on_state_change
        self._state = "CREATED"
        self._holding = dict(holding or {})
        self._create_topic = create_topic
        self._seen: Assignment | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._fetching: asyncio.Task[dict[TopicPartition, Fetched]] | None = None
        self._asked: Mapping[TopicPartition, int] = {}
        self._last_commit = 0.0
        self._commit_took = 0.0
        self._written: dict[str, float] = {}
        self._last_purge = 0.0

    # --- from outside

    def stop(self) -> None:
        """Ask for an orderly end: commit, close, leave."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Join the group and work until `stop`. Raises what it could not get over, after an orderly end."""
        self.stats.started = self._last_purge = self.clock.monotonic()
        await self._join()
        watching = asyncio.get_running_loop().create_task(self._watch())
        try:
            while not self._stopping:
                await self._turn()
            await self._commit(self.roster.running())
        finally:
            self.state = "STOPPING"
            watching.cancel()
            await asyncio.gather(watching, self._drop_fetch(), return_exceptions=True)
            await self.roster.close(list(self.roster.held))
            await self.membership.leave()
            self.state = "STOPPED"

    @property
    def state(self) -> str:
        """CREATED, RESTORING, RUNNING, STOPPING or STOPPED; ``on_state_change(new, old)`` hears of each change."""
        return self._state

    @state.setter
    def state(self, new: str) -> None:
        old, self._state = self._state, new
        if new != old and self._on_state_change is not None:
            self._on_state_change(new, old)

    @property
    def drained(self) -> bool:
        """Everything held is running, processed to the end as far as known, and committed."""
        running = self.roster.running()
        return not self.roster.restoring() and all(
            task.idle and task.positions() == ledger.committed for _, task, ledger in running
        )

    # --- the loop

    async def _turn(self) -> None:
        assignment = self.membership.assignment()
        if assignment != self._seen:
            await self._rebalance(assignment)
        self.roster.start_recovered()
        running = self.roster.running()
        self.state = "RUNNING" if len(running) == len(self.roster.held) else "RESTORING"
        self._take_fetched()
        self._ask(running)
        progress = 0
        for held, task, _ in running:
            progress += await self._process(held, task)
        if self._commit_due(running):
            await self._commit(running)
        self._write_down()
        await self._purge()
        if progress:
            await asyncio.sleep(0)
        else:
            await self._wait(running)

    async def _process(self, held: Held, task: Task) -> int:
        if self._paused(held):
            return 0
        try:
            return task.process(SLICE)
        except MissingTopic as missing:
            await self._make(missing)
        except StoreCorrupt as error:
            await self._rebuild(held, error)
            return 1
        self.roster.recover(held)
        return 1

    async def _wait(self, running: list[tuple[Held, Task, Ledger]]) -> None:
        """Until a fetch brings something, a commit is due, or somebody wakes us."""
        due = self.pace.commit_interval
        if any(task.uncommitted or task.positions() != ledger.committed for _, task, ledger in running):
            due = max(0.0, self._next_commit(running) - self.clock.monotonic())
        try:
            async with asyncio.timeout(due):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    # --- reading

    def _ask(self, running: list[tuple[Held, Task, Ledger]]) -> None:
        """Keep one fetch under way for all inputs that have room."""
        if self._fetching is not None:
            return
        positions = {
            tp: source.fetched
            for held, task, _ in running
            for tp, source in task.inputs.items()
            if source.buffered < BUFFER_BYTES
        }
        if positions:
            self._asked = positions
            fetch = self.log.fetch(positions, max_bytes=FETCH_BYTES, max_wait=FETCH_WAIT)
            self._fetching = asyncio.get_running_loop().create_task(fetch)
            self._fetching.add_done_callback(lambda _: self._wake.set())

    def _take_fetched(self) -> None:
        """Hand over what the fetch brought; what was asked by a task that is gone or began anew is dropped."""
        if self._fetching is None or not self._fetching.done():
            return
        fetching, self._fetching = self._fetching, None
        try:
            found = fetching.result()
        except OffsetOutOfRange as error:
            raise StreamflowError(f"{error}; run `streamflow reset` to choose where to go on") from error
        inputs = {tp: (task, source) for _, task, _ in self.roster.running() for tp, source in task.inputs.items()}
        for tp, fetched in found.items():
            task, source = inputs.get(tp, (None, None))
            if task is not None and source is not None and source.fetched == self._asked[tp]:
                self.stats.bytes_in += sum(map(len, fetched.batches))
                task.add(tp, fetched)

    async def _drop_fetch(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
            self._fetching = None

    # --- committing

    def _commit_due(self, running: list[tuple[Held, Task, Ledger]]) -> bool:
        if sum(task.uncommitted for _, task, _ in running) > self.pace.uncommitted_bytes:
            return True
        return self.clock.monotonic() >= self._next_commit(running)

    def _next_commit(self, running: list[tuple[Held, Task, Ledger]]) -> float:
        idle = all(task.idle for _, task, _ in running)
        interval = max(SMALLEST_INTERVAL, self._commit_took) if idle else self.pace.commit_interval
        return self._last_commit + min(interval, self.pace.commit_interval)

    async def _commit(self, running: list[tuple[Held, Task, Ledger]]) -> None:
        """Commit all tasks together and follow each one's outcome."""
        begun = self.clock.monotonic()
        rounds: list[tuple[Held, Round]] = []
        for held, task, ledger in running:
            if (prepared := prepare(task, ledger, self.clock)) is not None:
                rounds.append((held, prepared))
        if rounds:
            outcomes = await commit_all([prepared for _, prepared in rounds], self.log)
            for (held, _), outcome in zip(rounds, outcomes, strict=True):
                await self._follow(held, outcome)
            ended = self.clock.monotonic()
            self._commit_took = ended - begun
            self.stats.commits += 1
            self.stats.commit_seconds.append(ended - begun)
        self._last_commit = self.clock.monotonic()

    async def _follow(self, held: Held, outcome: Outcome) -> None:
        if isinstance(outcome, Committed):
            return
        name = held.place.name
        if isinstance(outcome, Rejected):
            self.stats.rejected += 1
            where = f" in {outcome.partition.topic!r} partition {outcome.partition.partition}" if outcome.partition else ""
            raise StreamflowError(f"task {name}: the log refused a commit{where}: {outcome.reason}; nothing of it was written")
        if isinstance(outcome, Fenced):
            self.stats.fenced += 1
            # R0: a zombie must not fence the rightful owner back, so ask the group first.
            if not await self.membership.confirm():
                logger.warning("task %s was taken over by another worker (%s); nothing of the last commit was written", name, outcome.reason)
                await self.roster.close([name])
                return
        else:
            self.stats.doubtful += 1
        logger.warning("task %s: the outcome of a commit is unknown (%s); recovering", name, outcome.reason)
        self.roster.recover(held, FENCED_BACKOFF)

    # --- the group

    async def _join(self) -> None:
        weights = {name: 1 + len(sub.stores) for name, (sub, _) in self.roster.all_tasks().items()}
        await self.membership.join(weights, self.address, self._holding)

    async def _watch(self) -> None:
        """Wake the loop when the assignment changes."""
        seen = self.membership.assignment()
        while True:
            seen = await self.membership.changed(seen, 5.0)
            self._wake.set()

    async def _rebalance(self, assignment: Assignment) -> None:
        """Commit, close and let go what is no longer ours; take what is free for us."""
        self.stats.rebalances += 1
        roster = self.roster
        if assignment.lost:
            logger.warning("this worker was put out of its group; closing its tasks and joining again")
            await roster.close(list(roster.held))
            await self._join()
            self._seen = None
            return
        revoked = [name for name in roster.held if name not in assignment.tasks]
        if revoked:
            roster.start_recovered()
            await self._commit(roster.running())
            await roster.let_go([name for name in revoked if name in roster.held])
        await roster.take(assignment)
        self._seen = assignment

    # --- upkeep

    def _paused(self, held: Held) -> bool:
        """Back-pressure: a task whose stores cannot be written down as fast as they grow waits."""
        return any(store.behind[1] > 2 * self.pace.write_behind_bytes for store in held.place.stores.values())

    def _write_down(self) -> None:
        """Write-behind: the store that waited longest, if that is too long or too much. One a turn keeps turns short."""
        now = self.clock.monotonic()
        total = 0
        oldest: tuple[float, Held, str] | None = None
        for held, task, _ in self.roster.running():
            for name, store in task.stores.items():
                entries, size = store.behind
                key = f"{held.place.name}/{name}"
                if not entries:
                    self._written[key] = now
                    continue
                total += size
                age = now - self._written.setdefault(key, now)
                if oldest is None or age > oldest[0]:
                    oldest = (age, held, name)
        if oldest is None or (oldest[0] < self.pace.write_behind and total < self.pace.write_behind_bytes):
            return
        _, held, name = oldest
        self._written[f"{held.place.name}/{name}"] = now
        try:
            held.place.stores[name].flush(self.clock.now_ms())
        except StoreStalled as error:
            logger.warning("store %s of %s cannot be written now, keeping it in memory: %s", name, held.place.name, error)

    async def _purge(self) -> None:
        """Delete the records of repartition topics that every commit has left behind."""
        now = self.clock.monotonic()
        if now - self._last_purge < PURGE_INTERVAL:
            return
        self._last_purge = now
        internal = {topic.name for topic in self.plan.internal_topics}
        before = {
            tp: offset
            for _, _, ledger in self.roster.running()
            for tp, offset in ledger.committed.items()
            if tp.topic in internal
        }
        if before:
            await self.log.delete_records(before)

    async def _make(self, missing: MissingTopic) -> None:
        if self._create_topic is None:
            raise StreamflowError(f"{missing}; create it with `streamflow topics create {missing.topic}`") from missing
        await self._create_topic(missing.topic)

    async def _rebuild(self, held: Held, error: StoreCorrupt) -> None:
        """A store that turned out to be damaged while in use: forget everything, move it aside, restore."""
        logger.error("task %s: %s; restoring it from its changelog", held.place.name, error)
        self.stats.stores_rebuilt += 1
        if held.task is not None:
            held.task.forget()
        for name, store in held.place.stores.items():
            held.place.damaged[name] = str(error)
            store.close()
        held.place.stores.clear()
        self.roster.recover(held)
