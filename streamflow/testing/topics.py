"""The topics of a `TopologyTestDriver`, as those outside of the application see them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streamflow.errors import SerdeError, StreamflowError
from streamflow.log.batch import records
from streamflow.log.memory import Stored
from streamflow.record import Headers, Record, TopicPartition
from streamflow.serdes import Serde, for_topic
from streamflow.state.keys import META_KEY
from streamflow.testing.partitioned import placed

if TYPE_CHECKING:
    from streamflow.testing.driver import TopologyTestDriver

K = TypeVar("K")
V = TypeVar("V")


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
            partition = self._turn % count if key_bytes is None else placed(key_bytes, self._key, count)
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
