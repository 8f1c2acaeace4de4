"""A bench for fused steps: a hand-made sub-topology, records in as a task puts them in, records out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from streamflow.clock import SystemClock
from streamflow.functions import Function, arity
from streamflow.fuse import fuse
from streamflow.operators.contract import Emit, Operator, Passing, Scope, StreamTime
from streamflow.plan import SubTopology
from streamflow.record import Headers
from streamflow.runtime.context import Context
from streamflow.runtime.outbox import Outbox, Outlet
from streamflow.runtime.services import NO_TABLES, Services
from streamflow.serdes import Serde, string
from streamflow.state.memory import MemoryBase
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store
from streamflow.topology import Sink, Source, Step


class Raw(NamedTuple):
    """A record as the log gives it."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    offset: int = 0
    headers: Headers = ()


def function(fn: Callable[..., Any], role: str = "mapper", step: str = "step") -> Function:
    return arity(fn, role, step)


def source(name: str = "in", *, key: Serde[Any] = string, value: Serde[Any] = string) -> Step:
    return Step(name, Source((name,), key, value))


def sink(parent: str, *, name: str = "out", key: Serde[Any] = string, value: Serde[Any] = string, **asked: Any) -> Step:
    return Step(name, Sink(asked.pop("topic", name), key, value, **asked), (parent,))


def step(name: str, operator: Operator, *parents: str, sends_old: bool = False) -> Step:
    return Step(name, operator, parents or ("in",), sends_old=sends_old)


class Bench:
    """Host of one fused sub-topology. Source steps read the topic of their own name; sinks write to theirs."""

    def __init__(
        self,
        *steps: Step,
        stores: Sequence[StoreSpec] = (),
        partitions: Mapping[str, int] | None = None,
        undo: list[Any] | None = None,
        times: Mapping[tuple[str, str], StreamTime] | None = None,
        kept: Mapping[str, Store] | None = None,
    ) -> None:
        self.steps = {each.name: each.meaning for each in steps}
        sinks = {each.name: each.meaning.topic for each in steps if isinstance(each.meaning, Sink)}
        fixed = {name: topic for name, topic in sinks.items() if isinstance(topic, str)}
        self.context = Context()
        self.undo = undo
        self.outbox = Outbox({**dict.fromkeys(fixed.values(), 1), **(partitions or {})})
        self.drops: Counter[tuple[str, str]] = Counter()
        self.times = dict(times or {})
        self.stores = {spec.name: Store(spec, MemoryBase(), undo=undo) for spec in stores} | dict(kept or {})
        self.sub = SubTopology(
            number=0,
            name="sub",
            steps=steps,
            topics={each.name: each.meaning.topics for each in steps if isinstance(each.meaning, Source)},
            stores=tuple(stores),
            changelogs={},
            sinks=fixed,
            partitions=1,
            fingerprint="",
        )
        clock = SystemClock()
        self.services = Services("sub_0", self.stores, self.context, clock, self.stream_time, NO_TABLES.view)
        self.entries = fuse(self.sub, self)

    def pipe(self, key: Any, value: Any, timestamp: int = 0, *, topic: str = "in", headers: Headers = ()) -> None:
        """One record, written and read with the serdes of the topic's source step."""
        meaning = self.steps[self.entries[topic][0].step]
        assert isinstance(meaning, Source)
        self.feed(Raw(meaning.key.serialize(key), meaning.value.serialize(value), timestamp, headers=headers), topic)

    def feed(self, record: Raw, topic: str = "in") -> None:
        """One record as bytes."""
        self.context.topic, self.context.partition, self.context.record = topic, 0, record
        for entry in self.entries[topic]:
            key = record.key if entry.key is None else entry.key(record.key)
            entry.process(key, record.value if entry.value is None else entry.value(record.value), record.timestamp)

    def out(self, name: str = "out") -> list[tuple[Any, Any, int]]:
        """What a sink has written since the last call, partition by partition, read with its own serdes."""
        meaning = self.steps[name]
        assert isinstance(meaning, Sink) and isinstance(meaning.topic, str)
        read_key, read_value = meaning.key.deserialize, meaning.value.deserialize
        return [(read_key(key), read_value(value), at) for key, value, at, _ in self.raw_out(meaning.topic)]

    def raw_out(self, topic: str = "out") -> list[Any]:
        """What waits for a topic, as bytes; it is taken away."""
        lists = self.outbox.outlet(topic).lists
        records = [record for records in lists for record in records]
        for each in lists:
            each.clear()
        return records

    def store(self, name: str) -> Store:
        return self.stores[name]

    def rows(self, name: str) -> Any:
        """A store with its keys and values as objects."""
        return self.stores[name].handle(key_raw=False, value_raw=False)

    def stream_time(self, step: str, name: str = "") -> StreamTime:
        return self.times.setdefault((step, name), StreamTime())

    def dropped(self, step: str, reason: str) -> Callable[[], None]:
        def count() -> None:
            self.drops[step, reason] += 1

        return count

    def apart(self, step: str, emit: Emit) -> Emit:
        return emit

    def outlet(self, topic: str) -> Outlet:
        return self.outbox.outlet(topic)

    def hold(self, step: str, emit: Emit, identity: Any) -> Emit:
        return emit


@dataclass(frozen=True)
class OldAndNew(Passing):
    """The end of a table edge: keeps ``(key, new, old)`` of each change."""

    seen: list[Any]

    @property
    def reads_key(self) -> bool:
        return True

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit:
        return lambda key, new, old, timestamp: self.seen.append((key, new, old))
