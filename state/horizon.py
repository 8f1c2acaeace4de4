"""How far a window store sees: what it has observed, and what has expired by that.

With retention r and m the greatest window start put so far, windows that start
before ``m - r + 1`` (the floor) cannot be read and are not written any more.
The floor that decides what is deleted from disk is that of the last commit.

No window that starts after ``sunk`` has ever left the committed layer, so
nobody need look for one further down.
"""

from __future__ import annotations


class Horizon:
    """Observed window starts in milliseconds, -1 before the first; ``sequence`` tells duplicates apart."""

    __slots__ = (
        "committed",
        "committed_sequence",
        "floor",
        "frozen",
        "frozen_sequence",
        "observed",
        "retention_ms",
        "sequence",
        "sunk",
    )

    def __init__(self, retention_ms: int, observed: int = -1, sequence: int = 0) -> None:
        self.retention_ms = retention_ms
        self.sequence = self.frozen_sequence = self.committed_sequence = sequence
        self.observed = self.frozen = self.committed = self.sunk = observed
        self.floor = self.floor_of(observed)

    def floor_of(self, observed: int) -> int:
        """The earliest start that is visible once ``observed`` was."""
        return observed - self.retention_ms + 1

    def see(self, start: int) -> None:
        """A window that starts here was put."""
        self.observed = start
        self.floor = self.floor_of(start)

    def freeze(self) -> None:
        self.frozen = self.observed
        self.frozen_sequence = self.sequence

    def commit(self) -> None:
        self.committed = self.frozen
        self.committed_sequence = self.frozen_sequence

    def sink(self) -> None:
        """The committed layer sinks."""
        self.sunk = self.committed

    def drop(self) -> None:
        self.sequence = self.frozen_sequence = self.committed_sequence
        self.frozen = self.committed
        self.see(self.committed)

    def restored(self, observed: int, sequence: int | None) -> None:
        """What records of the changelog told; nothing is uncommitted meanwhile."""
        self.committed = max(self.committed, observed)
        if sequence is not None:
            self.committed_sequence = sequence
        self.drop()
        self.sink()
