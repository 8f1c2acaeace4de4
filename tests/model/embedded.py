"""The embedded log: a commit is one step that checks the epoch and appends.

Committed or not is the database's own promise, so there is no open transaction
and no marker. Doubtful is left for an error at COMMIT. With ``fast`` durability
a power cut, which ends all processes of the machine, takes the newest commits:
the log stays a prefix, but a store's base may know more than the log.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .data import CHANGELOGS, DOUBTFUL, FENCED, INPUTS, OUTPUT, Change, Committed, Outcome, Work
from .wire import FencedError, Steps, Timeout, patiently, until_answered

UNSYNCED = 3


class Saved(NamedTuple):
    """The log before a commit."""

    lengths: dict[str, int]
    offsets: dict[str, int]
    epoch: int
    last: tuple[int, int]


class EmbeddedLog:
    """One SQLite file; every method is one transaction of its own."""

    checks_epoch = True

    def __init__(self, rng: random.Random, *, fast: bool = False) -> None:
        self.partitions: dict[str, list[Any]] = {name: [] for name in (*INPUTS, OUTPUT, *CHANGELOGS)}
        self.offsets: dict[str, int] = {}
        self.trouble = True
        self.now = 0
        self.fast = fast
        self._rng = rng
        self._epoch = 0
        self._ids: dict[int, int] = {0: 0}
        self._last = (0, 0)
        self._unsynced: list[Saved] = []

    # --- requests -------------------------------------------------------------------------------------------------

    def init(self) -> int:
        """Raise the epoch."""
        self._epoch += 1
        return self._epoch

    def commit(self, epoch: int, batches: Mapping[str, tuple[Any, ...]], work: Work) -> dict[str, int]:
        """Check, append and move the offsets: all of it or nothing."""
        if epoch != self._epoch and self.checks_epoch:
            raise FencedError
        self._save()
        ends: dict[str, int] = {}
        for name, records in batches.items():
            self.partitions[name].extend(records)
            ends[name] = len(self.partitions[name])
        self.offsets.update(work.inputs)
        self._ids[work.meta.seq] = work.meta.id
        self._last = (work.meta.seq, work.meta.id)
        return ends

    def committed(self) -> dict[str, int]:
        return dict(self.offsets)

    def end(self, changelog: str) -> int:
        return len(self.partitions[changelog])

    def read(self, changelog: str, position: int, limit: int) -> tuple[list[Change], int]:
        records = self.partitions[changelog][position : position + limit]
        return records, position + len(records)

    def read_inputs(self, positions: Mapping[str, int], limit: int) -> tuple[list[Any], dict[str, int]]:
        found: list[Any] = []
        after = dict(positions)
        for source in self._rng.sample(INPUTS, 2):
            records, after[source] = self.read(source, after[source], limit)
            found.extend((source, record) for record in records)
            limit -= len(records)
        return found, after

    def commit_id(self, seq: int) -> int | None:
        """The id kept with that commit, None if the log does not know it."""
        return self._ids.get(seq)

    def last_commit(self) -> tuple[int, int]:
        return self._last

    # --- power ----------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        if not self.fast:
            return
        lengths = {name: len(partition) for name, partition in self.partitions.items()}
        self._unsynced.append(Saved(lengths, dict(self.offsets), self._epoch, self._last))
        del self._unsynced[:-UNSYNCED]

    def power_cut(self, lost: int) -> None:
        """The newest commits were never synced."""
        for _ in range(min(lost, len(self._unsynced))):
            lengths, self.offsets, self._epoch, self._last = self._unsynced.pop()
            for name, length in lengths.items():
                del self.partitions[name][length:]
            self._ids = {seq: known for seq, known in self._ids.items() if seq <= self._last[0]}

    # --- the same face as the broker ------------------------------------------------------------------------------

    busy = False

    def work(self) -> None: ...

    def settle(self) -> None: ...

    def expire(self, older_than: int = 0) -> bool:
        return False

    def heal(self) -> None:
        self.trouble = False

    def load_input(self, source: str, records: Iterable[Any]) -> None:
        self.partitions[source].extend(records)

    def everything_committed(self, name: str) -> list[Any]:
        return self.partitions[name]

    def prefix(self, changelog: str, start: int, stop: int) -> list[Change]:
        return self.partitions[changelog][start:stop]

    def end_of_input(self, source: str) -> int:
        return len(self.partitions[source])


class EmbeddedSession:
    """An epoch, and one request."""

    def __init__(self, log: EmbeddedLog) -> None:
        self.log = log
        self.epoch = 0

    def init(self, generation: int) -> Steps[None]:
        self.epoch = yield from until_answered(self.log.init)

    def commit(self, work: Work) -> Steps[Outcome]:
        batches: dict[str, tuple[Any, ...]] = {name: tuple(records) for name, records in work.changes.items()}
        batches[OUTPUT] = tuple(work.outputs)
        try:
            ends = yield from patiently(self.log.commit, self.epoch, batches, work)
        except FencedError:
            return FENCED
        except Timeout:
            return DOUBTFUL
        return Committed({changelog: ends[changelog] for changelog in work.changes})
