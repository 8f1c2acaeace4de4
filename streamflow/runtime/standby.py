"""Copies of the state of tasks that other workers run, kept fresh by following their changelogs.

    assigned --open, believed or made anew--> behind --read to within LAG of the end--> warm
                                                 |                                      |
                              promoted: the open stores become the active task's <------+

It is the same restore as recovery's, without an end: read committed, positions compared. So when a task moves here
its recovery has the last moments to restore and no more. One fetch serves all copies. A copy that cannot be kept
(damaged, a full disk, of another version of the script) is tried again later; it never stops the worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from streamflow.clock import Clock
from streamflow.errors import LogUnavailable, OffsetOutOfRange, StateError, StoreCorrupt, StreamflowError
from streamflow.log.contract import Fetched, Log, Offsets
from streamflow.record import TopicPartition
from streamflow.runtime.recovery import Place, absorb, open_stores
from streamflow.runtime.stores import OpenStore

logger = logging.getLogger("streamflow.standby")

LAG = 10_000  # changelog records that are a short replay
FETCH_BYTES = 1 << 20
FETCH_WAIT = 0.5
AGAIN = 0.2  # seconds until the log is asked again
LATER = 5.0  # seconds until a copy that cannot be kept is tried again


@dataclass
class Copy:
    """One task's state, and how far it is."""

    place: Place
    ends: dict[TopicPartition, Offsets] = field(default_factory=dict[TopicPartition, Offsets])
    warm: bool = False
    opened: bool = False
    not_before: float = 0.0
    trouble: str = ""

    @property
    def lag(self) -> int:
        """Changelog records (positions) that it lacks, as far as known."""
        return sum(self._lacks(tp, name) for name, tp in self.place.changelogs().items())

    @property
    def position(self) -> int:
        """How far its stores are, all of them together."""
        return sum(store.position for store in self.place.stores.values())

    def _lacks(self, tp: TopicPartition, store: str) -> int:
        found, end = self.place.stores.get(store), self.ends.get(tp)
        return 0 if end is None else max(0, end.end - (max(found.position, end.start) if found else 0))


class Standbys:
    """All copies that this worker keeps, by task name. ``place`` makes an empty one for a task, ``wake`` is called
    when another copy is warm: when it lacks at most ``near`` records (LAG)."""

    def __init__(
        self,
        group: str,
        log: Log,
        clock: Clock,
        open_store: OpenStore,
        place: Callable[[str], Place],
        wake: Callable[[], None],
        near: int | None = None,
    ) -> None:
        self.copies: dict[str, Copy] = {}
        self._group = group
        self._log = log
        self._clock = clock
        self._open_store = open_store
        self._place = place
        self._wake = wake
        self._near = near
        self._following: asyncio.Task[None] | None = None

    @property
    def warm(self) -> frozenset[str]:
        """The tasks that could go on here after a short replay."""
        return frozenset(name for name, copy in self.copies.items() if copy.warm)

    async def follow(self, names: frozenset[str]) -> None:
        """Keep copies of these tasks, and of no others."""
        if names == self.copies.keys():
            return
        await self._stop()
        for name in self.copies.keys() - names:
            self.copies.pop(name).place.close(self._clock.now_ms())
        self.add(names)
        self._go_on()

    def add(self, names: frozenset[str]) -> None:
        """Keep copies of these tasks, too."""
        for name in sorted(names - self.copies.keys()):
            self.copies[name] = Copy(self._place(name))

    async def give(self, name: str) -> Place | None:
        """The copy of a task that is to run here, with its stores open; it is no copy any more."""
        if name not in self.copies:
            return None
        await self._stop()
        place = self.copies.pop(name).place
        self._go_on()
        return place

    async def close(self) -> None:
        """Write down and close every copy."""
        await self.follow(frozenset())

    # Whoever changes the copies stops the follower first. It may be stopped anywhere: what it has put into a store
    # is there with its position.

    async def _stop(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _go_on(self) -> None:
        if self.copies:
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            try:
                if not await self.read_on(FETCH_WAIT):
                    await asyncio.sleep(FETCH_WAIT)
                for copy in self.copies.values():
                    self._look_at(copy)
            except LogUnavailable as error:
                logger.info("standbys wait for the log: %s", error)
                await asyncio.sleep(AGAIN)
            except OffsetOutOfRange:
                self._look_again()
            except Exception:  # it has nobody to tell, and a worker does not end because of its copies
                logger.exception("standbys could not be followed; trying again")
                await asyncio.sleep(LATER)

    async def read_on(self, wait: float) -> bool:
        """Open what is not open yet, and take what one fetch brings; False if there is nothing to read for."""
        for copy in list(self.copies.values()):
            if not copy.opened and self._clock.monotonic() >= copy.not_before:
                await self._open(copy)
        return await self._read(wait)

    async def _open(self, copy: Copy) -> None:
        try:
            copy.ends = await open_stores(copy.place, self._group, self._log, self._open_store)
        except LogUnavailable:
            raise
        except StreamflowError as error:
            self._put_off(copy, error)
            return
        copy.opened = True
        progress = copy.place.progress
        progress.started, progress.total = self._clock.monotonic(), copy.lag
        self._look_at(copy)

    async def _read(self, wait: float) -> bool:
        """One fetch for all copies; False if there is none to read for."""
        where = {
            tp: (copy, name)
            for copy in self.copies.values()
            if copy.opened
            for name, tp in copy.place.changelogs().items()
        }
        positions = {
            tp: max(copy.place.stores[name].position, copy.ends[tp].start) for tp, (copy, name) in where.items()
        }
        if not positions:
            return False
        fetched = await self._log.fetch(positions, max_bytes=FETCH_BYTES, max_wait=wait)
        for tp, got in fetched.items():
            copy, name = where[tp]
            if copy.opened:
                await self._take(copy, name, tp, positions[tp], got)
        return True

    async def _take(self, copy: Copy, name: str, tp: TopicPartition, since: int, got: Fetched) -> None:
        """Put what was fetched into a copy's store."""
        # Asked after the fetch: what was fetched is of this commit or an older one.
        newest = await self._log.last_commit(self._group, copy.place.name)
        store = copy.place.stores[name]
        if newest is not None:
            store.vouch(*newest)
        try:
            async for rows in absorb(store, got, since):
                copy.place.progress.restored += rows
        except StoreCorrupt as error:
            copy.place.damage(error)
            self._put_off(copy, error)
            return
        except StateError as error:
            self._put_off(copy, error)
            return
        copy.ends[tp] = Offsets(got.start_offset, max(got.end_offset, got.next_offset))
        self._look_at(copy)

    def _look_at(self, copy: Copy) -> None:
        if not copy.opened:
            return
        copy.place.progress.left = copy.lag
        if not copy.warm and copy.lag <= (LAG if self._near is None else self._near):
            copy.warm, copy.trouble = True, ""
            self._wake()

    def _look_again(self) -> None:
        """A position is no longer in its changelog: whose it is is found out by opening the stores anew."""
        for copy in self.copies.values():
            copy.place.shut()
            copy.opened = copy.warm = False
        self._wake()

    def _put_off(self, copy: Copy, error: StreamflowError) -> None:
        copy.place.shut()
        copy.opened = copy.warm = False
        copy.not_before = self._clock.monotonic() + LATER
        if copy.trouble != str(error):
            copy.trouble = str(error)
            logger.warning("no standby of task %s for now: %s", copy.place.name, error)
        self._wake()
