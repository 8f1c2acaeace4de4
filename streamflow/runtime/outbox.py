"""What a task has to say and has not said yet: records per topic and partition.

Nothing leaves before the commit, so an ordinary crash leaves nothing to undo.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamflow.errors import StreamflowError, UnknownTopic
from streamflow.log.batch import RawRecord, encode
from streamflow.log.partitioner import Partitions
from streamflow.record import TopicPartition
from streamflow.serdes.base import shown

RECORD_OVERHEAD = 200  # the tuple, the timestamp, the headers
SAMPLED = 8


class MissingTopic(UnknownTopic):
    """A record goes to a topic that is not known yet; whoever can create it does, and the task runs again."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic!r} does not exist")
        self.topic = topic


class Outlet:
    """The waiting records of one topic.

    ``lists`` has one list per partition; sinks append to it. Records without a key all go to one partition until
    the next commit, then to the next one, so that they travel in whole batches. ``sent`` counts what was committed.
    """

    __slots__ = ("_sticky", "lists", "of", "partitions", "sent", "topic")

    def __init__(self, topic: str, partitions: int, first: int) -> None:
        self.topic = topic
        self.partitions = partitions
        self.lists: list[list[RawRecord]] = [[] for _ in range(partitions)]
        self.of = Partitions(partitions)
        self.sent = 0
        self._sticky = first % partitions

    def null_partition(self) -> int:
        """Where a record without a key goes."""
        return self._sticky

    def size(self) -> int:
        """Roughly the memory of what waits, by a few records of each list."""
        return sum(_bytes(records) for records in self.lists if records)

    def clear(self) -> None:
        """Forget what waits. The lists stay the same objects: sinks hold them."""
        self._sticky = (self._sticky + 1) % self.partitions
        for records in self.lists:
            records.clear()


class Outbox:
    """All outlets of one task."""

    def __init__(self, partitions: Mapping[str, int], first: int = 0) -> None:
        self._partitions = partitions
        self._first = first
        self._outlets: dict[str, Outlet] = {}

    def outlet(self, topic: str) -> Outlet:
        """The outlet of a topic, by its full name. Raises `MissingTopic` for one whose partitions are not known."""
        found = self._outlets.get(topic)
        if found is None:
            count = self._partitions.get(topic)
            if count is None:
                raise MissingTopic(topic)
            found = self._outlets[topic] = Outlet(topic, count, self._first)
        return found

    def __len__(self) -> int:
        return sum(len(records) for outlet in self._outlets.values() for records in outlet.lists)

    def size(self) -> int:
        """Roughly the memory of everything that waits."""
        return sum(outlet.size() for outlet in self._outlets.values())

    def batches(self) -> dict[TopicPartition, list[bytes]]:
        """Everything that waits, encoded; partitions without records are left out.

        Raises `StreamflowError` that shows the record where one cannot be encoded.
        """
        return {
            TopicPartition(topic, partition): _encoded(topic, partition, records)
            for topic, outlet in self._outlets.items()
            for partition, records in enumerate(outlet.lists)
            if records
        }

    def settle(self) -> None:
        """What waits is committed: count it, and forget it."""
        for outlet in self._outlets.values():
            outlet.sent += sum(map(len, outlet.lists))
            outlet.clear()

    @property
    def sent(self) -> dict[str, int]:
        """How many records were committed, by topic."""
        return {topic: outlet.sent for topic, outlet in self._outlets.items()}

    def clear(self) -> None:
        """Forget everything that waits."""
        for outlet in self._outlets.values():
            outlet.clear()


def _bytes(records: list[RawRecord]) -> int:
    """By a sample: exact would cost as much as processing. The newest is in it, so a sudden giant is seen."""
    sample = [*records[:: max(1, len(records) // SAMPLED)], records[-1]]
    size = sum(len(key or b"") + len(value or b"") for key, value, _, _ in sample) // len(sample)
    return len(records) * (size + RECORD_OVERHEAD)


def _encoded(topic: str, partition: int, records: list[RawRecord]) -> list[bytes]:
    try:
        return encode(records)
    except Exception as error:
        for record in records:  # which of them?
            try:
                encode([record])
            except Exception as why:
                key, value, timestamp, headers = record
                raise StreamflowError(
                    f"a record for {topic!r} partition {partition} cannot be written ({why}): key {shown(key)}, "
                    f"value {shown(value)}, timestamp {timestamp!r}, headers {shown(headers)}; nothing was committed. "
                    "Keys and values must be bytes or None, timestamps milliseconds, headers pairs of text and bytes"
                ) from why
        raise error
