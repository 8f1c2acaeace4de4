"""Test a topology without a broker, without an event loop, on a clock that only you move.

The driver runs the production task, commit, recovery and store code over a log
in memory. What it leaves out is what it cannot have: other workers.

    with TopologyTestDriver(app) as driver:
        driver.input_topic("lines").pipe(None, "a rose is a rose", timestamp=0)
        assert driver.output_topic("counts").read_key_values() == [...]
"""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from streamflow.app import App
from streamflow.clock import Duration, milliseconds
from streamflow.errors import ConfigError, SerdeError, StreamflowError
from streamflow.log.batch import encode, records
from streamflow.log.contract import Committed, Offsets
from streamflow.log.memory import MemoryLog, Stored
from streamflow.log.partitioner import partition_of
from streamflow.plan import Plan, plan
from streamflow.record import Headers, Record, TopicPartition
from streamflow.runtime.commit import Ledger, Round, commit_all, prepare
from streamflow.runtime.outbox import MissingTopic
from streamflow.runtime.recovery import Place, recover
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import DiskStores
from streamflow.runtime.task import Rules, Task
from streamflow.serdes import Serde, for_topic, serde_of
from streamflow.state.contract import Base
from streamflow.state.keys import META_KEY
from streamflow.state.memory import MemoryBase
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store
from streamflow.topic import NewTopic
from streamflow.topology import Sink, Source, external_topics

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

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
        if not handles:
            known = ", ".join(repr(spec.name) for sub in self.plan.subtopologies for spec in sub.stores) or "none"
            raise StreamflowError(f"there is no store {name!r}; known are {known}")
        if len(handles) == 1:
            return next(iter(handles.values()))
        return Partitioned(handles, self._topology.stores[name], len(handles))

    @property
    def dropped_records(self) -> int:
        """How many records the steps have dropped."""
        return self._dropped + sum(sum(task.drops.values()) for task, _ in self._running.values())

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
            _run(self.log.create_topics(self.plan.internal_topics))
            self._start()

    def accept(self, topic: str, partition: int, record: tuple[bytes | None, bytes | None, int, Headers]) -> None:
        """Append one record to an input and run it through."""
        _run(self.log.append({TopicPartition(topic, partition): encode([record])}))
        self._work()

    def _work(self) -> None:
        self._process()
        if self._every_record:
            self.commit()

    def _process(self) -> None:
        """Let every task process what is committed in its inputs."""
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
                    busy |= task.process(AT_ONCE) > 0
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
        for sub in self.plan.subtopologies:
            for partition in range(sub.partitions):
                place = Place(sub, partition, self.log.session(self.plan.app_id, f"{sub.name}_{partition}"))
                place.undo = [] if self._rules.takes_back else None
                self._places[place.name] = place
                self._recover(place.name)

    def _recover(self, name: str) -> None:
        place = self._places[name]
        if name in self._running:
            self._dropped += sum(self._running[name][0].drops.values())
        found = recover(place, self.plan, self.plan.app_id, self.log, self._rules, self.clock, self._open_store)
        self._running[name] = _run(found)

    def _open_store(
        self, place: Place, spec: StoreSpec, incarnation: str, offsets: Offsets, rejected: str | None = None
    ) -> Store:
        if self._disk is not None and spec.base == "rocksdb":
            return self._disk(place, spec, incarnation, offsets, rejected)
        base = self._bases.setdefault(f"{place.name}/{spec.name}", MemoryBase())
        return Store(spec, base, undo=place.undo)

    def _forget(self) -> None:
        self._dropped = self.dropped_records
        for task, _ in self._running.values():
            task.forget()
            for store in task.stores.values():
                store.close()
        self._running.clear()
        self._places.clear()

    def _create(self, names: Iterable[str]) -> None:
        _run(self.log.create_topics([NewTopic(name, self._partitions) for name in names]))

    def _counts(self) -> dict[str, int]:
        return {name: topic.partitions for name, topic in _run(self.log.topics()).items()}

    def _meaning(self, topic: str, kind: type[T]) -> T | None:
        for step in self._topology.steps.values():
            meaning = step.meaning
            if isinstance(meaning, kind) and isinstance(meaning, Source | Sink) and self._names(meaning, topic):
                return meaning
        return None

    def _names(self, meaning: Source | Sink, topic: str) -> bool:
        if meaning.repartition is not None:
            topic = topic.removeprefix(f"{self._app_id}-")
        if isinstance(meaning, Sink):
            return meaning.topic == topic
        return topic in meaning.topics or (meaning.pattern is not None and bool(meaning.pattern.fullmatch(topic)))


class InputTopic(Generic[K, V]):
    """A topic to write to, as a producer outside of the application would."""

    def __init__(self, driver: TopologyTestDriver, name: str, key: Serde[K], value: Serde[V]) -> None:
        self.name = name
        self._driver = driver
        self._key = for_topic(key, name, "key")
        self._value = for_topic(value, name, "value")
        self._turn = 0

    def pipe(
        self,
        key: K | None,
        value: V | None,
        timestamp: int | None = None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """Write one record and run it through. Without ``timestamp`` the driver's wall clock stamps it, without
        ``partition`` the key places it; records without a key take turns."""
        driver = self._driver
        count = driver.plan.partitions[self.name]
        try:
            key_bytes = None if key is None else self._key.serialize(key)
            value_bytes = None if value is None else self._value.serialize(value)
        except SerdeError as error:
            raise SerdeError(f"topic {self.name!r} takes {self._key.name} and {self._value.name}: {error}") from None
        if partition is None:
            partition = self._turn % count if key_bytes is None else _placed(key_bytes, self._key, count)
            self._turn += key_bytes is None
        if not 0 <= partition < count:
            raise StreamflowError(f"topic {self.name!r} has the partitions 0 to {count - 1}, not {partition}")
        time = driver.clock.now_ms() if timestamp is None else timestamp
        driver.accept(self.name, partition, (key_bytes, value_bytes, time, list(headers)))

    def pipe_many(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """`pipe` for each ``(key, value)``, ``(key, value, timestamp)`` or longer row."""
        for row in rows:
            self.pipe(*row)


class OutputTopic(Generic[K, V]):
    """A topic to read, from its beginning on, in the order in which it was written; each record once."""

    def __init__(self, driver: TopologyTestDriver, name: str, key: Serde[K], value: Serde[V]) -> None:
        self.name = name
        self._driver = driver
        self._key = key
        self._value = value
        self._positions: dict[TopicPartition, int] = {}
        self._waiting: deque[Record[Any, Any]] = deque()

    def read(self) -> Record[K, V] | None:
        """The next record, or None."""
        self._fetch()
        return self._waiting.popleft() if self._waiting else None

    def read_records(self) -> list[Record[K, V]]:
        """All records not read yet."""
        self._fetch()
        found = list(self._waiting)
        self._waiting.clear()
        return found

    def read_key_values(self) -> list[tuple[K, V]]:
        """The same as pairs of key and value."""
        return [(record.key, record.value) for record in self.read_records()]

    def read_table(self) -> dict[K, V]:
        """The last value of each key not read yet; a tombstone removes its key."""
        table: dict[K, V] = {}
        for key, value in self.read_key_values():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
        return table

    def _fetch(self) -> None:
        log = self._driver.log
        found: list[Stored] = []
        for p in range(self._driver.partitions_of(self.name)):
            tp = TopicPartition(self.name, p)
            batches = log.batches(tp, self._positions.get(tp, 0))
            if batches:
                self._positions[tp] = batches[-1].next
            found.extend(batches)
        for stored in sorted(found, key=lambda stored: stored.order):
            for raw in records(stored.data):
                if raw.key == META_KEY:  # a store's own note in its changelog
                    continue
                try:
                    key, value = self._key.deserialize(raw.key), self._value.deserialize(raw.value)
                except SerdeError as error:
                    raise SerdeError(
                        f"{self.name!r} offset {raw.offset}: {error}; say what is in it: output_topic(name, key=, value=)"
                    ) from None
                self._waiting.append(Record(key, value, raw.timestamp, tuple(raw.headers)))


class Partitioned:
    """A store that lies in several partitions: keys are asked where they lie, scans go over all of them in key order."""

    _KEYED = frozenset(
        {
            "get", "put", "delete", "put_if_absent", "get_with_timestamp", "fetch", "get_pair", "put_pair",
            "find", "fetch_session", "remove",
        }
    )  # fmt: skip

    def __init__(self, handles: Mapping[int, Any], spec: StoreSpec, partitions: int) -> None:
        self.name = spec.name
        self._handles = handles
        self._spec = spec
        self._partitions = partitions

    def put_all(self, items: Iterable[tuple[Any, Any]]) -> None:
        """Put every ``(key, value)``."""
        for key, value in items:
            self.put(key, value)

    def __getattr__(self, word: str) -> Any:
        of_one = getattr(next(iter(self._handles.values())), word)

        def keyed(key: Any, *args: Any, **options: Any) -> Any:
            session = self._spec.kind == "session" and word in ("put", "remove")
            return getattr(self._holder(key.key if session else key), word)(key, *args, **options)

        def everywhere(*args: Any, **options: Any) -> Any:
            found = [getattr(handle, word)(*args, **options) for handle in self._handles.values()]
            if all(isinstance(one, int) for one in found):
                return sum(found)
            reverse = bool(inspect.signature(of_one).bind(*args, **options).arguments.get("reverse"))
            return iter(sorted((row for one in found for row in one), key=self._place, reverse=reverse))

        return keyed if word in self._KEYED else everywhere

    def _holder(self, key: Any) -> Any:
        """Where a key lies: by its bytes, unless a partitioner of the user's has put it elsewhere."""
        encoded = self._spec.key.serialize(key)
        if encoded is None:
            raise StreamflowError(f"store {self.name!r} has no row of the key None")
        first = self._handles[_placed(encoded, self._spec.key, self._partitions)]
        return next((one for one in (first, *self._handles.values()) if self._holds(one, key)), first)

    def _holds(self, handle: Any, key: Any) -> bool:
        if self._spec.kind == "window":
            return any(True for _ in handle.fetch(key, None, None))
        if self._spec.kind == "session":
            return any(True for _ in handle.fetch(key))
        return handle.get(key) is not None

    def _place(self, row: tuple[Any, ...]) -> tuple[bytes, int, int]:
        if self._spec.kind == "key_value":
            return self._spec.key.serialize(row[0]) or b"", 0, 0
        key, start, end = row[0]
        first, second = (end, start) if self._spec.kind == "session" else (start, end)
        return self._spec.key.serialize(key) or b"", first, second


def _placed(key: bytes, serde: Serde[Any], partitions: int) -> int:
    return partition_of(key if serde.placed_by is None else key[serde.placed_by], partitions)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; write {' or '.join(map(repr, known))}")


def _serde(asked: Any, meaning: Source | Sink | None, side: Literal["key", "value"] = "key") -> Serde[Any]:
    if asked is not None:
        return serde_of(asked)
    return serde_of(bytes) if meaning is None else getattr(meaning, side)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits: everything the driver awaits answers at once."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("the test driver met something that waits")
