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
from streamflow.log.contract import Assignment, Committed, Fenced, Fetched, Log, Membership, Outcome, Rejected
from streamflow.plan import Plan
from streamflow.record import TopicPartition
from streamflow.runtime.commit import Ledger, Round, commit_all, prepare
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
QUIET = 5.0  # seconds between two log lines about the same trouble

Running = list[tuple[Held, Task, Ledger]]


DEFAULT_RULES = Rules()
DEFAULT_PACE = Pace()


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
        rules: Rules = DEFAULT_RULES,
        pace: Pace = DEFAULT_PACE,
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
        )
        self.upkeep = Upkeep(plan, log, self.roster, clock, pace)
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
        self._first = 0
        self._watching: asyncio.Task[None] | None = None
        self._group_again = 0.0
        self._said: dict[str, float] = {}

    # --- from outside

    def stop(self) -> None:
        """Ask for an orderly end: commit, close, leave."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Join the group and work until `stop`. Raises what it could not get over, after an orderly end."""
        self.stats.started = self.clock.monotonic()
        try:
            while not self._stopping:
                try:
                    await self._turn()
                except LogUnavailable as error:
                    self._say("trying again: %s", error)
                    await asyncio.sleep(AGAIN)
            await self._commit(self.roster.running())
        finally:
            self.state = "STOPPING"
            await self._drop(self._watching)
            await self._drop(self._fetching)
            await self.roster.close(list(self.roster.held))
            try:
                await self.membership.leave()
            except LogError as error:  # the others find out by themselves
                logger.warning("the group was not told that this worker leaves: %s", error)
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
            self._say("trying again: %s", error)
            self.roster.recover(held, AGAIN)
            return 0
        took = self.clock.monotonic() - begun
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
        if sum(task.uncommitted for _, task, _ in running) > self.pace.uncommitted_bytes:
            return True
        return self.clock.monotonic() >= self._next_commit(running)

    def _next_commit(self, running: Running) -> float:
        idle = all(task.idle for _, task, _ in running)
        interval = max(SMALLEST_INTERVAL, self._commit_took) if idle else self.pace.commit_interval
        return self._last_commit + min(interval, self.pace.commit_interval)

    async def _commit(self, running: Running) -> None:
        """Commit all tasks together and follow each one's outcome."""
        begun = self.clock.monotonic()
        rounds: list[tuple[Held, Round]] = []
        for held, task, ledger in running:
            try:
                prepared = prepare(task, ledger, self.clock)
            except (MissingTopic, LogUnavailable) as error:  # of an update that was held until now
                if isinstance(error, MissingTopic):
                    await self._make(error)
                else:
                    self._say("trying again: %s", error)
                self.roster.recover(held, AGAIN)
                continue
            if prepared is not None:
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
            logger.warning("task %s: the outcome of a commit is unknown (%s); recovering", name, outcome.reason)
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

    async def _join(self) -> None:
        weights = {name: 1 + len(sub.stores) for name, (sub, _) in self.roster.all_tasks().items()}
        await self.membership.join(weights, self.address, self._holding)

    async def _watch(self) -> None:
        """Wake the loop when the assignment changes."""
        seen = self.membership.assignment()
        while True:
            try:
                seen = await self.membership.changed(seen, 5.0)
            except LogUnavailable as error:
                self._say("the group cannot be watched: %s", error)
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
            await self._join()
            return False
        # Not in `free`: it is not meant for us any more, or somebody took it because we seemed to hang.
        if [name for name in roster.held if name not in assignment.free]:
            await self._commit(roster.running())
            await roster.let_go([name for name in roster.held if name not in assignment.free])
        await roster.settle_debts()
        return await roster.take(assignment)

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

    def _say(self, words: str, error: Exception) -> None:
        """A log line about trouble that lasts, not every time."""
        now, text = self.clock.monotonic(), str(error)
        if now - self._said.get(text, -QUIET) >= QUIET:
            self._said = {text: now}
            logger.warning(words, error)
