"""The last hour of a worker: records a second and lag, every five seconds, in memory.

Points of several workers stand at the same times, the multiples of `STEP_MS`, so that they can be added up. What a worker
knew is gone with it: the sum is that of the workers which are there now.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from streamflow.http.status import lag
from streamflow.runtime.worker import Worker

STEP_MS = 5_000
KEPT = 720
"""Points: an hour of them."""

Point = tuple[int, float, int]
"""When (milliseconds, a multiple of `STEP_MS`), records a second since the point before, lag."""


@dataclass
class History:
    """The newest points of one worker."""

    points: deque[Point] = field(default_factory=lambda: deque[Point](maxlen=KEPT))
    _processed: int = 0
    _at: float | None = None

    def note(self, now_ms: int, monotonic: float, processed: int, lag: int) -> None:
        """Take in totals as they are now. The first ones only begin the count.

        >>> history = History()
        >>> history.note(10_003, 1.0, 500, 7)
        >>> history.note(15_001, 6.0, 700, 3)
        >>> list(history.points)
        [(15000, 40.0, 3)]
        """
        if self._at is not None and monotonic > self._at:
            rate = max(0, processed - self._processed) / (monotonic - self._at)
            self.points.append((now_ms - now_ms % STEP_MS, round(rate, 1), lag))
        self._processed, self._at = processed, monotonic

    def since(self, when: int) -> list[Point]:
        """The points at this time or later."""
        return [point for point in self.points if point[0] >= when]

    async def follow(self, worker: Worker) -> None:
        """Note what a worker does, for ever."""
        while True:
            self.note(worker.clock.now_ms(), worker.clock.monotonic(), *totals(worker))
            await asyncio.sleep((STEP_MS - worker.clock.now_ms() % STEP_MS) / 1000)


def totals(worker: Worker) -> tuple[int, int]:
    """Records processed since the worker began, by tasks it has let go of, too; and lag."""
    running = worker.roster.running()
    processed = sum(worker.stats.processed.values()) + sum(task.processed for _, task, _ in running)
    return processed, sum(lag(ledger, tp, each.end) for _, task, ledger in running for tp, each in task.inputs.items())


def together(histories: Iterable[Iterable[Any]]) -> list[dict[str, Any]]:
    """Points of several workers added up, oldest first.

    >>> together([[(0, 1.0, 2), (5000, 3.0, 0)], [(5000, 4.5, 6)]])
    [{'time': 0, 'rate': 1.0, 'lag': 2}, {'time': 5000, 'rate': 7.5, 'lag': 6}]
    """
    sums: dict[int, tuple[float, int]] = {}
    for points in histories:
        for time, rate, behind in points:
            before = sums.get(time, (0.0, 0))
            sums[time] = before[0] + rate, before[1] + behind
    return [{"time": time, "rate": round(rate, 1), "lag": behind} for time, (rate, behind) in sorted(sums.items())]
