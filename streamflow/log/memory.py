"""A log in memory, for one process and no waiting: what the test driver runs on.

It keeps the contract's promises about fencing, commits, positions, and reading;
nothing of it survives the process, and it has no groups. Its coroutines never
suspend while there is something to give, so a caller without an event loop can
run them to their end (`streamflow/testing.py` does).
"""

from __future__ import annotations

import bisect
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamflow.errors import LogError, OffsetOutOfRange, TopicMismatch, UnknownTopic
from streamflow.log.batch import header, rebased, records
from streamflow.log.contract import Commit, Committed, Fenced, Fetched, Membership, Offsets, Outcome
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic, TopicInfo


class Stored(NamedTuple):
    """One batch where it lies; ``order`` counts all appends to the log."""

    base: int
    next: int
    order: int
    data: bytes


@dataclass
class _Partition:
    start: int = 0
    end: int = 0
    batches: list[Stored] = field(default_factory=list[Stored])


@dataclass
class _Owner:
    epoch: int = 0
    commit_ids: dict[int, bytes] = field(default_factory=dict[int, bytes])


@dataclass
class MemorySession:
    """A task's right to commit to a `MemoryLog`."""

    log: MemoryLog
    group: str
    task: str
    epoch: int = -1

    async def init(self) -> None:
        """Fence every earlier session of the task."""
        owner = self.log.owners.setdefault((self.group, self.task), _Owner())
        owner.epoch += 1
        self.epoch = owner.epoch


class MemoryLog:
    """Topics, offsets and owners in dicts. ``produced`` names what commits have written to.

    >>> MemoryLog().session("group", "task_0").task
    'task_0'
    """

    loses_commits = True

    def __init__(self) -> None:
        self.owners: dict[tuple[str, str], _Owner] = {}
        self._topics: dict[str, TopicInfo] = {}
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._committed: dict[tuple[str, TopicPartition], int] = {}
        self._appends = 0
        self.produced: set[TopicPartition] = set()

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def topics(self) -> dict[str, TopicInfo]:
        return dict(self._topics)

    async def create_topics(self, topics: Sequence[NewTopic]) -> None:
        for topic in topics:
            known = self._topics.get(topic.name)
            if known is None:
                self._topics[topic.name] = TopicInfo(topic.name, topic.partitions, dict(topic.config), uuid.uuid4().hex)
                for p in range(topic.partitions):
                    self._partitions[TopicPartition(topic.name, p)] = _Partition()
            elif known.partitions != topic.partitions:
                raise TopicMismatch(
                    f"topic {topic.name!r} has {known.partitions} partitions, and {topic.partitions} were asked for"
                )

    async def delete_topic(self, name: str) -> None:
        if name not in self._topics:
            raise UnknownTopic(f"topic {name!r} does not exist")
        del self._topics[name]
        for tp in [tp for tp in self._partitions if tp.topic == name]:
            del self._partitions[tp]

    async def fetch(
        self, positions: Mapping[TopicPartition, int], *, max_bytes: int, max_wait: float
    ) -> dict[TopicPartition, Fetched]:
        found: dict[TopicPartition, Fetched] = {}
        for tp, position in positions.items():
            log = self._partition(tp)
            if not log.start <= position <= log.end:
                raise OffsetOutOfRange(
                    f"{tp.topic!r} partition {tp.partition} holds {log.start} to {log.end}, not {position}"
                )
            batches: list[bytes] = []
            at = position
            for stored in self.batches(tp, position):
                if max_bytes <= 0 and (batches or found):
                    break
                batches.append(stored.data)
                max_bytes -= len(stored.data)
                at = stored.next
            if position < log.end:
                found[tp] = Fetched(batches, at, log.end, log.start)
        return found

    def batches(self, tp: TopicPartition, position: int) -> list[Stored]:
        """The batches of a partition that hold offsets from ``position`` on."""
        batches = self._partition(tp).batches
        return batches[bisect.bisect_right(batches, position, key=lambda stored: stored.next) :]

    async def offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Offsets]:
        return {tp: Offsets(log.start, log.end) for tp in partitions for log in [self._partition(tp)]}

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        log = self._partition(partition)
        for stored in log.batches:
            for record in records(stored.data):
                if record.timestamp >= timestamp_ms and record.offset >= log.start:
                    return int(record.offset)
        return log.end

    async def append(self, batches: Mapping[TopicPartition, Sequence[bytes]]) -> dict[TopicPartition, int]:
        first = {tp: self._partition(tp).end for tp in batches}
        for tp, of_partition in batches.items():
            self._append(tp, of_partition)
        return first

    async def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._committed[group, tp] for tp in partitions if (group, tp) in self._committed}

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._committed.update({(group, tp): offset for tp, offset in offsets.items()})

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        for tp, offset in before.items():
            log = self._partition(tp)
            log.start = max(log.start, min(offset, log.end))
            log.batches = [stored for stored in log.batches if stored.next > log.start]

    def session(self, group: str, task: str) -> MemorySession:
        return MemorySession(self, group, task)

    async def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        return [self._commit(each) for each in commits]

    async def commit_id(self, group: str, task: str, commit_seq: int) -> bytes | None:
        owner = self.owners.get((group, task))
        return owner.commit_ids.get(commit_seq) if owner else None

    async def last_commit(self, group: str, task: str) -> tuple[int, bytes] | None:
        owner = self.owners.get((group, task))
        return max(((seq, id) for seq, id in owner.commit_ids.items() if id), default=None) if owner else None

    def membership(self, group: str) -> Membership:
        raise LogError(f"the log in memory has no groups, so group {group!r} cannot be joined; use embedded://PATH")

    async def put_out(self, group: str, member_id: str) -> None:
        raise LogError(f"the log in memory has no groups, so group {group!r} has no members")

    def _commit(self, commit: Commit) -> Outcome:
        session = commit.session
        assert isinstance(session, MemorySession)
        owner = self.owners[session.group, session.task]
        if session.epoch != owner.epoch:
            return Fenced(f"epoch {session.epoch} of task {session.task} was followed by {owner.epoch}")
        for tp, batches in commit.batches.items():
            self._append(tp, batches)
        self.produced.update(commit.batches)
        self._committed.update({(session.group, tp): offset for tp, offset in commit.offsets.items()})
        owner.commit_ids[commit.commit_seq] = commit.commit_id
        return Committed({tp: self._partition(tp).end for tp in commit.batches})

    def _append(self, tp: TopicPartition, batches: Sequence[bytes]) -> None:
        log = self._partition(tp)
        for batch in batches:
            data = rebased(batch, log.end)
            head = header(data)
            self._appends += 1
            log.batches.append(Stored(log.end, head.next_offset, self._appends, data))
            log.end = head.next_offset

    def _partition(self, tp: TopicPartition) -> _Partition:
        found = self._partitions.get(tp)
        if found is None:
            missing = f"has no partition {tp.partition}" if tp.topic in self._topics else "does not exist"
            raise UnknownTopic(f"topic {tp.topic!r} {missing}")
        return found
