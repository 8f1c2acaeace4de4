"""Being told to stop: the first signal asks for an orderly end, the second ends at once.

A plain Python handler, not the loop's: it runs between two bytecodes, so the second signal works even while a user's
function keeps the loop busy.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130


class Signals:
    """Counts SIGTERM and SIGINT. ``first`` is called in a signal handler, so let it be ``call_soon_threadsafe``."""

    def __init__(self, first: Callable[[], object], second: Callable[[], object] | None = None) -> None:
        self._first = first
        self._second = second or (lambda: os._exit(INTERRUPTED))  # nothing that could wait: what is committed is safe
        self.count = 0

    def install(self) -> None:
        """Take over both signals; only the main thread can."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        (self._first if self.count == 1 else self._second)()
