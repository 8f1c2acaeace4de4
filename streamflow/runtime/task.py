"""One partition's worth of work, with no input or output of its own.

A task is a function of the records it is given and the state it holds. It never
polls, sends or commits: what it produced and what it changed wait in its outbox
and in its stores' overlays until `commit.py` makes them visible together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
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
from streamflow.runtime.context import Context
from streamflow.runtime.input import Input, Time
from streamflow.runtime.outbox import MissingTopic, Outbox, Outlet
from streamflow.runtime.refusal import ask, dead_letter_headers, record_error
from streamflow.settings import Policy, Settings
from streamflow.state.layers import rollback
from streamflow.state.store import Store

FOREVER = (1 << 63) - 1  # the last time there is; no record is later
_NO_FAULT_OF_THE_RECORD = (MissingTopic, LogUnavailable, StoreCorrupt, StoreStalled, StoreUnavailable)


@dataclass(frozen=True)
class Rules:
    """What a task does with records it cannot process, and how far in the future it believes."""

    on_deserialize_error: Policy = "fail"
    on_process_error: Policy = "fail"
    dead_letter_topic: str = ""
    max_future_ms: int | None = None
    emit_on_commit: bool = False

    @staticmethod
    def of(app_id: str, settings: Settings) -> Rules:
        """The rules that an application's settings say."""
        return Rules(
            settings.on_deserialize_error,
            settings.on_process_error,
            settings.dead_letter_topic or f"{app_id}-dead-letters",
            settings.max_future_ms,
            settings.emit == "on_commit",
        )

    @property
    def takes_back(self) -> bool:
        """Some policy goes on after a failure, so one record's effects must be undoable."""
        return self.on_deserialize_error != "fail" or self.on_process_error != "fail"


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
    ) -> None:
        self.sub = sub
        self.partition = partition
        self.name = task_name(sub, partition)
        self.stores = stores
        self.context = Context()
        self.outbox = Outbox(partitions, partition)
        self.undo = undo
        self.over = False
        self.processed = 0
        self.drops: dict[tuple[str, str], int] = {}
        self._most: int | None = None
        self._latest = FOREVER
        self._held: list[tuple[str, Held]] = []
        self._rules = rules
        self._clock = clock
        self._times = {name: StreamTime(now) for name, now in stream_times.items()}
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
            while done < limit and (found := self._oldest()) is not None:
                done += self._run(*found, limit - done)
        except BaseException:
            self.forget()
            raise
        self.processed += done
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
        if others or source.times or self._most is not None:
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
        latest = self._latest
        done = 0
        for at in range(source.index, min(source.index + limit, len(source.records))):
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
                self._process_all(source, record, time)
            if self.undo:
                self.undo.clear()
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

    def _refuse(self, kind: str, source: Input, record: Any, entry_step: str, error: Exception) -> None:
        """Follow the policy for a record that failed; what it did before it failed is taken back."""
        if isinstance(error, _NO_FAULT_OF_THE_RECORD):
            raise error
        step = step_of(error.__traceback__, entry_step) if kind == "process" else entry_step
        rules = self._rules
        policy = rules.on_deserialize_error if kind == "deserialize" else rules.on_process_error
        answer = ask(policy, self.context, error)
        if answer == "fail":
            raise record_error(kind, step, source.tp, record, error) from error
        if self.undo is not None:
            rollback(self.undo)
        self._drop(step, f"{kind}_error")
        if answer == "dead_letter":
            outlet = self.outbox.outlet(rules.dead_letter_topic)
            partition = source.tp.partition % outlet.partitions
            headers = dead_letter_headers(source.tp, record, step, error)
            outlet.lists[partition].append((record.key, record.value, max(record.timestamp, 0), headers))

    # --- what the commit asks

    def let_go(self) -> None:
        """Let held updates go on. Raises `StreamflowError` when a function makes one fail, under the policy ``fail``."""
        for step, held in self._held:
            held.flush(self.context.stand_in, partial(self._let_go, step))

    def _let_go(self, step: str, error: Exception | None) -> None:
        if error is None:
            if self.undo:
                self.undo.clear()
            return
        if isinstance(error, _NO_FAULT_OF_THE_RECORD):
            raise error
        step = step_of(error.__traceback__, step)
        # There is no record to keep, so what is not skipped fails.
        if ask(self._rules.on_process_error, self.context, error) != "skip":
            raise StreamflowError(
                f"an update that was held until the commit made step {step!r} raise {type(error).__name__}: {error}; "
                f"nothing of it was committed: mend the function, or set on_process_error to 'skip'"
            ) from error
        if self.undo is not None:
            rollback(self.undo)
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
        """The stream time of every step that keeps one."""
        return {name: time.now for name, time in self._times.items()}

    def forget(self) -> None:
        """Drop everything that is not committed; the task is of no further use."""
        self.over = True
        self.outbox.clear()
        for store in self.stores.values():
            store.drop()
