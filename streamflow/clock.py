"""Time: durations as users write them, and the clock as an argument.

Inside, time is integer milliseconds. Whatever decides by the time of day takes
a `Clock`, so that a test or a simulation can hold it still.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Protocol

from streamflow.errors import ConfigError

Duration = timedelta | str

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SHAPE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


def milliseconds(duration: Duration, what: str = "duration") -> int:
    """``duration`` in whole milliseconds; a bare number is refused, its unit cannot be seen.

    >>> milliseconds("5m"), milliseconds(timedelta(seconds=1)), milliseconds("250ms")
    (300000, 1000, 250)
    """
    if isinstance(duration, timedelta):
        return duration // timedelta(milliseconds=1)
    if isinstance(duration, str) and (match := _SHAPE.fullmatch(duration)):
        return round(float(match[1]) * _UNITS[match[2]])
    raise ConfigError(f'{what} is {duration!r}; write a timedelta or a text such as "250ms", "10s", "5m", "1h", "7d"')


class Clock(Protocol):
    """The two clocks a worker needs; a simulation has its own."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
