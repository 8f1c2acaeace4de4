"""The Processor API: code of your own that keeps stores, forwards what it likes, and is called by the clock.

class Alert(Processor[str, int, str, str]):
    def init(self, context):
        self.context = context
        self.counts = context.store("counts")
        context.schedule("10s", "wall_clock", self.tell)

    def process(self, record):
        self.counts.put(record.key, (self.counts.get(record.key) or 0) + record.value)

    def tell(self, timestamp):
        for key, count in self.counts.all():
            self.context.forward(Record(key, f"{count} so far", timestamp))

app.add_store(KeyValueStore("counts", key=str, value=int))
app.stream("numbers", key=str, value=int).process(Alert, stores=["counts"], key=str, value=str).to("told")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from streamflow.clock import Duration, milliseconds
from streamflow.errors import TopologyError
from streamflow.naming import legal
from streamflow.operators.contract import Punctuation
from streamflow.operators.process import ProcessorContext
from streamflow.record import Record
from streamflow.serdes import Serde, serde_of
from streamflow.state.spec import StoreSpec
from streamflow.state.versioned import Versioned

__all__ = [
    "KeyValueStore",
    "Processor",
    "ProcessorContext",
    "Punctuation",
    "Record",
    "SessionStore",
    "Store",
    "ValueTransformer",
    "Versioned",
    "VersionedStore",
    "WindowStore",
]

K = TypeVar("K")
V = TypeVar("V")
K2 = TypeVar("K2")
V2 = TypeVar("V2")

Kind = Literal["rocksdb", "memory"]


class Processor(Generic[K, V, K2, V2]):
    """Takes records of ``K`` and ``V`` and forwards records of ``K2`` and ``V2``. One is made for each task."""

    def init(self, context: ProcessorContext[K2, V2]) -> None:
        """Called first: keep the context, open stores, schedule punctuations."""

    def process(self, record: Record[K, V]) -> None:
        """Called with each record."""
        raise NotImplementedError

    def close(self) -> None:
        """Called when the task ends, in order or not. There is nothing to commit here."""


class ValueTransformer(Generic[K, V, V2]):
    """What `KTable.transform_values` takes: gives a value for each row's value, None too."""

    def init(self, context: ProcessorContext[Any, Any]) -> None:
        """Called first: open stores."""

    def transform(self, key: K, value: V | None) -> V2 | None:
        """Called with each row."""
        raise NotImplementedError

    def close(self) -> None:
        """Called when the task ends."""


@dataclass(frozen=True)
class KeyValueStore:
    """A value per key. ``key`` and ``value`` are types; ``kind="memory"`` keeps it in memory; without ``logged`` there is
    no changelog, and what it holds ends with the task.

    With ``ttl`` a row is forgotten so long after its timestamp, by the greatest timestamp put into the store. With
    ``max_entries``, in memory only, the row that was used longest ago goes when there are more.

    >>> KeyValueStore("seen", key=str, value=int).spec().kind
    'key_value'
    """

    name: str
    key: Any
    value: Any
    kind: Kind = "rocksdb"
    logged: bool = True
    ttl: Duration | None = None
    max_entries: int | None = None

    def spec(self) -> StoreSpec:
        """The declaration as the graph has it."""
        key, value = _serdes(self.name, self.key, self.value)
        most = self.max_entries
        if most is not None and (
            not isinstance(most, int) or isinstance(most, bool) or most < 1 or self.kind != "memory"
        ):
            raise TopologyError(
                f"store '{self.name}': max_entries is {most!r} with kind={self.kind!r}; it must be a whole number of at "
                f'least 1, and goes with kind="memory"'
            )
        if most is not None and self.ttl is not None:
            raise TopologyError(f"store '{self.name}' has both ttl= and max_entries=; give it one of them")
        return StoreSpec(
            legal(self.name), "key_value", key, value, _base(self.name, self.kind), self.ttl is not None, self.logged,
            ttl_ms=0 if self.ttl is None else lasting(self.ttl, f"store '{self.name}': ttl"), max_entries=most or 0,
        )  # fmt: skip


@dataclass(frozen=True)
class WindowStore:
    """A value per key and start of a window of length ``size``, kept for ``retention`` of the greatest start put.

    With ``duplicates`` each put adds a value, those of one key and start in the order in which they came; a value of None
    puts nothing, and what is put goes only when it expires.

    >>> WindowStore("hours", key=str, value=int, size="1h", retention="1d").spec().retention_ms
    86400000
    """

    name: str
    key: Any
    value: Any
    size: Duration
    retention: Duration
    kind: Kind = "rocksdb"
    logged: bool = True
    duplicates: bool = False

    def spec(self) -> StoreSpec:
        """The declaration as the graph has it."""
        key, value = _serdes(self.name, self.key, self.value)
        size = milliseconds(self.size, f"store '{self.name}': size")
        retention = milliseconds(self.retention, f"store '{self.name}': retention")
        if not 0 <= size <= retention or retention == 0:
            raise TopologyError(
                f"store '{self.name}': windows of {size} ms are kept for {retention} ms; a retention is at least the size"
            )
        base = _base(self.name, self.kind)
        many = self.duplicates
        return StoreSpec(legal(self.name), "window", key, value, base, False, self.logged, retention, size, many)


@dataclass(frozen=True)
class SessionStore:
    """A value per key and session (start and end, both included), kept for ``retention`` of the greatest end put.

    >>> SessionStore("visits", key=str, value=int, retention="1d").spec().kind
    'session'
    """

    name: str
    key: Any
    value: Any
    retention: Duration
    kind: Kind = "rocksdb"
    logged: bool = True

    def spec(self) -> StoreSpec:
        """The declaration as the graph has it."""
        key, value = _serdes(self.name, self.key, self.value)
        retention = milliseconds(self.retention, f"store '{self.name}': retention")
        if retention <= 0:
            raise TopologyError(f"store '{self.name}': its retention is {self.retention!r}; it must be at least 1 ms")
        return StoreSpec(
            legal(self.name), "session", key, value, _base(self.name, self.kind), False, self.logged, retention
        )


@dataclass(frozen=True)
class VersionedStore:
    """What a key's value was at a time, as far back as ``history``.

    >>> VersionedStore("prices", key=str, value=float, history="1h").spec().kind
    'versioned'
    """

    name: str
    key: Any
    value: Any
    history: Duration
    kind: Kind = "rocksdb"
    logged: bool = True

    def spec(self) -> StoreSpec:
        """The declaration as the graph has it."""
        key, value = _serdes(self.name, self.key, self.value)
        history = milliseconds(self.history, f"store '{self.name}': history")
        if history <= 0:
            raise TopologyError(f"store '{self.name}': its history is {self.history!r}; it must be at least 1 ms")
        base = _base(self.name, self.kind)
        return StoreSpec(legal(self.name), "versioned", key, value, base, True, self.logged, history)


Store = KeyValueStore | WindowStore | SessionStore | VersionedStore


def lasting(duration: Duration, what: str) -> int:
    """A duration of at least a millisecond, in milliseconds."""
    found = milliseconds(duration, what)
    if found < 1:
        raise TopologyError(f"{what} is {duration!r}; it must be at least 1 ms")
    return found


def _serdes(store: str, key: Any, value: Any) -> tuple[Serde[Any], Serde[Any]]:
    found: list[Serde[Any]] = []
    for keyword, kind in (("key", key), ("value", value)):
        try:
            found.append(serde_of(kind))
        except TopologyError as error:
            raise TopologyError(f"store '{store}', {keyword}=: {error}") from None
    return found[0], found[1]


def _base(store: str, kind: str) -> Kind:
    if kind not in ("rocksdb", "memory"):
        raise TopologyError(f"store '{store}': kind is {kind!r}; write 'rocksdb' or 'memory'")
    return kind  # type: ignore[return-value]
