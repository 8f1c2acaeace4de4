"""What a worker counts about itself; read by metrics, HTTP and the terminal, written by the loop."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the upper bounds of a histogram's buckets; a last one takes what is longer."""


@dataclass
class Histogram:
    """How often something took how long, in seconds.

    >>> taken = Histogram()
    >>> taken.add(0.003), taken.add(20.0)
    (None, None)
    >>> taken.cumulative()[:3], taken.cumulative()[-2:], taken.total
    ([('0.001', 0), ('0.0025', 0), ('0.005', 1)], [('10.0', 1), ('+Inf', 2)], 20.003)
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, int]]:
        """``(upper bound, how many took no longer)``, as Prometheus has it."""
        found, so_far = list[tuple[str, int]](), 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found


@dataclass
class Stats:
    """Totals since the start. Latencies are in seconds, the newest thousand of each."""

    started: float = 0.0
    commits: int = 0
    fenced: int = 0
    doubtful: int = 0
    rejected: int = 0
    recoveries: int = 0
    rebalances: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    stores_rebuilt: int = 0
    processed: dict[str, int] = field(default_factory=dict[str, int])
    drops: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    commit_latency: Histogram = field(default_factory=Histogram)
    process_latency: Histogram = field(default_factory=Histogram)
    """Of the stretches in which a task processes without a pause, at most a few milliseconds unless a record takes long."""
    commit_seconds: deque[float] = field(default_factory=lambda: deque[float](maxlen=1000))

    def keep(self, task: str, processed: int, drops: dict[tuple[str, str], int]) -> None:
        """Add what a task counted in its life."""
        self.processed[task] = self.processed.get(task, 0) + processed
        for reason, count in drops.items():
            self.drops[reason] = self.drops.get(reason, 0) + count
