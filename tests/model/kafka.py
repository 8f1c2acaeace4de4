"""The broker: partitions, transactions, and what it does in its own time.

Modelled are epochs and sequence numbers, markers that are written one by one
and in any order after EndTxn was answered, offsets that become visible later
still (the classic group coordinator), the check that a partition is in the
transaction (3.6 and later), the last stable offset, old leaders that still
answer reads, and, with ``v2``, the epoch that every EndTxn raises, until a
producer id has used up its few epochs and EndTxn answers another id.

Source: Apache Kafka's transaction protocol, KIP-98, KIP-447 and KIP-890.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .data import CHANGELOGS, INPUTS, OUTPUT, Change
from .wire import FencedError, Refused, Retry

EPOCHS = 8
"""Of one producer id; 32,767 in truth, and that many would never be used up here."""

Stamp = tuple[int, int]
"""Producer id and epoch."""

OPEN, DONE, ABORTED, CONTROL = "open", "done", "aborted", "control"


class Entry:
    """One offset of a partition."""

    __slots__ = ("payload", "pid", "status")

    def __init__(self, status: str, pid: int, payload: Any) -> None:
        self.status = status
        self.pid = pid
        self.payload = payload


class Partition:
    """A log with the producers that wrote to it: pid -> [epoch, next sequence]."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.producers: dict[int, list[int]] = {}
        self.open: dict[int, int] = {}
        self.stale_end: int | None = None
        self.appended: dict[tuple[int, int, int], int] = {}

    def producer(self, pid: int, epoch: int) -> list[int]:
        """State of a producer at this epoch; an older epoch is fenced."""
        state = self.producers.setdefault(pid, [epoch, 0])
        if epoch < state[0]:
            raise FencedError
        if epoch > state[0]:
            state[:] = [epoch, 0]
        return state

    def mark(self, pid: int, epoch: int, commit: bool) -> None:
        """Write a transaction's marker."""
        first = self.open.pop(pid, len(self.log))
        for entry in self.log[first:]:
            if entry.status == OPEN and entry.pid == pid:
                entry.status = DONE if commit else ABORTED
        self.log.append(Entry(CONTROL, pid, None))
        state = self.producers.get(pid)
        if state is None or state[0] < epoch:
            self.producers[pid] = [epoch, 0]

    @property
    def high_watermark(self) -> int:
        return len(self.log) if self.stale_end is None else self.stale_end

    @property
    def stable_end(self) -> int:
        return min([self.high_watermark, *self.open.values()])

    def committed(self) -> list[Any]:
        """Payloads a read_committed reader sees, whole partition."""
        return [entry.payload for entry in self.log if entry.status == DONE]


@dataclass
class Transaction:
    """What the coordinator knows of a transactional id."""

    pid: int
    epoch: int = -1
    state: str = "empty"  # empty, ongoing, prepare_commit, prepare_abort, complete_commit, complete_abort
    partitions: set[str] = field(default_factory=set[str])
    group: bool = False
    began: int = 0

    previous: Stamp = (-1, -1)
    """What the last EndTxn was asked with (v2)."""

    @property
    def stamp(self) -> Stamp:
        return self.pid, self.epoch

    @property
    def ending(self) -> bool:
        return self.state.startswith("prepare")


class Broker:
    """Leader of all partitions and coordinator of everything."""

    committed_only = True
    """How changelogs are read; a mutant reads what is uncommitted, too."""

    def __init__(self, rng: random.Random, *, verifies: bool = True, v2: bool = False) -> None:
        self.partitions = {name: Partition() for name in (*INPUTS, OUTPUT, *CHANGELOGS)}
        self.transactions: dict[str, Transaction] = {}
        self.offsets: dict[str, int] = {}
        self.trouble = True
        self.now = 0
        self.generation: Callable[[], int] = lambda: 0
        self._rng = rng
        self._verifies = verifies
        self._v2 = v2
        self._group = Partition()
        self._pending: dict[int, tuple[int, Mapping[str, int]]] = {}
        self._commits = 0
        self._applied = 0
        self._pids = 0
        self.rolled_over = 0
        """How often a producer id had no epoch left."""
        self.settled = 0
        """How often an EndTxn that was asked again was answered with what the first one did."""
        self._markers: list[Callable[[], None]] = []
        self._visible: deque[tuple[int, Callable[[], None]]] = deque()

    # --- in its own time ------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        return bool(self._markers or (self._visible and self._visible[0][0] <= self.now))

    def work(self) -> None:
        """Write one marker, in any order, or make the oldest settled offsets visible if their time has come."""
        i = self._rng.randrange(len(self._markers) + bool(self._visible))
        if i < len(self._markers):
            self._markers.pop(i)()
        elif self._visible[0][0] <= self.now:
            self._visible.popleft()[1]()

    def settle(self) -> None:
        """All the work there is, and no transaction left open."""
        while self._markers or self._visible or self.expire():
            if self._markers or self._visible:
                self.now += 1
                self.work()

    def expire(self, older_than: int = 0) -> bool:
        """Abort one transaction that was open for too long."""
        for transaction in self.transactions.values():
            if transaction.state == "ongoing" and self.now - transaction.began >= older_than:
                self._fence(transaction, False)
                return True
        return False

    def grow_old(self) -> None:
        """An old leader of some changelog answers reads; if there is one, it ceases to."""
        changelogs = [self.partitions[name] for name in CHANGELOGS]
        if any(partition.stale_end is not None for partition in changelogs):
            for partition in changelogs:
                partition.stale_end = None
        else:
            partition = self._rng.choice(changelogs)
            partition.stale_end = self._rng.randrange(len(partition.log) + 1)

    def heal(self) -> None:
        self.trouble = False
        for partition in self.partitions.values():
            partition.stale_end = None

    # --- requests: transactions -----------------------------------------------------------------------------------

    def init_producer_id(self, transactional_id: str) -> Stamp:
        transaction = self.transactions.get(transactional_id)
        if transaction is None:
            transaction = self.transactions[transactional_id] = Transaction(pid=self._new_pid())
        if transaction.ending:
            raise Retry
        if transaction.state == "ongoing":
            self._fence(transaction, False)
            raise Retry
        self._raise_epoch(transaction)
        transaction.previous = (-1, -1)
        transaction.state = "empty"
        return transaction.stamp

    def _new_pid(self) -> int:
        self._pids += 1
        return self._pids

    def _raise_epoch(self, transaction: Transaction) -> None:
        """The next epoch; the first one of another producer id when there is none left."""
        if self._v2 and transaction.epoch >= EPOCHS:
            self.rolled_over += 1
            transaction.pid, transaction.epoch = self._new_pid(), 0
        else:
            transaction.epoch += 1

    def add_partitions(self, transactional_id: str, stamp: Stamp, names: Iterable[str]) -> None:
        self._begin(transactional_id, stamp).partitions.update(names)

    def add_offsets(self, transactional_id: str, stamp: Stamp) -> None:
        self._begin(transactional_id, stamp).group = True

    def produce(self, transactional_id: str, stamp: Stamp, name: str, sequence: int, payloads: tuple[Any, ...]) -> int:
        """Append one batch; gives its base offset. The same sequence again is answered as before."""
        partition = self.partitions[name]
        transaction = self.transactions[transactional_id]
        pid, epoch = stamp
        if self._v2:
            self._begin(transactional_id, stamp)
        state = partition.producer(pid, epoch)
        if sequence < state[1]:
            return partition.appended[pid, epoch, sequence]
        if sequence > state[1]:
            raise Refused
        if self._v2:
            transaction.partitions.add(name)
        elif self._verifies and not self._ongoing(transaction, stamp, name):
            raise Refused
        if self.trouble and self._rng.random() < 0.01:
            raise Refused  # too large
        base = len(partition.log)
        partition.log.extend(Entry(OPEN, pid, payload) for payload in payloads)
        partition.open.setdefault(pid, base)
        state[1] += len(payloads)
        partition.appended[pid, epoch, sequence] = base
        return base

    def commit_offsets(
        self, transactional_id: str, stamp: Stamp, offsets: Mapping[str, int], generation: int | None
    ) -> None:
        """TxnOffsetCommit; ``generation`` is checked where it is given."""
        transaction = self.transactions[transactional_id]
        if self._v2:
            self._begin(transactional_id, stamp)
        self._group.producer(*stamp)
        if generation is not None and generation != self.generation():
            raise FencedError
        if self._v2:
            transaction.group = True
        elif self._verifies and not (self._ongoing(transaction, stamp) and transaction.group):
            raise Refused
        self._commits += 1
        self._pending[stamp[0]] = (self._commits, offsets)

    def end_transaction(self, transactional_id: str, stamp: Stamp, commit: bool) -> Stamp:
        """EndTxn; gives the producer id and epoch of the next transaction."""
        transaction = self.transactions[transactional_id]
        verb = "commit" if commit else "abort"
        if self._v2 and stamp == transaction.previous and transaction.state in (f"prepare_{verb}", f"complete_{verb}"):
            self.settled += 1
            return transaction.stamp  # the same end, asked again
        if stamp != transaction.stamp:
            raise FencedError
        if transaction.state == "ongoing":
            if self._v2:
                self._fence(transaction, commit)
                transaction.previous = stamp
            else:
                self._end(transaction, commit, stamp)
        elif transaction.state == f"prepare_{verb}":
            raise Retry
        elif transaction.state != f"complete_{verb}":
            raise Refused
        return transaction.stamp

    def _ongoing(self, transaction: Transaction, stamp: Stamp, name: str | None = None) -> bool:
        inside = name is None or name in transaction.partitions
        return transaction.state == "ongoing" and transaction.stamp == stamp and inside

    def _begin(self, transactional_id: str, stamp: Stamp) -> Transaction:
        transaction = self.transactions[transactional_id]
        if stamp != transaction.stamp:
            raise FencedError
        if transaction.ending:
            raise Retry
        if transaction.state != "ongoing":
            transaction.state = "ongoing"
            transaction.began = self.now
        return transaction

    def _fence(self, transaction: Transaction, commit: bool) -> None:
        """Decide it in an epoch that nobody was told: its markers shut out what is late."""
        pid, epoch = transaction.stamp
        self._end(transaction, commit, (pid, epoch + 1))
        self._raise_epoch(transaction)

    def _end(self, transaction: Transaction, commit: bool, stamp: Stamp) -> None:
        """Decide a transaction. The decision is final; markers follow one by one."""
        transaction.state = "prepare_commit" if commit else "prepare_abort"
        pid, epoch = stamp
        left = len(transaction.partitions) + transaction.group

        def written() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                transaction.state = "complete_commit" if commit else "complete_abort"
                transaction.partitions = set()
                transaction.group = False

        def marker(partition: Partition) -> Callable[[], None]:
            def write() -> None:
                partition.mark(pid, epoch, commit)
                written()

            return write

        def group_marker() -> None:
            self._group.mark(pid, epoch, commit)
            pending = self._pending.get(pid)
            due = self.now + self._rng.choice((0, 10, 60))
            self._visible.append((due, lambda: self._settle(pid, pending, commit)))
            written()

        for name in sorted(transaction.partitions):
            self._markers.append(marker(self.partitions[name]))
        if transaction.group:
            self._markers.append(group_marker)
        if not left:
            written()

    def _settle(self, pid: int, pending: tuple[int, Mapping[str, int]] | None, commit: bool) -> None:
        if self._pending.get(pid) is pending:
            self._pending.pop(pid, None)
        if commit and pending is not None and pending[0] > self._applied:
            self._applied = pending[0]
            self.offsets.update(pending[1])

    # --- requests: reading ----------------------------------------------------------------------------------------

    def fetch_offsets(self, stable: bool) -> dict[str, int]:
        """OffsetFetch; ``stable`` waits for offsets that are not settled."""
        if self.trouble and self._rng.random() < 0.05:
            raise Retry  # coordinator loading
        if stable and self._pending:
            raise Retry
        return dict(self.offsets)

    def committed(self) -> dict[str, int]:
        return self.fetch_offsets(True)

    def end(self, changelog: str) -> int:
        """ListOffsets, read uncommitted: behind every record there is, decided or not."""
        return self.partitions[changelog].high_watermark

    def read(self, changelog: str, position: int, limit: int) -> tuple[list[Change], int]:
        """Fetch: committed records from ``position``, and the position after them."""
        partition = self.partitions[changelog]
        wanted = (DONE,) if self.committed_only else (DONE, OPEN, ABORTED)
        end = partition.stable_end if self.committed_only else partition.high_watermark
        found: list[Change] = []
        while position < end and len(found) < limit:
            entry = partition.log[position]
            position += 1
            if entry.status in wanted:
                found.append(entry.payload)
        return found, position

    def read_inputs(self, positions: Mapping[str, int], limit: int) -> tuple[list[Any], dict[str, int]]:
        """Fetch of both inputs, interleaved anyhow."""
        found: list[Any] = []
        after = dict(positions)
        for source in self._rng.sample(INPUTS, 2):
            records, after[source] = self.read(source, after[source], limit)
            found.extend((source, record) for record in records)
            limit = max(limit - len(records), 0)
        return found, after

    def commit_id(self, seq: int) -> int | None:
        """Kafka keeps no commit ids."""
        raise Refused

    def last_commit(self) -> tuple[int, int]:
        raise Refused

    # --- the truth, for the checks --------------------------------------------------------------------------------

    def load_input(self, source: str, records: Iterable[Any]) -> None:
        """Fill an input; some producers are transactional, so there are gaps."""
        log = self.partitions[source].log
        for record in records:
            log.append(Entry(DONE, 0, record))
            if self._rng.random() < 0.1:
                log.append(Entry(self._rng.choice((CONTROL, ABORTED)), 0, ("a", -1)))

    def everything_committed(self, name: str) -> list[Any]:
        return self.partitions[name].committed()

    def prefix(self, changelog: str, start: int, stop: int) -> list[Change]:
        return [entry.payload for entry in self.partitions[changelog].log[start:stop] if entry.status == DONE]

    def end_of_input(self, source: str) -> int:
        return len(self.partitions[source].log)
