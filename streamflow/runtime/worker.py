"""The worker: the only loop there is.

One turn: look at the assignment, take what a fetch brought, process a slice of
every running task, commit if it is time, write down what waits too long. A
fetch is always under way while records are processed, so reading and working
overlap; whole batches pass between awaits, never single records.

When to commit: ``commit_interval`` is the longest a record waits. When every
input is drained there is nothing better to do, so the commit comes at once,
though not more often than every 5 ms nor than the last one took.

A log that cannot be had for now stops nothing: the turn is taken again a moment
later. Whatever else is raised ends the worker, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from streamflow.clock import Clock
from streamflow.errors import LogError, LogUnavailable, OffsetOutOfRange, StoreCorrupt, StreamflowError
from streamflow.log.contract import Assignment, Committed, Copies, Fenced, Fetched, Log, Membership, Outcome, Rejected
from streamflow.log.trouble import Trouble
from streamflow.plan import Plan
from streamflow.record import TopicPartition
from streamflow.runtime.commit import Ledger, Round, commit_all, prepare
from streamflow.runtime.ending import run_until_told
from streamflow.runtime.global_tables import GlobalTables
from streamflow.runtime.outbox import MissingTopic
from streamflow.runtime.pace import Pace
from streamflow.runtime.roster import Held, Roster
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import OpenStore
from streamflow.runtime.task import Rules, Task
from streamflow.runtime.upkeep import Upkeep

__all__ = ["Pace", "Worker"]

logger = logging.getLogger("streamflow.worker")

SLICE = 2_000  # records of one task between two looks at the loop, at most
SLICE_SECONDS = 0.010  # and about this long, for the group takes a loop that does not turn for hung
SLICES_SECONDS = 0.030  # of all tasks together
FETCH_BYTES = 4 << 20
BUFFER_BYTES = 4 << 20  # of one input; a partition with more is not fetched until it has less
BUFFERS_BYTES = 64 << 20  # of all inputs; then only those that have nothing are fetched
FETCH_WAIT = 0.5
SMALLEST_INTERVAL = 0.005
AGAIN = 0.2  # seconds until what failed for now is tried again
ENOUGH = 5.5  # seconds that a stop waits for what is under way and for the last commit
STOP_PATIENCE = 4.0  # seconds that a stop, or a task that moves, waits for calls of `map_async`

Running = list[tuple[Held, Task, Ledger]]


DEFAULT_RULES = Rules()
DEFAULT_PACE = Pace()


class Worker:
    """Runs the tasks of one plan that its group gives it, until `stop` is called or something cannot be got over.

    Everything it needs is handed in: the log, the clock, how to open a store. ``create_topic`` is asked for a
    topic that a record goes to and nobody has created (None: that is an error). ``home`` names the folder of its
    state where other workers may share it.
    """

    def __init__(
        self,
        plan: Plan,
        log: Log,
        clock: Clock,
        open_store: OpenStore,
        *,
        rules: Rules = DEFAULT_RULES,
        pace: Pace = DEFAULT_PACE,
        address: str = "",
        holding: Mapping[str, int] | None = None,
        create_topic: Callable[[str], Awaitable[None]] | None = None,
        stats: Stats | None = None,
        standby_replicas: int = 0,
        home: str = "",
        on_state_change: Callable[[str, str], object] | None = None,
    ) -> None:
        self.plan = plan
        self.log = log
        self.clock = clock
        self.pace = pace
        self.address = address
        self.stats = stats or Stats()
        self.membership: Membership = log.membership(plan.app_id)
        self.tables = GlobalTables(plan, log, clock, open_store, rules, lambda: self._wake.set())
        self.roster = Roster(
            plan,
            plan.app_id,
            log,
            self.membership,
            rules,
            clock,
            open_store,
            self.stats,
            lambda: self._wake.set(),
            pace.patience,
            self.tables,
        )
        self.upkeep = Upkeep(plan, log, self.roster, clock, pace)
        self._on_state_change = on_state_change
        self._state = "CREATED"
        self._holding = dict(holding or {})
        self._standby_replicas = standby_replicas
        self._home = home
        self._told_warm: frozenset[str] = frozenset()
        self._create_topic = create_topic
        self._seen: Assignment | None = None
        self._wake = asyncio.Event()
        self._told_to_stop = asyncio.Event()
        self._fetching: asyncio.Task[dict[TopicPartition, Fetched]] | None = None
        self._asked: Mapping[TopicPartition, int] = {}
        self._last_commit = 0.0
        self._commit_took = 0.0
        self._first = 0
        self._watching: asyncio.Task[None] | None = None
        self._group_again = 0.0
        self._registry = Trouble(logger, clock.monotonic)

    # --- from outside

    def stop(self) -> None:
        """Ask for an orderly end: commit, close, leave."""
        self._told_to_stop.set()
        self._wake.set()

    async def run(self) -> None:
        """Join the group and work until `stop`. Raises what it could not get over, after an orderly end."""
        self.stats.started = self.clock.monotonic()
        try:
            if not await run_until_told(self._work(), self._told_to_stop, ENOUGH):
                logger.warning("stopping without a last commit: the log did not answer within %g s", ENOUGH)
        finally:
            self.state = "STOPPING"
            await self._drop(self._watching)
            await self._drop(self._fetching)
            await self.roster.close(list(self.roster.held))
            await self.roster.standbys.close()
            await self.tables.close()
            try:
                await self.membership.leave()
            except LogError as error:  # the others find out by themselves
                logger.warning("the group was not told that this worker leaves: %s", error)
            self.state = "STOPPED"

    async def _work(self) -> None:
        while not self._told_to_stop.is_set():
            try:
                if await self._tables_there():
                    await self._turn()
            except LogUnavailable as error:
                self.roster.trouble.say("%s; trying again until it goes", error)
                await asyncio.sleep(AGAIN)
        await self._commit(self.roster.running())

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

    @property
    def waits_for_log(self) -> bool:
        """The log, or a schema registry, cannot be had just now."""
        return self.roster.trouble.lasts or self._registry.lasts

    # --- the loop

    async def _tables_there(self) -> bool:
        """Whether all global tables are there. Until they are nothing runs, and no task is asked for."""
        if not self.plan.globals:
            return True
        self.tables.check()
        if self.tables.whole:
            return True
        self.state = "RESTORING"
        await self.tables.begin()
        try:
            async with asyncio.timeout(FETCH_WAIT):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        return False

    async def _turn(self) -> None:
        await self._follow_group()
        running = self.roster.running()
        self.state = "RUNNING" if len(running) == len(self.roster.held) else "RESTORING"
        await self._take_fetched()
        await self._ask(self.roster.running())
        progress = 0 if self.upkeep.congested else await self._process(self.roster.running())
        if progress:
            await asyncio.sleep(0)  # a slice of every task is long enough for one stretch
        # Asked anew: a task that failed in this turn has forgotten what it did, but not how far it came.
        running = self.roster.running()
        if self._commit_due(running):
            await self._commit(running)
        if (broken := self.upkeep.write_down()) is not None:
            self._rebuild(*broken)
        await self.upkeep.purge()
        if progress or self.upkeep.writing:
            await asyncio.sleep(0)
        else:
            await self._wait(self.roster.running())

    async def _process(self, running: Running) -> int:
        """A slice of every task, beginning with another each time; gives how many records (or failures) there were."""
        most = self.pace.uncommitted_bytes
        room = most - sum(task.uncommitted for _, task, _ in running)
        seconds = min(SLICE_SECONDS, min(SLICES_SECONDS, self.pace.commit_interval) / max(1, len(running)))
        self._first = first = (self._first + 1) % max(1, len(running))
        progress = 0
        for held, task, _ in running[first:] + running[:first]:
            if room < 0:
                break  # to be committed first
            before = task.uncommitted
            done = await self._slice(held, task, seconds)
            grown = task.uncommitted - before
            progress += done
            room -= grown
            if 4 * grown > most:
                held.slice = max(1, done * most // (4 * grown))
            if grown > most and not held.careful and held.task is task:
                logger.warning("task %s: a record has effects of some %d MiB; looking which", task.name, grown >> 20)
                held.careful = True
                self.roster.recover(held)
        return progress

    async def _slice(self, held: Held, task: Task, seconds: float) -> int:
        limit = min(held.slice, SLICE)
        begun = self.clock.monotonic()
        try:
            done = task.process(limit, self.pace.uncommitted_bytes if held.careful else None)
            done += task.deliver() + task.punctuate()
        except MissingTopic as missing:
            try:
                await self._make(missing)
            finally:
                self.roster.recover(held)
            return 1
        except StoreCorrupt as error:
            self._rebuild(held, error)
            return 1
        except LogUnavailable as error:  # a schema registry that cannot be asked just now
            self._registry.say("%s; trying again until it goes", error)
            self.roster.recover(held, AGAIN)
            return 0
        took = self.clock.monotonic() - begun
        if done:
            self.stats.process_latency.add(took)
        if took > 2 * seconds:
            held.slice = max(1, int(done * seconds / took))
        elif done == limit and took < seconds / 2:
            held.slice = min(SLICE, 2 * limit)
        return done

    async def _wait(self, running: Running) -> None:
        """Until a fetch brings something, a commit is due, or somebody wakes us."""
        due = FETCH_WAIT
        if any(task.uncommitted or task.positions() != ledger.committed for _, task, ledger in running):
            due = max(0.0, self._next_commit(running) - self.clock.monotonic())
        for _, task, _ in running:
            if (next_call := task.services.next_by_wall_clock()) is not None:
                due = max(0.0, min(due, (next_call - self.clock.now_ms()) / 1000))
        try:
            async with asyncio.timeout(due):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    # --- reading

    async def _ask(self, running: Running) -> None:
        """Keep one fetch under way for all inputs that have room; one that has nothing waits for no fetch of others."""
        sources = {tp: source for _, task, _ in running for tp, source in task.inputs.items()}
        if self._fetching is not None:
            asked = self._asked
            if all(asked.get(tp) == s.fetched or s.has_next or s.buffered for tp, s in sources.items()):
                return
            await self._drop(self._fetching)
            self._fetching = None
        full = sum(source.buffered for source in sources.values()) >= BUFFERS_BYTES
        room = 1 if full else BUFFER_BYTES
        positions = {tp: source.fetched for tp, source in sources.items() if source.buffered < room}
        if positions:
            self._asked = positions
            fetch = self.log.fetch(positions, max_bytes=FETCH_BYTES, max_wait=FETCH_WAIT)
            self._fetching = asyncio.get_running_loop().create_task(fetch)
            self._fetching.add_done_callback(lambda _: self._wake.set())

    async def _take_fetched(self) -> None:
        """Hand over what the fetch brought; what was asked by a task that is gone or began anew is dropped."""
        if self._fetching is None or not self._fetching.done():
            return
        fetching, self._fetching = self._fetching, None
        try:
            found = fetching.result()
        except OffsetOutOfRange as error:
            await self._out_of_range(error)
            return
        inputs = {tp: (task, source) for _, task, _ in self.roster.running() for tp, source in task.inputs.items()}
        for tp, fetched in found.items():
            task, source = inputs.get(tp, (None, None))
            if task is not None and source is not None and source.fetched == self._asked[tp]:
                self.stats.bytes_in += sum(map(len, fetched.batches))
                task.add(tp, fetched)

    async def _out_of_range(self, error: OffsetOutOfRange) -> None:
        """A position fell out of its partition: of a task that is gone, or of one that another worker has taken.

        Recovery tells: it asks the group first, and if the task is ours its message says what to do.
        """
        logger.warning("%s", error)
        bounds = await self.log.offsets(list(self._asked))
        for held, task, _ in self.roster.running():
            known = [(bounds[tp], source.fetched) for tp, source in task.inputs.items() if tp in bounds]
            if any(not bound.start <= position <= bound.end for bound, position in known):
                self.roster.recover(held)

    async def _drop(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- committing

    def _commit_due(self, running: Running) -> bool:
        if any(task.services.commit_wanted for _, task, _ in running):
            return True
        if sum(task.uncommitted for _, task, _ in running) > self.pace.uncommitted_bytes:
            return True
        return self.clock.monotonic() >= self._next_commit(running)

    def _next_commit(self, running: Running) -> float:
        idle = all(task.idle for _, task, _ in running)
        interval = max(SMALLEST_INTERVAL, self._commit_took) if idle else self.pace.commit_interval
        return self._last_commit + min(interval, self.pace.commit_interval)

    async def _commit(self, running: Running, *, leaving: bool = False) -> None:
        """Commit all tasks together and follow each one's outcome. Who is ``leaving`` does not wait for calls for ever."""
        begun = self.clock.monotonic()
        rounds: list[tuple[Held, Round]] = []
        for held, task, ledger in running:
            try:
                if not await task.finish_calls(STOP_PATIENCE if leaving or self._told_to_stop.is_set() else None):
                    logger.warning("task %s: calls have not ended; what they were about is not committed", task.name)
                    task.forget()
                prepared = prepare(task, ledger, self.clock)
            except (MissingTopic, LogUnavailable) as error:  # of an update that was held until now
                if isinstance(error, MissingTopic):
                    await self._make(error)
                else:
                    self._registry.say("%s; trying again until it goes", error)
                self.roster.recover(held, AGAIN)
                continue
            if prepared is not None:
                rounds.append((held, prepared))
        if rounds:
            outcomes = await commit_all([prepared for _, prepared in rounds], self.log)
            for (held, _), outcome in zip(rounds, outcomes, strict=True):
                await self._follow(held, outcome)
            if any(isinstance(outcome, Committed) for outcome in outcomes):
                self.roster.trouble.over("commits go through again, after %.0f s")
            ended = self.clock.monotonic()
            self._commit_took = ended - begun
            self.stats.commits += 1
            self.stats.commit_seconds.append(ended - begun)
            self.stats.commit_latency.add(ended - begun)
            self.stats.bytes_out += sum(
                len(batch) for _, each in rounds for batches in each.commit.batches.values() for batch in batches
            )
        self._last_commit = self.clock.monotonic()

    async def _follow(self, held: Held, outcome: Outcome) -> None:
        name = held.place.name
        if isinstance(outcome, Committed):
            held.careful = False
            return
        if isinstance(outcome, Rejected):
            self.stats.rejected += 1
            at = outcome.partition
            where = f" in {at.topic!r} partition {at.partition}" if at else ""
            raise StreamflowError(
                f"task {name}: the log refused a commit{where}: {outcome.reason}; nothing of it was written"
            )
        if isinstance(outcome, Fenced):
            self.stats.fenced += 1
            logger.warning("task %s: %s", name, outcome.reason)
        else:
            self.stats.doubtful += 1
        self.roster.recover(held, AGAIN)

    # --- the group

    async def _follow_group(self) -> None:
        """Join if need be, let recovered tasks run, and follow the assignment when it has changed."""
        if self._watching is None:
            await self._join()
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        elif self._watching.done():
            self._watching.result()
        if lost := self.roster.start_recovered():
            self._seen = None
            self._group_again = self.clock.monotonic() + AGAIN
            await self.roster.let_go(lost)
        assignment = self.membership.assignment()
        if (assignment != self._seen or self.roster.owed) and self.clock.monotonic() >= self._group_again:
            # Should something of it fail, or not all be had, it is done again, but not at once.
            self._seen = None
            self._group_again = self.clock.monotonic() + AGAIN
            if await self._rebalance(assignment):
                self._seen = assignment
                self._group_again = 0.0
        if (warm := self.roster.standbys.warm) != self._told_warm:
            await self.membership.warm(warm)
            self._told_warm = warm

    async def _join(self) -> None:
        weights = {name: 1 + len(sub.stores) for name, (sub, _) in self.roster.all_tasks().items()}
        logged = {name: sub for name, (sub, _) in self.roster.all_tasks().items() if sub.changelogs}
        on_disk = all(store.base == "rocksdb" for sub in logged.values() for store in sub.stores)
        copies = Copies(dict.fromkeys(logged, self._standby_replicas), self._home if on_disk else "")
        await self.membership.join(weights, self.address, self._holding, copies)

    async def _watch(self) -> None:
        """Wake the loop when the assignment changes."""
        seen = self.membership.assignment()
        while True:
            try:
                seen = await self.membership.changed(seen, 5.0)
            except LogUnavailable as error:
                self.roster.trouble.say("the group cannot be watched (%s); trying again until it can", error)
                await asyncio.sleep(AGAIN)
            self._wake.set()

    async def _rebalance(self, assignment: Assignment) -> bool:
        """Commit, close and let go what is no longer ours; take what is free for us. False: not all of it was had."""
        self.stats.rebalances += 1
        roster = self.roster
        if assignment.lost:
            logger.warning("this worker was put out of its group; closing its tasks and joining again")
            await roster.close(list(roster.held))
            roster.owed.clear()
            await roster.standbys.follow(frozenset())
            self._told_warm = frozenset()
            await self._join()
            return False
        # Not in `free`: it is not meant for us any more, or somebody took it because we seemed to hang.
        if [name for name in roster.held if name not in assignment.free]:
            await self._commit(roster.running(), leaving=True)
            await roster.let_go([name for name in roster.held if name not in assignment.free])
        await roster.settle_debts()
        complete = await roster.take(assignment)
        await roster.follow(assignment)
        return complete

    # --- trouble

    async def _make(self, missing: MissingTopic) -> None:
        if self._create_topic is None:
            raise StreamflowError(f"{missing}; create it with `streamflow topics create {missing.topic}`") from missing
        await self._create_topic(missing.topic)

    def _rebuild(self, held: Held, error: StoreCorrupt) -> None:
        """A store that turned out to be damaged while in use: forget everything, move it aside, restore."""
        logger.error("task %s: %s; restoring it from its changelog", held.place.name, error)
        held.place.damage(error)
        self.roster.recover(held)
