"""What a worker counts about itself; read by metrics, HTTP and the terminal, written by the loop."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


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
    stores_rebuilt: int = 0
    processed: dict[str, int] = field(default_factory=dict[str, int])
    drops: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    commit_seconds: deque[float] = field(default_factory=lambda: deque[float](maxlen=1000))

    def keep(self, task: str, processed: int, drops: dict[tuple[str, str], int]) -> None:
        """Add what a task counted in its life."""
        self.processed[task] = self.processed.get(task, 0) + processed
        for reason, count in drops.items():
            self.drops[reason] = self.drops.get(reason, 0) + count
