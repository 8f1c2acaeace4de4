"""Being told to stop: the first signal asks for an orderly end, the second ends at once, and so does time.

A plain Python handler, not the loop's: it runs between two bytecodes, so the second signal works even while a user's
function keeps the loop busy, and whoever sent the first one may count on the end within ten seconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130
LONGEST = 9.0  # seconds of an orderly end; what waits longer is ended as if the signal had come again


class Signals:
    """Counts SIGTERM and SIGINT. ``first`` is called in a signal handler, so let it be ``call_soon_threadsafe``.

    ``before_end`` is done before the second one ends the process. ``say`` is told at the first one. ``longest`` is how
    many seconds the orderly end may take; `over` says that it has come.
    """

    def __init__(
        self,
        first: Callable[[], object],
        *,
        say: str = "",
        before_end: Callable[[], object] = lambda: None,
        longest: float = LONGEST,
    ) -> None:
        self._first = first
        self._say = say
        self._before_end = before_end
        self._longest = longest
        self._count = 0

    def install(self) -> None:
        """Take over both signals; only the main thread can."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def over(self) -> None:
        """There is nothing to wait for any more."""
        if self._count:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _late(self, number: int, frame: FrameType | None) -> None:
        with suppress(OSError):
            os.write(2, f"stop      not done after {self._longest:g} s; ending at once\n".encode())
        self._heard(number, frame)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1:
            if self._say:
                with suppress(OSError):  # nobody may listen any more, and the end must come all the same
                    # No lock that may be held.
                    os.write(2, f"{self._say}; the same signal again stops at once\n".encode())
            signal.signal(signal.SIGALRM, self._late)
            signal.setitimer(signal.ITIMER_REAL, self._longest)
            self._first()
        else:
            self._before_end()
            os._exit(INTERRUPTED)  # nothing that could wait: what is committed is safe
