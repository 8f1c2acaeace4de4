"""What lasts is said once, and once more when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable

LAPSED = 60.0  # seconds without a word of it, and what comes then is new
SETTLED = 1.0  # seconds without a word of it, and it may be over


class Trouble:
    """Something that cannot be had for now and is tried again and again.

    >>> import sys
    >>> logger = logging.getLogger("trouble")
    >>> logger.addHandler(logging.StreamHandler(sys.stdout))
    >>> now = [0.0]
    >>> trouble = Trouble(logger, lambda: now[0])
    >>> trouble.say("waiting: %s", "refused")
    waiting: refused
    >>> now[0] = 1.5
    >>> trouble.say("waiting: %s", "refused")
    >>> now[0] = 90.0
    >>> trouble.over("it is there again, after %.0f s")
    it is there again, after 90 s
    >>> trouble.over("it is there again, after %.0f s")
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._since: float | None = None
        self._last = 0.0

    def say(self, words: str, *details: object) -> None:
        """A warning for what begins; what goes on is for those who debug."""
        now = self._clock()
        if self._since is None or now - self._last > LAPSED:
            self._since = now
            self._logger.warning(words, *details)
        else:
            self._logger.debug(words, *details)
        self._last = now

    @property
    def lasts(self) -> bool:
        """It was said lately, and nothing went well since."""
        return self._since is not None and self._clock() - self._last <= LAPSED

    def over(self, words: str) -> None:
        """It went well; ``words`` take the seconds that it had not."""
        if self._since is None:
            return
        now = self._clock()
        if now - self._last >= SETTLED:
            self._logger.warning(words, now - self._since)
            self._since = None


def said(error: BaseException) -> str:
    """What an error says; one that says nothing is at least named.

    >>> said(TimeoutError()), said(OSError("refused"))
    ('no answer in time', 'refused')
    """
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
