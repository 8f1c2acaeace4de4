"""What the runtime needs of a log. The embedded log and Kafka both implement it.

Whole record batches (Kafka v2 bytes) cross this line, never single records.
The rules an implementation keeps, each held by `tests/log/test_contract.py`:

* **Fencing.** `Session.init` raises the epoch of a task and decides its last
  transaction. Once it has returned, no commit of an earlier epoch is accepted,
  and what `offsets`, `fetch` and `committed` then tell is the whole committed
  history of the task.
* **Commit.** A `Commit` makes output batches and input offsets visible
  together or not at all. It has four outcomes and no fifth: `Committed`,
  `Fenced`, `Rejected` (would be refused again) and `Doubtful` (nobody knows,
  so the caller goes through recovery). It never raises for a task's sake.
* **Reading.** Only committed records are seen. Positions, not record offsets,
  say how far a reader is: offsets may have gaps.
* **Groups.** The members of a group share its tasks. A task is given to one
  member at a time; the next may start it when the former has let go or is
  gone. Safety never rests on that: it rests on fencing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streamflow.record import TopicPartition
from streamflow.topic import NewTopic, TopicInfo


class Fetched(NamedTuple):
    """What one partition gave.

    ``batches`` are whole v2 record batches with their offsets set; the first may
    begin before the position asked for. ``next_offset`` is the position after
    them, ``end_offset`` the last stable offset, ``start_offset`` where the
    partition begins. Caught up is ``next_offset >= end_offset``.
    """

    batches: list[bytes]
    next_offset: int
    end_offset: int
    start_offset: int


class Offsets(NamedTuple):
    """Where a partition begins, and the position after its last record."""

    start: int
    end: int


class Session(Protocol):
    """The right to commit for one task; superseded by the next `init` of the same task."""

    task: str

    async def init(self) -> None:
        """Fence every earlier owner of the task and settle its last transaction. Raises `LogError` when that cannot be had."""
        ...


@dataclass(frozen=True)
class Commit:
    """One task's transaction: batches to append per partition, in order, and its next input offsets.

    ``batches`` have base offset 0; the log sets it. ``commit_id`` is kept with
    the commit under ``commit_seq`` so that a store can ask whether a commit it
    knows is still in the log (`Log.commit_id`).
    """

    session: Session
    batches: Mapping[TopicPartition, Sequence[bytes]]
    offsets: Mapping[TopicPartition, int]
    commit_seq: int = 0
    commit_id: bytes = b""


@dataclass(frozen=True)
class Committed:
    """Visible and durable. ``ends`` is, per partition written, the position after the last record."""

    ends: Mapping[TopicPartition, int]


@dataclass(frozen=True)
class Fenced:
    """A newer epoch of the task exists: nothing of this commit is or will be visible."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """Refused, and would be refused again; nothing is visible. ``partition`` is whose batch was at fault, if one was."""

    reason: str
    partition: TopicPartition | None = None


@dataclass(frozen=True)
class Doubtful:
    """Nobody knows whether it is visible. Drop everything, run recovery, never guess."""

    reason: str


Outcome = Committed | Fenced | Rejected | Doubtful


@dataclass(frozen=True)
class Member:
    """One worker of a group: where it answers HTTP, the tasks it holds, and those it keeps a copy of."""

    id: str
    address: str
    tasks: frozenset[str]
    standbys: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Assignment:
    """What a member should own.

    ``tasks`` are meant for it; ``free`` is the part of them that no other member
    holds any more, so it may start them. A task that left ``tasks`` is to be
    committed, closed and let go (`Membership.release`). ``standbys`` are tasks of
    others whose changelogs it is to follow. ``lost`` says that the member was put
    out of the group (it hung): close everything, then `join` anew.
    """

    generation: int
    tasks: frozenset[str]
    free: frozenset[str]
    lost: bool = False
    standbys: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Copies:
    """What a group is told of state: ``wanted`` is, for each task that has some, how many standbys it is to have;
    ``home`` names the folder where a member's state lies (empty: no other member can use it)."""

    wanted: Mapping[str, int] = field(default_factory=dict[str, int])
    home: str = ""


NO_COPIES = Copies()
"""No task has state worth a copy: all move at once."""


class Membership(Protocol):
    """A worker's place in its group."""

    member_id: str

    async def join(
        self, tasks: Mapping[str, int], address: str, holding: Mapping[str, int], copies: Copies = NO_COPIES
    ) -> None:
        """Join, or tell anew: all tasks of the plan with their weight, where this member answers HTTP, the
        tasks whose state lies on its disk with the position of that state (bigger is fresher), and which have state
        at all: such a task moves to a member without it only when that one is `warm`."""
        ...

    def assignment(self) -> Assignment:
        """The newest assignment known here; never blocks."""
        ...

    async def changed(self, seen: Assignment, timeout: float) -> Assignment:
        """Wait until the assignment differs from ``seen`` or ``timeout`` seconds have passed."""
        ...

    async def claim(self, tasks: frozenset[str]) -> frozenset[str]:
        """Take hold of free tasks; gives those that were had. Call before `Session.init`."""
        ...

    async def release(self, tasks: frozenset[str]) -> None:
        """Let go of tasks that were closed here, so that their next owner may start them."""
        ...

    async def warm(self, tasks: frozenset[str]) -> None:
        """Tell which of the standbys lack a short replay only: all of them now, not just the new ones."""
        ...

    async def confirm(self) -> bool:
        """Ask the log, not memory: is this still a member that holds its claims (rule R0)?"""
        ...

    async def members(self) -> list[Member]:
        """All members now."""
        ...

    async def leave(self) -> None:
        """Let go of everything and leave at once."""
        ...


class Log(Protocol):
    """Topics, positions, transactions and groups. All methods may raise `LogError`."""

    loses_commits: bool
    """What was committed may be gone after a power cut, so stores are held against the ids of commits."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def topics(self) -> dict[str, TopicInfo]: ...

    async def create_topics(self, topics: Sequence[NewTopic]) -> None:
        """Create what is missing. One that exists as asked is fine; as something else: `TopicMismatch`."""
        ...

    async def delete_topic(self, name: str) -> None: ...

    async def fetch(
        self, positions: Mapping[TopicPartition, int], *, max_bytes: int, max_wait: float
    ) -> dict[TopicPartition, Fetched]:
        """Batches from each position; only partitions that have something to tell.

        That is: records, a gap jumped, or an end beyond the position that there was no room to read up to (then
        ``batches`` may be empty): a reader of several partitions must know which of them has more.
        Answers at once when any partition has records, else waits up to ``max_wait`` seconds.
        About ``max_bytes`` in all, at least one batch from one partition, taking turns between
        partitions so that none starves. A position outside of a partition is `OffsetOutOfRange`.
        """
        ...

    async def offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Offsets]:
        """Start and end, asked afresh."""
        ...

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """The first offset whose record has this timestamp or a later one; the end if none has."""
        ...

    async def append(self, batches: Mapping[TopicPartition, Sequence[bytes]]) -> dict[TopicPartition, int]:
        """Append outside of any task, durable on return; gives the first offset per partition."""
        ...

    async def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed input offsets; a partition without one is left out."""
        ...

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Move a group's offsets by hand (reset); refused while the group has members."""
        ...

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Forget the records below these offsets."""
        ...

    def session(self, group: str, task: str) -> Session:
        """A session for one task; of no use before its `init`."""
        ...

    async def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        """All tasks of a worker that are due, each with its own outcome, in the order given.

        Raises `LogUnavailable` (busy, disk full) when nothing of any of them was written: the call may be made again.
        """
        ...

    async def commit_id(self, group: str, task: str, commit_seq: int) -> bytes | None:
        """The id kept with that commit of the task, or None when the log does not know it."""
        ...

    async def last_commit(self, group: str, task: str) -> tuple[int, bytes] | None:
        """Number and id of the newest commit of the task that has an id; None when the log knows of none."""
        ...

    def membership(self, group: str) -> Membership: ...

    async def put_out(self, group: str, member_id: str) -> None:
        """Take a member out of its group whose process is known to be dead, so that nobody waits for its session."""
        ...
