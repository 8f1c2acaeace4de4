"""Windows over time: which ones there are, not where their results are kept or when they are emitted.

A window is arithmetic on milliseconds since the epoch, aligned to 0, with its
end exclusive: a record at ``t`` is in every ``[start, start + size)`` whose
start is a multiple of the advance and which holds ``t``.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.clock import Duration, milliseconds
from streamflow.errors import TopologyError


@dataclass(frozen=True)
class TimeWindow:
    """Windows of equal size, a new one every ``advance_ms``; ``grace_ms`` is how long a late record may still enter.

    >>> TimeWindow(60_000, 20_000, 0).starts(65_000)
    range(20000, 60001, 20000)
    """

    size_ms: int
    advance_ms: int
    grace_ms: int = 0

    def starts(self, timestamp: int) -> range:
        """The starts of the windows that hold ``timestamp``, ascending; none begins before 0."""
        last = timestamp - timestamp % self.advance_ms
        first = max(0, (timestamp - self.size_ms) // self.advance_ms * self.advance_ms + self.advance_ms)
        return range(first, last + 1, self.advance_ms)


def tumbling(size: Duration, *, grace: Duration = "0ms") -> TimeWindow:
    """Windows side by side, each record in exactly one.

    >>> tumbling("1m", grace="10s")
    TimeWindow(size_ms=60000, advance_ms=60000, grace_ms=10000)
    """
    size_ms = _positive(size, "the size of a tumbling window")
    return TimeWindow(size_ms, size_ms, _grace(grace))


def hopping(size: Duration, advance: Duration, *, grace: Duration = "0ms") -> TimeWindow:
    """Windows that overlap: a new one every ``advance``, which is at most ``size``.

    >>> hopping("5m", "1m").advance_ms
    60000
    """
    size_ms = _positive(size, "the size of a hopping window")
    advance_ms = _positive(advance, "the advance of a hopping window")
    if advance_ms > size_ms:
        raise TopologyError(
            f"a hopping window of {size_ms} ms advances by {advance_ms} ms, so some records would be in no window; "
            f"write an advance of at most {size_ms} ms"
        )
    return TimeWindow(size_ms, advance_ms, _grace(grace))


def _grace(grace: Duration) -> int:
    found = milliseconds(grace, "grace")
    if found < 0:
        raise TopologyError(f"grace is {grace!r}; it cannot be negative")
    return found


def _positive(duration: Duration, what: str) -> int:
    found = milliseconds(duration, what)
    if found <= 0:
        raise TopologyError(f"{what} is {duration!r}; it must be at least 1 ms")
    return found
