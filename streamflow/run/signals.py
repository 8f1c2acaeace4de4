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
    """Counts SIGTERM and SIGINT. ``first`` is called in a signal handler, so let it be ``call_soon_threadsafe``.

    ``before_end`` is done before the second one ends the process. ``say`` is told at the first one.
    """

    def __init__(
        self, first: Callable[[], object], *, say: str = "", before_end: Callable[[], object] = lambda: None
    ) -> None:
        self._first = first
        self._say = say
        self._before_end = before_end
        self._count = 0

    def install(self) -> None:
        """Take over both signals; only the main thread can."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1:
            if self._say:
                os.write(2, f"{self._say}; the same signal again stops at once\n".encode())  # no lock that may be held
            self._first()
        else:
            self._before_end()
            os._exit(INTERRUPTED)  # nothing that could wait: what is committed is safe
