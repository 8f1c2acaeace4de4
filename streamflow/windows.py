"""Windows over time: which ones there are, not where their results are kept or when they are emitted.

A window is arithmetic on milliseconds since the epoch. Tumbling and hopping ones are aligned to 0, with their end
exclusive: a record at ``t`` is in every ``[start, start + size)`` whose start is a multiple of the advance and which
holds ``t``. Sliding windows and sessions follow the records and include both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


@dataclass(frozen=True)
class SessionWindow:
    """Sessions of records that are no further apart than ``gap_ms``."""

    gap_ms: int
    grace_ms: int = 0


@dataclass(frozen=True)
class SlidingWindow:
    """Windows of the width ``difference_ms``, both ends included, wherever the records in them differ."""

    difference_ms: int
    grace_ms: int = 0


Assign = Callable[[int], Iterable[tuple[int, int]]]
"""``f(timestamp) -> [(start, end), ...]``: the windows that hold a time, their ends exclusive."""


@dataclass(frozen=True)
class CustomWindow:
    """Windows of a user's own. ``size_ms`` is the length of the longest."""

    assign: Assign
    grace_ms: int
    size_ms: int

    def windows(self, timestamp: int) -> list[tuple[int, int]]:
        """The windows that hold ``timestamp``, by start. Raises `TopologyError` for what cannot be windows of it."""
        found = sorted(self.assign(timestamp))
        for start, end in found:
            if not 0 <= start <= timestamp < end or end - start > self.size_ms:
                raise TopologyError(
                    f"custom windows: {timestamp} was assigned to [{start}, {end}); a window holds its time, starts at 0 "
                    f"or later, and is no longer than size, which is {self.size_ms} ms"
                )
        return found

    def end_of(self, start: int) -> int:
        """The end of the window that starts here."""
        ends = [end for begin, end in self.assign(start) if begin == start]
        if not ends:
            raise TopologyError(
                f"custom windows: none of the windows that hold {start} starts there; assign must be stable"
            )
        return max(ends)


Window = TimeWindow | SessionWindow | SlidingWindow | CustomWindow
FOREVER = (1 << 63) - 1
"""The end of a window that never ends."""


def checked(window: Window) -> Window:
    """``window`` itself, if it is one."""
    if not isinstance(window, TimeWindow | SessionWindow | SlidingWindow | CustomWindow):
        raise TopologyError(f'windowed_by takes a window such as tumbling("1m"), not {window!r}')
    return window


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


def session(gap: Duration, *, grace: Duration = "0ms") -> SessionWindow:
    """Sessions: a record belongs with those up to ``gap`` before or after it, and brings together what it reaches.

    >>> session("30m").gap_ms
    1800000
    """
    return SessionWindow(_positive(gap, "the gap of a session"), _grace(grace))


def sliding(difference: Duration, *, grace: Duration = "0ms") -> SlidingWindow:
    """Windows that end at each record and reach ``difference`` back, and those that begin right behind one.

    >>> sliding("10s").difference_ms
    10000
    """
    found = milliseconds(difference, "the difference of a sliding window")
    if found < 0:
        raise TopologyError(f"the difference of a sliding window is {difference!r}; it cannot be negative")
    return SlidingWindow(found, _grace(grace))


def unlimited(start: int = 0) -> CustomWindow:
    """One window for all records from ``start`` on, in milliseconds since the epoch; those before it are in none.

    >>> unlimited(5).windows(7)
    [(5, 9223372036854775807)]
    """
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise TopologyError(f"unlimited: start is {start!r}; write milliseconds since 1970, 0 or later")
    return CustomWindow(lambda timestamp: [(start, FOREVER)] if timestamp >= start else [], 0, FOREVER)


def custom_windows(assign: Assign, *, grace: Duration = "0ms", size: Duration | None = None) -> CustomWindow:
    """Windows of your own: ``assign(timestamp)`` gives ``(start, end)`` of each window that holds a time.

    ``size`` is the length of the longest of them, from which follows how long they are kept; if not given it is that of
    the longest window of some four years. ``assign`` must give the same windows for the same time, always.

    >>> custom_windows(lambda time: [(time // 7 * 7, time // 7 * 7 + 7)], size="7ms").windows(8)
    [(7, 14)]
    """
    if not callable(assign):
        raise TopologyError(f"custom_windows takes f(timestamp) -> [(start, end), ...], not {assign!r}")
    if size is not None:
        return CustomWindow(assign, _grace(grace), _positive(size, "the size of custom windows"))
    try:
        lengths = [end - start for day in range(4 * 366) for start, end in assign(_SOME_TIME + day * _DAY)]
    except Exception as error:
        raise TopologyError(
            f"custom_windows: assign raised {type(error).__name__} for a time of 2024: {error}"
        ) from error
    if not lengths or min(lengths) <= 0:
        raise TopologyError("custom_windows: assign gives no window, or an empty one, for times of 2024; write size=")
    return CustomWindow(assign, _grace(grace), max(lengths))


_DAY = 86_400_000
_SOME_TIME = 1_704_067_200_000  # the beginning of 2024


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
