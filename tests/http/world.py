"""Two real workers with HTTP, in one process on one embedded log.

The graph is made by hand, so that these tests need no more of streamflow than what they are about:

    topic "<name>-in" --select_key--> repartition topic --> store "<name>"

    words    a table with keys of type str, in RocksDB; the others are in memory
    numbers, blobs, people: tables with keys of int, bytes and JSON
    spread   a table whose rows were placed by a partitioner of the user's
    clicks   a count per minute and key (str)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
from yarl import URL

from streamflow.clock import SystemClock
from streamflow.functions import arity
from streamflow.http import Server, serve
from streamflow.log.batch import RawRecord, encode, records
from streamflow.log.embedded.log import EmbeddedLog
from streamflow.operators.contract import Operator
from streamflow.operators.map import SelectKey
from streamflow.operators.table_source import TableSource
from streamflow.operators.versioned import VersionedTableSource
from streamflow.operators.window_aggregate import WindowCount
from streamflow.plan import Plan, SubTopology
from streamflow.record import TopicPartition
from streamflow.runtime.recovery import Place
from streamflow.runtime.rules import Rules
from streamflow.runtime.worker import Pace, Worker
from streamflow.serdes import Serde, serde_of
from streamflow.state.budget import Budget
from streamflow.state.memory import MemoryBase
from streamflow.state.rocksdb import RocksBase
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store
from streamflow.topic import NewTopic
from streamflow.topology import Sink, Source, Step, Topology
from streamflow.windows import tumbling

T = TypeVar("T")
MINUTE = 60_000
PARTITIONS = 4
APP = "asked"
DEADLINE = 20.0

raw, text, number, person = serde_of(bytes), serde_of(str), serde_of(int), serde_of(dict[str, int])
KEYED: dict[str, Serde[Any]] = {"words": text, "numbers": number, "blobs": raw, "people": person}


def framed(key: bytes, value: bytes = b"") -> bytes:
    """The value of a record in a ``...-in`` topic that is a row of ``key`` in the end: the value is kept as it is."""
    return b"%03d" % len(key) + key + value


def key_in(value: bytes) -> bytes:
    """The key in a framed value."""
    return value[3 : 3 + int(value[:3])]


def _rekeyed(key: Serde[Any], keep: Operator, spec: StoreSpec, by: Any = None) -> tuple[SubTopology, SubTopology]:
    """From topic ``<store>-in`` through a repartition topic by the key in the value, to a step that keeps rows."""
    name = spec.name
    topic = f"{APP}-{name}-repartition"
    choose = arity(lambda value: key.deserialize(key_in(value)), "key selector", f"{name}-select")
    sink = Sink(topic, key, raw, partitioner=by, repartition=name)
    first = _sub(
        f"{name}-in",
        [
            Step("in", Source((f"{name}-in",), raw, raw)),
            Step("select", SelectKey(choose), ("in",)),
            Step("out", sink, ("select",)),
        ],
        sinks={"out": topic},
    )
    steps = [Step("source", Source((topic,), key, raw, repartition=name)), Step("keep", keep, ("source",))]
    return first, _sub(name, steps, (spec,), {name: f"{APP}-{name}-changelog"})


def _table(name: str, key: Serde[Any], by: Any = None) -> tuple[SubTopology, SubTopology]:
    spec = StoreSpec(name, "key_value", key, raw, base="rocksdb" if name == "words" else "memory")
    return _rekeyed(key, TableSource(name), spec, by)


def _sub(
    name: str,
    steps: list[Step],
    stores: tuple[StoreSpec, ...] = (),
    changelogs: dict[str, str] | None = None,
    sinks: dict[str, str] | None = None,
) -> SubTopology:
    sources = {step.name: step.meaning.topics for step in steps if isinstance(step.meaning, Source)}
    return SubTopology(0, name, tuple(steps), sources, stores, changelogs or {}, sinks or {}, PARTITIONS, name)


def by_last_letter(topic: str, key: Any, value: bytes, partitions: int) -> int:
    """A partitioner that does not look at the key."""
    return value[-1] % partitions


def make_plan(*only: str) -> Plan:
    """See the module; ``only`` names the stores there are to be, all if none."""
    count = WindowCount("clicks", tumbling("1m", grace="59m"), "on_update")
    clicks = StoreSpec("clicks", "window", text, number, base="memory", retention_ms=3_600_000, window_ms=MINUTE)
    pairs = {name: _table(name, key) for name, key in KEYED.items()}
    pairs |= {"spread": _table("spread", text, by_last_letter), "clicks": _rekeyed(text, count, clicks)}
    if "prices" in only:
        spec = StoreSpec("prices", "versioned", text, raw, base="memory", retention_ms=3_600_000)
        pairs["prices"] = _rekeyed(text, VersionedTableSource("prices"), spec)
    subs = [sub for name, pair in pairs.items() for sub in pair if not only or name in only]
    topics = {topic for sub in subs for topic in (*sub.inputs, *sub.changelogs.values(), *sub.sinks.values())}
    internal = tuple(
        NewTopic(topic, PARTITIONS, {"cleanup.policy": "compact" if topic.endswith("-changelog") else "delete"}, True)
        for topic in sorted(topics)
        if topic.startswith(APP)
    )
    return Plan(APP, tuple(subs), internal, dict.fromkeys(topics, PARTITIONS))


@dataclass
class Member:
    """One worker, its log and its server."""

    log: EmbeddedLog
    worker: Worker
    server: Server
    running: asyncio.Task[None]


@dataclass
class World:
    """A loop, a folder, and the workers that run on it."""

    folder: Path
    plan: Plan = field(default_factory=make_plan)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    members: list[Member] = field(default_factory=list[Member])
    token: str | None = None
    rules: Rules = field(default_factory=Rules)
    standby_replicas: int = 0
    routes: list[Any] = field(default_factory=list[Any])
    _session: aiohttp.ClientSession | None = None

    def run(self, work: Awaitable[T]) -> T:
        """Let the world turn until ``work`` is done."""
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    async def start(self, workers: int = 2) -> None:
        """Create the topics and start workers; returns when they have shared all tasks and run them."""
        for number in range(workers):
            await self.add(f"w{number}")
        await self.until(self.shared)

    async def add(self, name: str, make: Callable[..., EmbeddedLog] = EmbeddedLog) -> Member:
        """Start one more worker on a log of its own, as another process has it."""
        log = make(self.folder / "log", durability="fast")
        await log.start()
        known = await log.topics()
        await log.create_topics([NewTopic(topic, PARTITIONS) for topic in self.plan.partitions if topic not in known])
        budget = Budget(16 << 20)

        def open_store(place: Place, spec: StoreSpec, *_: Any, **__: Any) -> Store:
            path = self.folder / name / place.name / spec.name
            path.parent.mkdir(parents=True, exist_ok=True)
            base = RocksBase(path, budget) if spec.base == "rocksdb" else MemoryBase()
            return Store(spec, base, undo=place.undo)

        worker = Worker(
            self.plan,
            log,
            SystemClock(),
            open_store,
            pace=Pace(commit_interval=0.05),
            rules=self.rules,
            standby_replicas=self.standby_replicas,
        )
        server = await serve(
            worker, host="127.0.0.1", port=0, topology=Topology(), token=self.token, routes=self.routes
        )
        member = Member(log, worker, server, self.loop.create_task(worker.run()))
        self.members.append(member)
        return member

    def shared(self) -> bool:
        """Every task runs where it is meant to, and every worker has some."""
        for member in self.members:
            if member.running.done():
                member.running.result()
        held = [{task.name for _, task, _ in member.worker.roster.running()} for member in self.members]
        meant = [member.worker.membership.assignment().tasks for member in self.members]
        every = sum(sub.partitions for sub in self.plan.subtopologies)
        return held == meant and all(held) and sum(map(len, held)) == every

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a state, no longer than the deadline."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.005)

    async def keep(self, store: str, rows: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Have ``(key, value, timestamp)`` processed and committed: they end up in ``store``."""
        await self.send(store, rows)
        await self.drained()

    async def send(self, store: str, rows: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Append records without a key, each to any partition."""
        lists: list[list[RawRecord]] = [[] for _ in range(PARTITIONS)]
        for number, (key, value, timestamp) in enumerate(rows):
            lists[number % PARTITIONS].append((None, framed(key, value), timestamp, []))
        await self.members[0].log.append(
            {TopicPartition(f"{store}-in", p): encode(found) for p, found in enumerate(lists) if found}
        )

    async def drained(self) -> None:
        """Wait until all that was sent is processed and committed."""
        log = self.members[0].log
        topics = [topic for sub in self.plan.subtopologies for topic in sorted(sub.inputs)]
        inputs = [TopicPartition(topic, p) for topic in topics for p in range(PARTITIONS)]
        async with asyncio.timeout(DEADLINE):
            while True:
                # The ends are asked last: a commit in between moves an input and adds to the next one's end.
                done = await log.committed(APP, inputs)
                ends = await log.offsets(inputs)
                if all(done.get(tp, 0) >= ends[tp].end for tp in inputs):
                    return
                await asyncio.sleep(0.005)

    async def everything(self, topic: str) -> list[tuple[int, Any]]:
        """All records of a topic with the partition each lies in."""
        found: list[tuple[int, Any]] = []
        for p in range(PARTITIONS):
            tp, position = TopicPartition(topic, p), 0
            end = (await self.members[0].log.offsets([tp]))[tp].end
            while position < end:
                got = (await self.members[0].log.fetch({tp: position}, max_bytes=1 << 20, max_wait=0.0))[tp]
                found.extend((p, record) for batch in got.batches for record in records(batch))
                position = got.next_offset
        return found

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def get(self, target: str, worker: int = 0, **headers: str) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        url = URL(self.members[worker].server.address + target, encoded=True)
        async with self.session.get(url, headers=headers) as response:
            body = await response.read()
            return response.status, msgspec.json.decode(body) if response.content_type == "application/json" else body

    async def close(self) -> None:
        """Stop everything in order."""
        if self._session is not None:
            await self._session.close()
        for member in self.members:
            await member.server.close()
            member.worker.stop()
        await asyncio.gather(*(member.running for member in self.members))
        for member in self.members:
            await member.log.close()

    async def kill(self, member: Member) -> None:
        """End a worker as kill -9 does, but for its memory."""
        self.members.remove(member)
        await member.server.close()
        member.log.abandon()
        member.running.cancel()
        await asyncio.gather(member.running, return_exceptions=True)


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """A world that ends in order."""
    world = World(folder)
    try:
        yield world
        world.run(world.close())
    finally:
        world.loop.close()
