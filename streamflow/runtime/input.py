"""One input partition of a task: what was fetched of it and how far it was processed.

Two positions: ``fetched`` is where the next fetch begins, ``position`` what the
next commit says. They meet when the buffer is empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from streamflow.errors import LogCorrupt
from streamflow.fuse import Entry
from streamflow.log.batch import header, records
from streamflow.log.contract import Fetched
from streamflow.record import TopicPartition

Time = int | Exception | None
"""A record's time, None to drop the record, or why it could not be told."""
Extract = Callable[[Any], Time]


class Input:
    """The buffer of one partition, one batch opened at a time.

    ``end`` is the last stable offset as far as known. ``times`` stands beside ``records`` where the user has
    a say in a record's time (``extract``), and is empty where the record's own timestamp counts.
    """

    __slots__ = (
        "_batches", "_next", "buffered", "end", "entries", "extract", "fetched", "head", "index", "position", "records",
        "times", "tp",
    )  # fmt: skip

    def __init__(self, tp: TopicPartition, entries: Sequence[Entry], extract: Extract | None) -> None:
        self.tp = tp
        self.entries = tuple(entries)
        self.extract = extract
        self.position = self.fetched = self.end = 0
        self.records: list[Any] = []
        self.times: list[Time] = []
        self.index = 0
        self.head: int | None = None
        """The time of the next record, None if none is at hand; one that will not be processed comes at once."""
        self.buffered = 0
        self._batches: deque[bytes] = deque()
        self._next = 0

    def start(self, position: int, end: int) -> None:
        """Begin at ``position``, nothing buffered."""
        self.position = self.fetched = position
        self.end = end

    def add(self, fetched: Fetched) -> None:
        """Take what a fetch from ``self.fetched`` gave."""
        self._batches.extend(fetched.batches)
        self.buffered += sum(map(len, fetched.batches))
        self.fetched = fetched.next_offset
        self.end = fetched.end_offset
        self.open()

    def open(self) -> bool:
        """Make sure that ``records[index]`` is the next record; False when nothing is buffered."""
        while self.index >= len(self.records):
            if self.records:  # the batch is done: its end may lie beyond its last record
                self.position = self._next
                self.records, self.times, self.index = [], [], 0
            if not self._batches:
                self.position = max(self.position, self.fetched)
                self.head = None
                return False
            self._open_next()
        self.head = self._head()
        return True

    def _open_next(self) -> None:
        batch = self._batches.popleft()
        self.buffered -= len(batch)
        try:
            self._next = header(batch).next_offset
            found = records(batch)
        except Exception as error:  # the codec raises whatever it likes
            raise LogCorrupt(
                f"{self.tp.topic!r} partition {self.tp.partition}: the records at offset {self.position} or behind it "
                f"cannot be read ({type(error).__name__}: {error}); nothing from there on was processed"
            ) from error
        if found and found[0].offset < self.position:  # the fetch began inside of a batch
            found = [record for record in found if record.offset >= self.position]
        self.records = found
        if not found:
            self.position = max(self.position, self._next)
        elif self.extract is not None:
            self.times = [self.extract(record) for record in found]

    def advance(self, done: int) -> None:
        """``done`` more records of the open batch are processed."""
        if done:
            self.index += done
            self.position = self.records[self.index - 1].offset + 1
            if self.index == len(self.records):
                self.open()
            else:
                self.head = self._head()

    def _head(self) -> int:
        if not self.times:
            return self.records[self.index].timestamp  # type: ignore[no-any-return]
        time = self.times[self.index]
        return time if isinstance(time, int) else -1

    @property
    def has_next(self) -> bool:
        """A record is at hand."""
        return self.index < len(self.records)

    @property
    def caught_up(self) -> bool:
        """Nothing is at hand and, as far as known, nothing is left to fetch."""
        return not self.has_next and self.fetched >= self.end
