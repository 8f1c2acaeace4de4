"""A bench for fused steps: a hand-made sub-topology, records in as a task puts them in, records out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from streamflow.fuse import fuse
from streamflow.functions import Function, arity
from streamflow.operators.contract import Operator, StreamTime
from streamflow.plan import SubTopology
from streamflow.record import Headers
from streamflow.runtime.context import Context
from streamflow.runtime.outbox import Outbox, Outlet
from streamflow.serdes import Serde
from streamflow.state.spec import StoreSpec
from streamflow.topology import Sink, Source, Step

def _codec(name: str, write: Callable[[Any], bytes], read: Callable[[bytes], Any]) -> Serde[Any]:
    return Serde(
        lambda value: None if value is None else write(value),
        lambda data: None if data is None else read(data),
        name,
        immutable=True,
    )


STR = _codec("str", str.encode, bytes.decode)
INT = _codec("int64", lambda n: n.to_bytes(8, "big", signed=True), lambda data: int.from_bytes(data, "big", signed=True))


class Raw(NamedTuple):
    """A record as the log gives it."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    offset: int = 0
    headers: Headers = ()


def function(fn: Callable[..., Any], role: str = "mapper", step: str = "step") -> Function:
    return arity(fn, role, step)


def source(name: str = "in", *, key: Serde[Any] = STR, value: Serde[Any] = STR) -> Step:
    return Step(name, Source((name,), key, value))


def sink(parent: str, *, name: str = "out", key: Serde[Any] = STR, value: Serde[Any] = STR, **asked: Any) -> Step:
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
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        self.steps = {each.name: each.meaning for each in steps}
        sinks = {each.name: each.meaning.topic for each in steps if isinstance(each.meaning, Sink)}
        fixed = {name: topic for name, topic in sinks.items() if isinstance(topic, str)}
        self.context = Context()
        self.undo = undo
        self.outbox = Outbox({**dict.fromkeys(fixed.values(), 1), **(partitions or {})})
        self.drops: Counter[tuple[str, str]] = Counter()
        self.times = dict(times or {})
        self.stores = dict(kept or {}) or {spec.name: DictStore(spec, undo) for spec in stores}
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

    def store(self, name: str) -> Any:
        return self.stores[name]

    def stream_time(self, step: str, name: str = "") -> StreamTime:
        return self.times.setdefault((step, name), StreamTime())

    def dropped(self, step: str, reason: str) -> Callable[[], None]:
        def count() -> None:
            self.drops[step, reason] += 1

        return count

    def outlet(self, topic: str) -> Outlet:
        return self.outbox.outlet(topic)


class DictStore:
    """A store as a dict of bytes, until the real one is there."""

    def __init__(self, spec: StoreSpec, undo: Any = None) -> None:
        self.spec = spec
        self.rows: dict[Any, tuple[bytes, int]] = {}

    def handle(self, *, key_raw: bool, value_raw: bool) -> Any:
        return DictHandle(self, key_raw, value_raw)


class DictHandle:
    def __init__(self, store: DictStore, key_raw: bool, value_raw: bool) -> None:
        self.rows, self.spec = store.rows, store.spec
        self.k = (lambda key: key) if key_raw else store.spec.key.serialize
        self.rk = (lambda key: key) if key_raw else store.spec.key.deserialize
        self.w = (lambda value: value) if value_raw else store.spec.value.serialize
        self.r = (lambda value: value) if value_raw else store.spec.value.deserialize

    def _at(self, key: Any, *start: int) -> Any:
        return (self.k(key), *start)

    def get_pair(self, key: Any, *start: int) -> Any:
        found = self.rows.get(self._at(key, *start))
        return None if found is None else (self.r(found[0]), found[1])

    def get(self, key: Any) -> Any:
        found = self.get_pair(key)
        return None if found is None else found[0]

    def put_pair(self, key: Any, *rest: Any) -> Any:
        *start, value, at = rest
        self.rows[self._at(key, *start)] = (self.w(value), at)

    def delete(self, key: Any, *start: int) -> Any:
        self.rows.pop(self._at(key, *start), None)

    def closing(self, first: int, last: int) -> Any:
        for (key, start), (value, at) in sorted(self.rows.items(), key=lambda row: (row[0][1], row[0][0])):
            if first <= start <= last:
                yield start, self.rk(key), self.r(value), at
