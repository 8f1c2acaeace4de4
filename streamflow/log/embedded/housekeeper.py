"""What goes on behind the work: checkpoints, retention, compaction, forgetting old commit ids.

A checkpoint is due after so many bytes and is made by whoever wrote them. The
rest is looked for now and then by every process, and done by the one that gets
the lease, so that two do not compact the same partition; should they (the clock
jumped), `compaction.replace` leaves alone what the other has changed.
"""

from __future__ import annotations

import asyncio
import logging

from streamflow.errors import LogError
from streamflow.log.embedded import cleaning, commits, compaction
from streamflow.log.embedded.access import Access
from streamflow.log.embedded.cleaning import Chores
from streamflow.log.embedded.compaction import Job
from streamflow.log.embedded.control import LEASE, Change, LeaseRow, View
from streamflow.log.embedded.files import LogClosed

_LEASE_MS = 60_000
_logger = logging.getLogger("streamflow.log")


class Housekeeper:
    """Runs in the background of every open log. ``interval`` in seconds."""

    def __init__(self, access: Access, interval: float) -> None:
        self._access = access
        self._interval = interval
        self._me = access.entropy(6).hex()
        self._call = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="streamflow-housekeeping")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def wrote(self) -> None:
        """Something was written here; a checkpoint may be due."""
        if self._access.database.wants_checkpoint:
            self._call.set()

    async def tidy(self, everything: bool) -> None:
        """One round; ``everything`` compacts all that is dirty, however little, and asks for no lease."""
        access, now = self._access, self._access.clock.now_ms()
        todo, old, jobs = await access.study(_look, now, everything)
        if not (todo.starts or todo.sweep or old or jobs):
            return
        if not everything and not await access.write(_lease, self._me, now):
            return
        await self._retire(todo)
        if old:
            await access.write(commits.forget_ids, old)
        for job in jobs:
            await self._compact(job)

    async def sweep(self, partition: int) -> None:
        """Remove what lies before a partition's start, bit by bit."""
        while await self._access.write(cleaning.sweep, partition):
            await asyncio.sleep(0)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._call.wait()
            except TimeoutError:
                pass
            self._call.clear()
            try:
                if self._access.database.wants_checkpoint:
                    await self._access.writing.call(self._access.database.checkpoint)
                if loop.time() >= due:
                    due = loop.time() + self._interval
                    await self.tidy(False)
            except LogClosed:
                return
            except LogError as error:
                _logger.warning("housekeeping is put off: %s", error)
                due = loop.time() + self._interval

    async def _retire(self, todo: Chores) -> None:
        if todo.starts:
            await self._access.write(cleaning.advance, todo.starts)
        for partition in todo.sweep:
            await self.sweep(partition)

    async def _compact(self, job: Job) -> None:
        access = self._access
        while await access.study(compaction.survey, job, access.clock.now_ms()):
            await self._breathe()
        position = job.start
        while position < job.end:
            rewrites, position = await access.study(compaction.plan, job, position, access.clock.now_ms())
            if rewrites:
                await access.write(compaction.replace, job, rewrites)
            await self._breathe()
        await access.write(compaction.finish, job)

    async def _breathe(self) -> None:
        if self._access.database.wants_checkpoint:
            await self._access.writing.call(self._access.database.checkpoint)
        await asyncio.sleep(0)


def _look(view: View, now: int, everything: bool) -> tuple[Chores, list[int], list[Job]]:
    return cleaning.chores(view, now), commits.stale_ids(view, now), compaction.jobs(view, now, everything)


def _lease(change: Change, who: str, now: int) -> bool:
    lease = change.get(LEASE)
    # A lease further ahead than any is given for was written before the clock was set back.
    if lease is not None and lease.who != who and now < lease.until <= now + _LEASE_MS:
        return False
    change.put(LEASE, LeaseRow(who, now + _LEASE_MS))
    return True
