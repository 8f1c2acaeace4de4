"""Topics: their rows, what their configuration means here, and how a partition is found.

Configuration has Kafka's names. Those that mean something to the embedded log
are the fields of `Policy`; others are kept and told. Time-based retention
counts from when a record was appended, and without ``retention.ms`` or
``retention.bytes`` a topic is kept without limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from streamflow.errors import ConfigError, OffsetOutOfRange, TopicMismatch, UnknownTopic
from streamflow.log.contract import Offsets
from streamflow.log.embedded.batches import MAX_PARTITIONS
from streamflow.log.embedded.control import (
    LOG,
    OFFSET,
    PARTITION,
    TOPIC,
    TRASH,
    Change,
    OffsetRow,
    PartitionRow,
    TopicRow,
    TrashRow,
    View,
)
from streamflow.log.names import check_names
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic, TopicInfo

_DAY = 86_400_000
_LARGEST = 128 * 1024 * 1024


@dataclass(frozen=True)
class Policy:
    """What a topic's configuration asks for. Milliseconds and bytes; -1 is without limit."""

    compact: bool
    delete: bool
    retention_ms: int
    retention_bytes: int
    delete_retention_ms: int
    compaction_lag_ms: int
    dirty_ratio: float
    max_batch_bytes: int
    append_time: bool

    @staticmethod
    def of(topic: str, config: Mapping[str, str]) -> Policy:
        """Read a configuration; `ConfigError` names the key that cannot be read."""
        return _policy(topic, tuple(config.items()))


@lru_cache(maxsize=4096)
def _policy(topic: str, items: tuple[tuple[str, str], ...]) -> Policy:
    config = dict(items)
    cleanup = set(config.get("cleanup.policy", "delete").replace(" ", "").split(","))
    stamp = config.get("message.timestamp.type", "CreateTime")
    if not cleanup <= {"compact", "delete"}:
        raise _unusable(topic, "cleanup.policy", config["cleanup.policy"], "compact, delete, or both with a comma")
    if stamp not in ("CreateTime", "LogAppendTime"):
        raise _unusable(topic, "message.timestamp.type", stamp, "CreateTime or LogAppendTime")
    return Policy(
        compact="compact" in cleanup,
        delete="delete" in cleanup,
        retention_ms=_number(topic, config, "retention.ms", -1),
        retention_bytes=_number(topic, config, "retention.bytes", -1),
        delete_retention_ms=_number(topic, config, "delete.retention.ms", _DAY),
        compaction_lag_ms=_number(topic, config, "min.compaction.lag.ms", 0),
        dirty_ratio=_fraction(topic, config, "min.cleanable.dirty.ratio", 0.5),
        max_batch_bytes=_number(topic, config, "max.message.bytes", _LARGEST),
        append_time=stamp == "LogAppendTime",
    )


def known(view: View) -> dict[str, TopicInfo]:
    """All topics by name."""
    return {name: TopicInfo(name, row.partitions, row.config, row.id) for _, name, row in view.scan(TOPIC)}


def check_new(topics: Sequence[NewTopic]) -> None:
    """Refuse names, counts and settings that no log would take; needs no log."""
    check_names(topics)
    for topic in topics:
        Policy.of(topic.name, topic.config)


def create(change: Change, topics: Sequence[NewTopic], ids: Sequence[str]) -> None:
    """Create what is missing; all of them, or none when one exists as something else."""
    log = change.need(LOG)
    for topic, id in zip(topics, ids, strict=True):
        found = change.get(TOPIC, topic.name)
        if found is not None:
            _compare(topic, found)
            continue
        first, log.next_partition = log.next_partition, log.next_partition + topic.partitions
        if log.next_partition > MAX_PARTITIONS:
            raise ConfigError(
                f"topic {topic.name!r}: a log has {MAX_PARTITIONS} partitions in its life, {first} are used"
            )
        change.put(TOPIC, TopicRow(id, first, topic.partitions, dict(topic.config)), topic.name)
        for number in range(topic.partitions):
            change.put(PARTITION, PartitionRow(), str(first + number))
    change.put(LOG, log)


def delete(change: Change, name: str) -> list[int]:
    """Forget a topic and the groups' offsets in it; gives the ids of its partitions, whose batches are to be swept."""
    topic = _topic(change, name)
    for number in range(topic.partitions):
        partition = str(topic.first + number)
        change.delete(PARTITION, partition)
        change.put(TRASH, TrashRow(name), partition)
    for group, place, _ in change.scan(OFFSET):
        if place.rpartition("/")[0] == name:
            change.delete(OFFSET, place, group)
    change.delete(TOPIC, name)
    return [topic.first + number for number in range(topic.partitions)]


def find(view: View, at: TopicPartition) -> int | None:
    """The id of a partition, or None."""
    topic = view.get(TOPIC, at.topic)
    return topic.first + at.partition if topic is not None and 0 <= at.partition < topic.partitions else None


def partition(view: View, at: TopicPartition) -> tuple[int, PartitionRow]:
    """The id and the row of a partition; `UnknownTopic` when there is none."""
    topic = _topic(view, at.topic)
    if not 0 <= at.partition < topic.partitions:
        raise UnknownTopic(f"topic {at.topic!r} has {topic.partitions} partitions, there is no {at.partition}")
    id = topic.first + at.partition
    return id, view.need(PARTITION, str(id))


def partitions(view: View) -> Iterator[tuple[TopicPartition, int, PartitionRow, Policy]]:
    """Every partition with its id, its row and its topic's policy."""
    for _, name, topic in view.scan(TOPIC):
        policy = Policy.of(name, topic.config)
        for number in range(topic.partitions):
            id = topic.first + number
            yield TopicPartition(name, number), id, view.need(PARTITION, str(id)), policy


def offsets(view: View, asked: Sequence[TopicPartition]) -> dict[TopicPartition, Offsets]:
    """Where partitions begin and end."""
    return {at: Offsets(row.start, row.end) for at in asked for _, row in (partition(view, at),)}


def within(at: TopicPartition, row: PartitionRow, position: int) -> None:
    """Refuse a position that the partition does not hold."""
    if not row.start <= position <= row.end:
        raise OffsetOutOfRange(
            f"partition {at.partition} of {at.topic!r} holds offsets {row.start} to {row.end}, not {position}"
        )


def committed(view: View, group: str, asked: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """A group's offsets; a partition without one is left out."""
    rows = ((at, view.get(OFFSET, place(at), group)) for at in asked)
    return {at: row.offset for at, row in rows if row is not None}


def set_committed(change: Change, group: str, moved: Mapping[TopicPartition, int]) -> None:
    """Set a group's offsets."""
    for at, offset in moved.items():
        partition(change, at)
        change.put(OFFSET, OffsetRow(offset), place(at), group)


def place(at: TopicPartition) -> str:
    """How a partition is named in the rows of offsets; a topic's name has no slash."""
    return f"{at.topic}/{at.partition}"


def _topic(view: View, name: str) -> TopicRow:
    topic = view.get(TOPIC, name)
    if topic is None:
        raise UnknownTopic(f"topic {name!r} does not exist on this log; `streamflow topics create {name}` makes it")
    return topic


def _compare(asked: NewTopic, found: TopicRow) -> None:
    if asked.partitions != found.partitions:
        raise TopicMismatch(
            f"topic {asked.name!r} exists with {found.partitions} partitions, {asked.partitions} were asked for"
        )
    for name, value in asked.config.items():
        has = found.config.get(name)
        if has != value:
            raise TopicMismatch(f"topic {asked.name!r} exists with {name}={has or '(unset)'}, {value} was asked for")


def _number(topic: str, config: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(config.get(name, default))
    except ValueError:
        raise _unusable(topic, name, config[name], "a whole number") from None


def _fraction(topic: str, config: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(config.get(name, default))
    except ValueError:
        raise _unusable(topic, name, config[name], "a number from 0 to 1") from None


def _unusable(topic: str, name: str, found: str, wanted: str) -> ConfigError:
    return ConfigError(f"topic {topic!r}: {name} is {found!r}; write {wanted}")
