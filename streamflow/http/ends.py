"""Where partitions end, looked up for all who wait for more at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Generator, Iterable, Mapping

from streamflow.errors import LogError
from streamflow.log.contract import Log
from streamflow.record import TopicPartition

LOOK = 0.1
"""Seconds between two looks."""


class Ends:
    """Looks while somebody is `watching`, once for all of them."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._wanted: Counter[TopicPartition] = Counter()
        self._ends: dict[TopicPartition, int] = {}
        self._news = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self, partitions: Iterable[TopicPartition]) -> Generator[None]:
        """Have these looked after."""
        mine = list(partitions)
        self._wanted.update(mine)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        try:
            yield
        finally:
            self._wanted.subtract(mine)
            self._wanted += Counter()  # without those that nobody wants
            if not self._wanted:
                self._looking.cancel()
                self._ends.clear()

    async def beyond(
        self, positions: Mapping[TopicPartition, int], timeout: float, or_when: asyncio.Event
    ) -> list[TopicPartition]:
        """The partitions that go on behind these positions, as soon as there are any; none after ``timeout`` seconds or
        when the event comes."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + timeout
        while not or_when.is_set():
            if more := [tp for tp, at in positions.items() if self._ends.get(tp, -1) > at]:
                return more
            left = latest - loop.time()
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(left, 1.0))
        return []

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(LogError):  # it may be there again in a moment; who reads meanwhile is told
                found = await self._log.offsets(list(self._wanted))
                ends = {tp: each.end for tp, each in found.items()}
                if ends != self._ends:
                    self._ends = ends
                    self._news.set()
                    self._news = asyncio.Event()
            await asyncio.sleep(LOOK)
