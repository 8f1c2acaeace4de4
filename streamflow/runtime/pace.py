"""How often a worker commits and writes down, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.settings import Settings


@dataclass(frozen=True)
class Pace:
    """Times in seconds.

    ``uncommitted_bytes`` bounds what waits for a commit, over all tasks; ``write_behind`` is how long, and
    ``write_behind_bytes`` how much, may be committed and not yet written down. ``patience`` is how long a store may
    refuse to be written (a full disk) before the worker gives up.
    """

    commit_interval: float = 0.1
    uncommitted_bytes: int = 64 << 20
    write_behind: float = 2.0
    write_behind_bytes: int = 64 << 20
    patience: float = 60.0

    @staticmethod
    def of(settings: Settings) -> Pace:
        """The pace that an application's settings say."""
        return Pace(commit_interval=settings.commit_interval_ms / 1000)
