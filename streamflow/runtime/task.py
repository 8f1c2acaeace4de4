"""One partition's worth of work, with no input or output of its own.

A task is a function of the records it is given and the state it holds. It never
polls, sends or commits: what it produced and what it changed wait in its outbox
and in its stores' overlays until `commit.py` makes them visible together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from streamflow.clock import Clock
from streamflow.errors import LogUnavailable, SerdeError, StoreCorrupt, StoreStalled, StoreUnavailable, StreamflowError
from streamflow.fuse import Entry, fuse, step_of
from streamflow.log.contract import Fetched
from streamflow.operators.contract import Emit, StreamTime
from streamflow.operators.hold import Held
from streamflow.plan import SubTopology, task_name
from streamflow.record import TopicPartition
from streamflow.runtime.calls import Call
from streamflow.runtime.context import Context
from streamflow.runtime.input import Input, Time
from streamflow.runtime.outbox import MissingTopic, Outbox, Outlet
from streamflow.runtime.refusal import Unrecorded, ask, dead_letter_headers, record_error
from streamflow.runtime.rules import Rules
from streamflow.runtime.services import NO_TABLES, Scheduled, Services, Tables
from streamflow.state.layers import rollback
from streamflow.state.store import Store

__all__ = ["FOREVER", "Oversized", "Rules", "Task"]

FOREVER = (1 << 63) - 1  # the last time there is; no record is later
IDLE_STEP_MS = 1_000  # by which time goes on at most so often while the input is silent


_NO_FAULT_OF_THE_RECORD = (Unrecorded, MissingTopic, LogUnavailable, StoreCorrupt, StoreStalled, StoreUnavailable)


class Oversized(Exception):
    """One record had effects that no commit should hold."""


class Task:
    """Runs one sub-topology over one partition of each of its topics.

    ``stores`` are open and restored. ``stream_times`` are those of the last commit. Call `start` per input, then
    `add` and `process` in turn. Raises `RecordError` when a record is refused under the policy ``fail``.

    A task that raised or was told to `forget` is ``over``: it holds nothing that could be committed.
    """

    def __init__(
        self,
        sub: SubTopology,
        partition: int,
        partitions: Mapping[str, int],
        stores: Mapping[str, Store],
        rules: Rules,
        clock: Clock,
        stream_times: Mapping[str, int],
        undo: list[Any] | None = None,
        tables: Tables = NO_TABLES,
    ) -> None:
        self.sub = sub
        self.partition = partition
        self.name = task_name(sub, partition)
        self.stores = stores
        self.context = Context()
        self.outbox = Outbox(partitions, partition)
        self.undo = undo
        self.global_rows = tables.rows
        self.over = False
        self.processed = 0
        self.drops: dict[tuple[str, str], int] = {}
        self._most: int | None = None
        self._latest = FOREVER
        self._held: list[tuple[str, Held]] = []
        self._moved = self._last_input = clock.now_ms()
        self._rules = rules
        self._clock = clock
        self._times = {name: StreamTime(now) for name, now in stream_times.items()}
        self.services = Services(
            self.name,
            stores,
            self.context,
            clock,
            self.stream_time,
            tables.view,
            flushes=rules.idle_flush_ms is not None,
        )
        entries = fuse(sub, self)
        self.inputs = {
            tp: Input(tp, entries[tp.topic], self._extractor(tp, entries[tp.topic]))
            for tp in self.partitions(sub, partition, partitions)
            if tp.topic in entries
        }
        self._order = list(self.inputs.values())

    @staticmethod
    def partitions(sub: SubTopology, partition: int, partitions: Mapping[str, int]) -> Iterator[TopicPartition]:
        """The inputs of a task: this partition of every topic that has it, in the order of declaration."""
        seen = dict.fromkeys(topic for topics in sub.topics.values() for topic in topics)
        return (TopicPartition(topic, partition) for topic in seen if partition < partitions[topic])

    # --- what fusing asks of its host

    def store(self, name: str) -> Store:
        """An open store."""
        return self.stores[name]

    def stream_time(self, step: str, name: str = "") -> StreamTime:
        """A step's stream time, as of the last commit to begin with."""
        return self._times.setdefault(f"{step}/{name}" if name else step, StreamTime())

    def dropped(self, step: str, reason: str) -> Callable[[], None]:
        """A counter of records that ``step`` drops for ``reason``."""
        key, drops = (step, reason), self.drops

        def count() -> None:
            drops[key] = drops.get(key, 0) + 1

        return count

    def outlet(self, topic: str) -> Outlet:
        """Where records for a topic wait."""
        return self.outbox.outlet(topic)

    def hold(self, step: str, emit: Emit, identity: Callable[[Any], Hashable] | None) -> Emit:
        """What a table's step is to call: ``emit``, or what holds its updates until the commit."""
        if not self._rules.emit_on_commit:
            return emit
        held = Held(emit, self.context, self.undo, identity)
        self._held.insert(0, (step, held))  # steps are built leaf first, and let go root first
        return held.put

    def apart(self, step: str, emit: Emit) -> Emit:
        """``emit`` for rows that waited: under ``skip`` one that fails is left out, and all else goes on."""
        undo = self.undo
        if undo is None:
            return emit

        def alone(*record: Any) -> None:
            before = len(undo)
            try:
                emit(*record)
            except Exception as error:
                self._leave_out("a row that had waited", step, error, before)

        return alone

    # --- records in

    def add(self, tp: TopicPartition, fetched: Fetched) -> None:
        """Buffer what was fetched from the position ``inputs[tp].fetched``."""
        self.inputs[tp].add(fetched)

    def process(self, limit: int, most: int | None = None) -> int:
        """Process up to ``limit`` buffered records, oldest first over all inputs; gives how many were.

        With several inputs it stops as soon as one of them has nothing at hand but is known to have more in the
        log: what comes from there could be older than what the others have. ``most`` bytes are what one record may
        leave for the commit, if that is to be looked at after each of them.
        """
        if self.over:
            raise StreamflowError(f"task {self.name} has failed and takes no more records; it has to begin anew")
        self._most = most
        self._latest = self._latest_believed()
        done = 0
        try:
            calls = self.services.under_way
            while done < limit and not calls.full and (found := self._oldest()) is not None:
                done += self._run(*found, limit - done)
        except BaseException:
            self.forget()
            raise
        self.processed += done
        if done and self.services.silent:
            self._moved = self._last_input = self._clock.now_ms()
        return done

    @property
    def idle(self) -> bool:
        """Every input is processed to its end, as far as known."""
        return all(source.caught_up for source in self._order)

    def _oldest(self) -> tuple[Input, int] | None:
        """The input whose head is oldest, and the time up to which it stays so. Equal times: the first declared."""
        if len(self._order) == 1:
            only = self._order[0]
            return (only, FOREVER) if only.has_next else None
        best: Input | None = None
        best_time = bound = FOREVER
        for source in self._order:
            time = source.head
            if time is None:
                if not source.caught_up:
                    return None
                continue
            if best is None or time < best_time:
                # Everything before the old best wins ties against it no longer.
                bound = FOREVER if best is None else best_time - 1
                best, best_time = source, time
            elif time <= bound:
                bound = time
        return None if best is None else (best, max(bound, best_time))

    def _run(self, source: Input, bound: int, limit: int) -> int:
        """Process records of one input while they are not newer than ``bound``."""
        entry, *others = source.entries
        if others or source.times or self._most is not None or self.services.timed:
            return self._run_slowly(source, bound, limit)
        context = self.context
        context.topic, context.partition = source.tp
        read_key, read_value, process = entry.key, entry.value, entry.process
        latest, undo = self._latest, self.undo
        done, first, last = 0, source.index, min(source.index + limit, len(source.records))
        # A run that another input may end soon must not pass over what lies before it.
        whole = bound == FOREVER
        run = islice(source.records, first, last) if whole else map(source.records.__getitem__, range(first, last))
        for record in run:
            time = record.timestamp
            if time > bound:
                break
            done += 1
            context.record = record
            try:
                if time < 0:
                    raise SerdeError(f"its timestamp is {time}, and times before 1970 are refused")
                if time > latest:
                    self._drop(entry.step, "future")
                    continue
                key = record.key if read_key is None else read_key(record.key)
                value = record.value if read_value is None else read_value(record.value)
            except Exception as error:
                self._refuse("deserialize", source, record, entry.step, error)
                continue
            try:
                process(key, value, time)
            except Exception as error:
                self._refuse("process", source, record, entry.step, error)
            if undo:
                undo.clear()
        source.advance(done)
        return done

    def _run_slowly(self, source: Input, bound: int, limit: int) -> int:
        """The same for a topic with a user's timestamps, or one that is read by several steps."""
        context = self.context
        context.topic, context.partition = source.tp
        latest, services = self._latest, self.services if self.services.timed else None
        done = 0
        for at in range(source.index, min(source.index + limit, len(source.records))):
            if services is not None and services.under_way.full:
                break
            record = source.records[at]
            time: Time = source.times[at] if source.times else record.timestamp
            if isinstance(time, int) and time > bound:
                break
            done += 1
            context.record = record
            if isinstance(time, Exception):
                self._refuse("deserialize", source, record, source.entries[0].step, time)
            elif time is None or time > latest or (time < 0 and source.times):
                self._drop(source.entries[0].step, "future" if time is not None and time > latest else "negative_time")
            else:
                if services is not None and time > services.now.now:
                    services.now.now = time
                self._process_all(source, record, time)
            if self.undo:
                self.undo.clear()
            if services is not None and services.follows_stream_time:
                self._punctuate(services.due_by_stream_time(), services.now.now)
        source.advance(done)
        return done

    def _process_all(self, source: Input, record: Any, time: int) -> None:
        kind, step = "deserialize", source.entries[0].step
        try:
            if time < 0:
                raise SerdeError(f"its timestamp is {time}, and times before 1970 are refused")
            before = 0 if self._most is None else self.uncommitted
            for entry in source.entries:
                kind, step = "deserialize", entry.step
                key = record.key if entry.key is None else entry.key(record.key)
                value = record.value if entry.value is None else entry.value(record.value)
                kind = "process"
                entry.process(key, value, time)
            if self._most is not None and (grown := self.uncommitted - before) > self._most:
                most = self._most >> 20
                raise Oversized(f"what came of it takes {grown >> 20} MiB, more than the {most} MiB of a commit")
        except Exception as error:
            self._refuse(kind, source, record, step, error)

    def _latest_believed(self) -> int:
        ahead = self._rules.max_future_ms
        return FOREVER if ahead is None else self._clock.now_ms() + ahead

    def _extractor(self, tp: TopicPartition, entries: list[Entry]) -> Callable[[Any], Time] | None:
        """How to tell a record's time when the first source step of a topic brings an extractor."""
        entry = next((entry for entry in entries if entry.timestamp is not None), None)
        if entry is None or entry.timestamp is None:
            return None
        context = Context()
        context.topic, context.partition = tp
        of_user = entry.timestamp

        def extract(record: Any) -> Time:
            context.record = record
            try:
                key = entry.read_key(record.key)
                time = of_user(key, entry.read_value(record.value), context)
                if isinstance(time, datetime):
                    time = round(time.timestamp() * 1000)
                if time is None:
                    return None
                at = int(time)
            except Exception as error:
                return error
            if at > FOREVER:
                return SerdeError(f"its time is {at}, and milliseconds since 1970 end at {FOREVER}")
            context.partition_time = max(context.partition_time, at)
            return at

        return extract

    # --- records refused

    def _drop(self, step: str, reason: str) -> None:
        self.drops[step, reason] = self.drops.get((step, reason), 0) + 1

    def _refuse(
        self, kind: str, source: Input, record: Any, entry_step: str, error: Exception, of_step: str | None = None
    ) -> None:
        """Follow the policy for a record that failed, or the step's own; what it did before it failed is taken back."""
        if isinstance(error, _NO_FAULT_OF_THE_RECORD):
            raise error
        step = step_of(error.__traceback__, entry_step) if kind == "process" else entry_step
        rules = self._rules
        policy = rules.on_deserialize_error if kind == "deserialize" else rules.on_process_error
        answer = of_step or ask(policy, self.context, error)
        if answer == "fail":
            raise record_error(kind, step, source.tp, record, error) from error
        if self.undo is not None:
            rollback(self.undo)
        if answer == "dead_letter":
            outlet = self.outbox.outlet(
                rules.dead_letter_topic
            )  # raises where it is not there: then this is done again
            partition = source.tp.partition % outlet.partitions
            headers = dead_letter_headers(source.tp, record, step, error)
            outlet.lists[partition].append((record.key, record.value, max(record.timestamp, 0), headers))
        self._drop(step, f"{kind}_error")

    # --- calls under way

    def deliver(self) -> int:
        """Let the results of calls go on that have ended, in the order of their records; gives how many there were."""
        if self.over or not self.services.under_way.pending:
            return 0
        delivered = 0
        try:
            for call in self.services.under_way.ended():
                delivered += 1
                self._deliver(call)
        except BaseException:
            self.forget()
            raise
        return delivered

    async def finish_calls(self, patience: float | None = None) -> bool:
        """Wait for all calls and let their results go on; False if one has not ended in time (in seconds)."""
        while self.services.under_way.pending and not self.over:
            if not await self.services.under_way.next_end(patience):
                return False
            self.deliver()
        return True

    def _deliver(self, call: Call) -> None:
        context, source = self.context, self.inputs[call.at]
        context.topic, context.partition = call.at
        context.record = call.record
        try:
            result = call.answer.result()
        except Exception as error:
            self._refuse("process", source, call.record, call.step, error, call.on_error)
            return
        try:
            call.deliver(result)
        except Exception as error:
            self._refuse("process", source, call.record, call.step, error)
        if self.undo:
            self.undo.clear()

    # --- punctuations

    def punctuate(self) -> int:
        """Call the punctuations that are due by the wall clock, and move time on where the input is silent; gives how
        many calls there were."""
        if self.over or not (self.services.timed or self.services.silent):
            return 0
        try:
            return self._punctuate(self.services.due_by_wall_clock(), self.services.wall_clock()) + self._flush_idle()
        except BaseException:
            self.forget()
            raise

    def _punctuate(self, due: Iterator[Scheduled], now: int) -> int:
        called = 0
        for each in due:
            called += 1
            self.context.stand_in(now, ())
            try:
                each.f(now)
            except Exception as error:
                self._went("a punctuation", each.step, error)
            else:
                self._went("a punctuation", each.step, None)
        return called

    def _flush_idle(self) -> int:
        """Steps' times go on as the clock did since the last record, once it has been so long ago as the settings say."""
        patience, services = self._rules.idle_flush_ms, self.services
        if patience is None or not services.silent or not self.idle:
            return 0
        now = self._clock.now_ms()
        by = now - self._moved
        if now - self._last_input < patience or by < min(patience, IDLE_STEP_MS):
            return 0
        self._moved = now
        for step, time, close in services.silent:
            if time.now < 0:
                continue
            time.now = min(time.now + by, FOREVER)
            self.context.stand_in(time.now, ())
            try:
                close(time.now)
            except Exception as error:
                self._went("what came out while the input was silent", step, error)
            else:
                self._went("what came out while the input was silent", step, None)
        return 0

    # --- what the commit asks

    def let_go(self) -> None:
        """Let held updates go on. Raises `StreamflowError` when a function makes one fail, under the policy ``fail``."""
        for step, held in self._held:
            held.flush(partial(self._went, "an update that was held until the commit", step))

    def _went(self, what: str, step: str, error: Exception | None) -> None:
        """What comes from no record has ended, well or with an error."""
        if error is None:
            if self.undo:
                self.undo.clear()
            return
        self._leave_out(what, step, error)

    def _leave_out(self, what: str, step: str, error: Exception, noted: int = 0) -> None:
        """Under ``skip``, take back what was done after ``noted`` changes; raise otherwise."""
        if isinstance(error, _NO_FAULT_OF_THE_RECORD):
            raise error
        step = step_of(error.__traceback__, step)
        # There is no record to keep, so what is not skipped fails.
        if ask(self._rules.on_process_error, self.context, error) != "skip":
            raise Unrecorded(
                f"{what} made step {step!r} raise {type(error).__name__}: {error}; "
                f"nothing of it was committed: mend the function, or set on_process_error to 'skip'"
            ) from error
        if self.undo is not None:
            rollback(self.undo, noted)
        self._drop(step, "process_error")

    @property
    def uncommitted(self) -> int:
        """A rough size in bytes of what waits for the commit."""
        held = sum(held.size() for _, held in self._held)
        return sum(store.uncommitted_bytes for store in self.stores.values()) + self.outbox.size() + held

    def positions(self) -> dict[TopicPartition, int]:
        """The next offset of every input."""
        return {tp: source.position for tp, source in self.inputs.items()}

    def stream_times(self) -> dict[str, int]:
        """Of every step that keeps one."""
        return {name: time.now for name, time in self._times.items()}

    def forget(self) -> None:
        """Drop everything that is not committed; the task is of no further use."""
        self.over = True
        self.services.close()
        self.outbox.clear()
        for store in self.stores.values():
            store.drop()
