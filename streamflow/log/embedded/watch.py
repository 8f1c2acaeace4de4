"""Waking those who wait for news, without burning a core.

This process's own commits wake its waiters at once, those of others by their
bell (`bell.py`). Besides, SQLite's ``data_version`` is asked, which differs
after each commit of another: rarely, to make up for a bell that did not ring;
or, where there are no bells (a simulation), every millisecond right after
something happened and then less and less often. Nothing is asked while nobody
waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streamflow.errors import LogError

_WITH_BELLS = 0.1, 0.5
_WITHOUT = 0.001, 0.010
_GROWTH = 1.05


class Watch:
    """Tells that the log has changed. ``ask`` gives a number that differs after each commit of anybody."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self.version = 0
        self._ask = ask
        self._last = -1
        self._shortest, self._longest = _WITHOUT
        self._pause = self._shortest
        self._news = asyncio.Event()
        self._waiting = 0
        self._poller: asyncio.Task[None] | None = None

    def trust_bells(self) -> None:
        """Others ring: ask only now and then."""
        self._shortest, self._longest = _WITH_BELLS
        self._pause = self._shortest

    def touch(self) -> None:
        """The log has changed: it was us, or a bell rang."""
        self._look()
        self._wake()

    async def wait(self, seen: int, timeout: float) -> bool:
        """Wait until ``version`` differs from ``seen``; False after ``timeout`` seconds without that."""
        if self.version != seen:
            return True
        self._waiting += 1
        if self._poller is None:
            self._poller = asyncio.get_running_loop().create_task(self._poll(), name="streamflow-watch")
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
            return True
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Stop asking; those who wait run into their timeouts."""
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        while self._waiting:
            if self._look():
                self._wake()
            else:
                self._pause = min(self._pause * _GROWTH, self._longest)
            await asyncio.sleep(self._pause)
        self._poller = None

    def _look(self) -> bool:
        try:
            found = self._ask()
        except LogError:
            return True  # whoever is woken asks the log itself, and gets the error
        changed, self._last = found != self._last, found
        return changed

    def _wake(self) -> None:
        self.version += 1
        self._pause = self._shortest
        self._news.set()
        self._news = asyncio.Event()
