"""The driver: a task per partition, run on the spot."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

from streamflow.app import App
from streamflow.clock import Duration, milliseconds
from streamflow.errors import ConfigError, StreamflowError
from streamflow.log.batch import encode
from streamflow.log.contract import Committed, Offsets
from streamflow.log.memory import MemoryLog
from streamflow.plan import Plan, plan
from streamflow.record import Headers, TopicPartition
from streamflow.runtime.commit import Ledger, Round, commit_all, prepare
from streamflow.runtime.global_tables import GlobalTables
from streamflow.runtime.outbox import MissingTopic
from streamflow.runtime.prepare import check_reused
from streamflow.runtime.recovery import Place, recover
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import DiskStores
from streamflow.runtime.task import Rules, Task
from streamflow.serdes import Serde, serde_of
from streamflow.state.contract import Base
from streamflow.state.memory import MemoryBase
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store
from streamflow.testing.partitioned import Partitioned
from streamflow.testing.topics import InputTopic, OutputTopic
from streamflow.topic import NewTopic
from streamflow.topology import Sink, Source, external_topics

T = TypeVar("T")

FLUSH_EVERY = 5  # commits between two write-downs, so that a crash finds both a base and a changelog to replay
AT_ONCE = 10_000


class DriverClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int) -> None:
        self._now = now_ms

    def now_ms(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._now / 1000

    def advance(self, ms: int) -> None:
        """Move on by ``ms`` milliseconds."""
        self._now += ms


class TopologyTestDriver:
    """Runs ``app`` over topics in memory, with ``partitions`` partitions each; a context manager.

    ``commit="every_record"`` commits after each record and lets its effects run through repartition topics to
    the end; with ``"manual"`` nothing is visible before `commit`. ``stores`` are in memory or in RocksDB (in a
    temporary folder). ``wall_clock`` is in milliseconds since the epoch. Topics that a script reads by a pattern
    come into being when `input_topic` names them.
    """

    def __init__(
        self,
        app: App,
        *,
        partitions: int = 1,
        wall_clock: int = 0,
        commit: Literal["every_record", "manual"] = "every_record",
        stores: Literal["memory", "rocksdb"] = "memory",
    ) -> None:
        _one_of("commit", commit, ("every_record", "manual"))
        _one_of("stores", stores, ("memory", "rocksdb"))
        if not isinstance(partitions, int) or partitions < 1:
            raise ConfigError(f"partitions is {partitions!r}; it must be a whole number of at least 1")
        self.clock = DriverClock(wall_clock)
        self.log = MemoryLog()
        self._app_id = app.id
        self._topology = app.topology
        self._rules = Rules.of(app.id, app.settings)
        self._every_record = commit == "every_record"
        self._folder = Path(tempfile.mkdtemp(prefix="streamflow-")) if stores == "rocksdb" else None
        self._disk = None if self._folder is None else DiskStores(self._folder, app.id, self.clock, Stats())
        self._bases: dict[str, Base] = {}
        self._running: dict[str, tuple[Task, Ledger]] = {}
        self._places: dict[str, Place] = {}
        self._tables: GlobalTables | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dropped = 0
        self._commits = 0
        self._partitions = partitions
        names = external_topics(self._topology)
        if app.settings.dead_letters:
            names = [*names, self._rules.dead_letter_topic]
        self._create(names)
        self.plan = Plan(app.id, (), (), {})
        self._plan()

    def __enter__(self) -> TopologyTestDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stores and remove what lies on disk."""
        self._forget()
        if self._loop is not None:
            self._loop.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # --- topics

    def input_topic(self, name: str, *, key: Any = None, value: Any = None) -> InputTopic[Any, Any]:
        """A topic to write to; serdes default to those of the source that reads it."""
        source = self._meaning(name, Source)
        if source is not None and name not in self.plan.partitions:  # read by a pattern, and new
            self._create([name])
            self._forget()
            self._plan()
        if name not in self.plan.partitions:
            known = ", ".join(map(repr, sorted(external_topics(self._topology)))) or "none"
            raise StreamflowError(f"no step reads topic {name!r}; the script names {known}")
        return InputTopic(self, name, _serde(key, source), _serde(value, source, "value"))

    def output_topic(self, name: str, *, key: Any = None, value: Any = None) -> OutputTopic[Any, Any]:
        """A topic to read from its beginning; serdes default to those of the sink that writes it, else bytes."""
        meaning = self._meaning(name, Sink) or self._meaning(name, Source)
        return OutputTopic(self, name, _serde(key, meaning), _serde(value, meaning, "value"))

    @property
    def produced_topics(self) -> frozenset[str]:
        """The topics that the application has written to, internal ones too."""
        return frozenset(tp.topic for tp in self.log.produced)

    # --- time, commits, crashes

    def advance_wall_clock(self, duration: Duration) -> None:
        """Move the wall clock on."""
        self.clock.advance(milliseconds(duration))
        self._work()

    def commit(self) -> None:
        """Commit everything, and run what that sends through repartition topics to its end."""
        while self._commit():
            self._process()

    def crash(self) -> None:
        """Lose all that was not committed, keep the log and the stores, and start again as a killed worker does."""
        self._forget()
        self._start()
        self._work()

    # --- looking inside

    def store(self, name: str) -> Any:
        """A store by its name, with the words of its kind; over all partitions when there are several."""
        handles = {
            task.partition: task.stores[name].handle(key_raw=False, value_raw=False, now=self.clock.now_ms)
            for task, _ in self._running.values()
            if name in task.stores
        }
        if not handles and self._tables is not None and name in self._topology.globals:
            table = self._topology.globals[name]
            views = {
                partition: self._tables.store(name, partition).view()
                for partition in range(1 if table.processor else self.plan.partitions[table.topic])
            }
            return next(iter(views.values())) if len(views) == 1 else Partitioned(views, table.store, len(views))
        if not handles:
            subs = [*self.plan.subtopologies, *self.plan.globals]
            known = ", ".join(repr(spec.name) for sub in subs for spec in sub.stores) or "none"
            raise StreamflowError(f"there is no store {name!r}; known are {known}")
        if len(handles) == 1:
            return next(iter(handles.values()))
        return Partitioned(handles, self._topology.stores[name], len(handles))

    @property
    def dropped_records(self) -> int:
        """How many records the steps have dropped."""
        of_globals = 0 if self._tables is None else self._tables.dropped  # they begin anew, and count anew
        return self._dropped_by_tasks() + of_globals

    def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has; none if nobody created it yet."""
        return self._counts().get(topic, 0)

    # --- inside

    def _plan(self) -> None:
        """Plan and start, once every pattern has a topic to read."""
        patterns = [s.meaning.pattern for s in self._topology.steps.values() if isinstance(s.meaning, Source)]
        counts = self._counts()
        if all(any(pattern.fullmatch(name) for name in counts) for pattern in patterns if pattern is not None):
            self.plan = plan(self._topology, self._app_id, counts)
            check_reused(self.plan, self._rules, _run(self.log.topics()))
            _run(self.log.create_topics(self.plan.internal_topics))
            self._start()

    def accept(self, topic: str, partition: int, record: tuple[bytes | None, bytes | None, int, Headers]) -> None:
        """Append one record to an input and run it through."""
        _run(self.log.append({TopicPartition(topic, partition): encode([record])}))
        self._work()

    def _work(self) -> None:
        self._process()
        if self._every_record or any(task.services.commit_wanted for task, _ in self._running.values()):
            self.commit()

    def _process(self) -> None:
        """Let every task process what is committed in its inputs."""
        if self._tables is not None:
            _run(self._tables.read_to_end())
        busy = True
        while busy:
            busy = False
            for name, (task, _) in list(self._running.items()):
                positions = {tp: source.fetched for tp, source in task.inputs.items()}
                for tp, fetched in _run(self.log.fetch(positions, max_bytes=1 << 30, max_wait=0)).items():
                    task.add(tp, fetched)
                for tp, end in _run(self.log.offsets(list(positions))).items():
                    task.inputs[tp].end = end.end
                try:
                    busy |= task.process(AT_ONCE) + task.deliver() + task.punctuate() > 0
                except MissingTopic as missing:
                    self._create([missing.topic])
                    task.forget()
                    self._recover(name)
                    busy = True

    def _commit(self) -> bool:
        rounds: list[Round] = []
        again = False
        for name, (task, ledger) in list(self._running.items()):
            try:
                prepared = prepare(task, ledger, self.clock)
            except MissingTopic as missing:  # of an update that was held until now
                self._create([missing.topic])
                task.forget()
                self._recover(name)
                again = True
            else:
                rounds += [prepared] if prepared is not None else []
        for outcome in _run(commit_all(rounds, self.log)):
            if not isinstance(outcome, Committed):
                raise StreamflowError(f"a commit failed: {outcome.reason}")
        self._commits += 1
        if self._commits % FLUSH_EVERY == 0:
            for task, _ in self._running.values():
                for store in task.stores.values():
                    store.flush(self.clock.now_ms())
        return again or bool(rounds)

    def _start(self) -> None:
        self._tables = GlobalTables(self.plan, self.log, self.clock, self._open_store, self._rules, lambda: None)
        _run(self._tables.read_to_end())
        for sub in self.plan.subtopologies:
            for partition in range(sub.partitions):
                place = Place(sub, partition, self.log.session(self.plan.app_id, f"{sub.name}_{partition}"))
                place.undo = [] if self._rules.takes_back else None
                place.tables = self._tables
                self._places[place.name] = place
                self._recover(place.name)

    def _recover(self, name: str) -> None:
        place = self._places[name]
        if name in self._running:
            self._dropped += sum(self._running[name][0].drops.values())
        found = recover(place, self.plan, self.plan.app_id, self.log, self._rules, self.clock, self._open_store)
        self._running[name] = _run(found)
        self._running[name][0].services.under_way.run = self._call

    def _call(self, call: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """A call of `map_async`, from its beginning to its end."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        task = self._loop.create_task(call)
        self._loop.run_until_complete(asyncio.wait([task]))
        return task

    def _open_store(
        self, place: Place, spec: StoreSpec, incarnation: str, offsets: Offsets, rejected: str | None = None
    ) -> Store:
        if self._disk is not None and spec.base == "rocksdb":
            return self._disk(place, spec, incarnation, offsets, rejected)
        where = f"{place.name}/{spec.name}"
        if not spec.logged or rejected is not None:  # it ends with the task, or is not to be believed
            self._bases.pop(where, None)
        base = self._bases.setdefault(where, MemoryBase())
        return Store(spec, base, undo=place.undo)

    def _dropped_by_tasks(self) -> int:
        return self._dropped + sum(sum(task.drops.values()) for task, _ in self._running.values())

    def _forget(self) -> None:
        self._dropped = self._dropped_by_tasks()
        for task, _ in self._running.values():
            task.forget()
            for store in task.stores.values():
                store.close()
        self._running.clear()
        self._places.clear()
        if self._tables is not None:
            self._tables.shut()
            self._tables = None

    def _create(self, names: Iterable[str]) -> None:
        _run(self.log.create_topics([NewTopic(name, self._partitions) for name in names]))

    def _counts(self) -> dict[str, int]:
        return {name: topic.partitions for name, topic in _run(self.log.topics()).items()}

    def _meaning(self, topic: str, kind: type[T]) -> T | None:
        tables = [table.source for table in self._topology.globals.values()]
        for meaning in [*(step.meaning for step in self._topology.steps.values()), *tables]:
            if isinstance(meaning, kind) and isinstance(meaning, Source | Sink) and self._names(meaning, topic):
                return meaning
        return None

    def _names(self, meaning: Source | Sink, topic: str) -> bool:
        if meaning.repartition is not None:
            topic = topic.removeprefix(f"{self._app_id}-")
        if isinstance(meaning, Sink):
            return meaning.topic == topic
        return topic in meaning.topics or (meaning.pattern is not None and bool(meaning.pattern.fullmatch(topic)))


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; write {' or '.join(map(repr, known))}")


def _serde(asked: Any, meaning: Source | Sink | None, side: Literal["key", "value"] = "key") -> Serde[Any]:
    if asked is not None:
        return serde_of(asked)
    return serde_of(bytes) if meaning is None else getattr(meaning, side)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, though it may give others a turn: everything the driver awaits answers at once."""
    try:
        while work.send(None) is None:
            pass
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("the test driver met something that waits")
