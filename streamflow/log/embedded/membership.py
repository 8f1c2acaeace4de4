"""A worker's place in its group: its lock, its heartbeat, and an eye on the others.

Each member holds a file lock for its life, so whoever tries it knows at once
that a process is gone. A process that is stopped or hangs keeps its lock; it is
found by its heartbeat, a number in the locked file that no longer grows. Every
member counts for how long *it* saw a number stand still, by its own event loop,
so no clocks are compared, and a sleep of the watcher itself hardly counts.
Whoever finds a member gone puts it out and assigns its tasks, in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from streamflow.errors import LogCorrupt, LogError
from streamflow.log.contract import NO_COPIES, Assignment, Copies, Member
from streamflow.log.embedded import files, groups
from streamflow.log.embedded.access import Access
from streamflow.log.embedded.control import Change, View
from streamflow.log.embedded.groups import GROUP, GroupRow, MemberRow
from streamflow.log.embedded.lock import MemberLock, heartbeat

_LOOK = 0.2  # seconds between two looks at the others
_REST = 0.02  # and at least this long, however much is committed
_MOST_COUNTED = 1.0  # of the time between two looks: a watcher that slept has seen nothing

_NOBODY = Assignment(0, frozenset(), frozenset())
_logger = logging.getLogger("streamflow.log")


class EmbeddedMembership:
    """See `streamflow.log.contract.Membership`. Timeouts in seconds."""

    def __init__(self, access: Access, group: str, session_timeout: float, revocation_timeout: float) -> None:
        self.member_id = access.entropy(6).hex()
        self._access = access
        self._group = group
        self._session_timeout = session_timeout
        self._revocation_timeout = revocation_timeout
        self._folder = access.database.folder / files.MEMBERS
        self._lock: MemberLock | None = None
        self._assignment = _NOBODY
        self._claims: frozenset[str] = frozenset()
        self._awaited: dict[str, float] = {}
        self._still: dict[str, tuple[int, float]] = {}  # member -> its heartbeat, and for how long it has stood still
        self._looked = 0.0
        self._news = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._failure: LogError | None = None

    async def join(
        self, tasks: Mapping[str, int], address: str, holding: Mapping[str, int], copies: Copies = NO_COPIES
    ) -> None:
        if self._assignment.lost:
            await self._forget()
            self.member_id = self._access.entropy(6).hex()
        if self._lock is None:
            self._lock = await self._access.reading.call(MemberLock, _path(self._folder, self.member_id))
        sorted_ones = [dict(sorted(one.items())) for one in (tasks, holding, copies.wanted)]
        member = MemberRow(address, sorted_ones[0], sorted_ones[1], sorted_ones[2], copies.home)
        try:
            self._know(await self._access.write(_join, self._group, self.member_id, member, self._folder))
        except files.LogClosed:
            self.abandon()
            raise
        if self._follower is None:
            loop = asyncio.get_running_loop()
            self._looked = loop.time()
            self._follower = loop.create_task(self._follow(), name=f"streamflow-member-{self.member_id}")

    def assignment(self) -> Assignment:
        return self._assignment

    async def changed(self, seen: Assignment, timeout: float) -> Assignment:
        try:
            async with asyncio.timeout(timeout):
                while self._assignment == seen and self._failure is None:
                    await self._news.wait()
        except TimeoutError:
            pass
        if self._failure is not None:
            raise self._failure
        return self._assignment

    async def claim(self, tasks: frozenset[str]) -> frozenset[str]:
        overdue = self._overdue()
        had, group = await self._access.write(_claim, self._group, self.member_id, tasks, overdue)
        self._claims |= had
        self._know(group)
        return had

    async def release(self, tasks: frozenset[str]) -> None:
        self._claims -= tasks
        self._know(await self._access.write(_release, self._group, self.member_id, tasks))

    async def warm(self, tasks: frozenset[str]) -> None:
        self._know(await self._access.write(_warm, self._group, self.member_id, tasks))

    async def confirm(self) -> bool:
        group = await self._access.read(_group, self._group)
        self._know(group)
        return self._lock is not None and groups.holds(group, self.member_id, self._claims)

    async def members(self) -> list[Member]:
        return await self._access.read(living, self._group, self._folder)

    async def leave(self) -> None:
        if self._lock is None:
            return
        self._stop()
        try:
            await self._access.write(_drop, self._group, {self.member_id: None}, self._folder, self.member_id)
        finally:
            await self._forget()
            self._assignment = _NOBODY

    def abandon(self) -> None:
        """Vanish without a word, as a killed process does."""
        self._stop()
        if self._lock is not None:
            self._lock.drop()
            self._lock = None

    async def _forget(self) -> None:
        self._stop()
        lock, self._lock = self._lock, None
        self._claims = frozenset()
        self._awaited.clear()
        if lock is not None:
            await self._access.reading.call(lock.leave)

    def _stop(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            self._follower = None

    async def _follow(self) -> None:
        """For life: show the own heartbeat, learn the assignment, and put out those who are gone."""
        watch = self._access.watch
        while not self._assignment.lost:
            seen = watch.version
            await asyncio.sleep(_REST)
            await watch.wait(seen, _LOOK)
            try:
                await self._look()
            except (LogCorrupt, files.LogClosed) as error:
                self._failure = error
                self._tell()
                return
            except LogError as error:
                _logger.warning("group %r: member %s cannot look around: %s", self._group, self.member_id, error)
                await asyncio.sleep(_LOOK)

    async def _look(self) -> None:
        group, beats = await self._access.reading.call(self._access.database.read, "read", self._observe)
        gone = self._count(beats)
        if gone and self.member_id in group.members:
            group = await self._access.write(_drop, self._group, gone, self._folder, None)
        self._know(group)

    def _observe(self, view: View) -> tuple[GroupRow, dict[str, int | None]]:
        if (lock := self._lock) is not None:
            lock.beat()
        group = _group(view, self._group)
        return group, {id: heartbeat(_path(self._folder, id)) for id in group.members if id != self.member_id}

    def _count(self, beats: Mapping[str, int | None]) -> dict[str, int | None]:
        """Who is gone: no lock, or the same heartbeat for a whole session timeout of our own looking."""
        now = asyncio.get_running_loop().time()
        passed, self._looked = min(now - self._looked, _MOST_COUNTED), now
        still: dict[str, tuple[int, float]] = {}
        gone: dict[str, int | None] = {}
        for id, beat in beats.items():
            if beat is None:
                gone[id] = None
                continue
            last, stood = self._still.get(id, (-1, 0.0))
            still[id] = beat, stood + passed if beat == last else 0.0
            if still[id][1] >= self._session_timeout:
                gone[id] = beat
        self._still = still
        return gone

    def _know(self, group: GroupRow) -> None:
        """Take note of the group as it is now."""
        waiting = groups.awaited(group, self.member_id)
        now = asyncio.get_running_loop().time()
        self._awaited = {task: self._awaited.get(task, now) for task in waiting}
        new = groups.assignment(group, self.member_id, self._overdue())
        if new != self._assignment:
            self._assignment = new
            self._tell()

    def _overdue(self) -> frozenset[str]:
        """Tasks whose former holder had its time to let go."""
        limit = asyncio.get_running_loop().time() - self._revocation_timeout
        return frozenset(task for task, since in self._awaited.items() if since <= limit)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def living(view: View, group: str, folder: Path) -> list[Member]:
    """The members of a group whose processes run."""
    return [member for member in groups.members(_group(view, group)) if heartbeat(_path(folder, member.id)) is not None]


def _path(folder: Path, id: str) -> Path:
    return folder / f"{id}.lock"


def _group(view: View, name: str) -> GroupRow:
    return view.get(GROUP, name) or GroupRow()


def _join(change: Change, name: str, id: str, member: MemberRow, folder: Path) -> GroupRow:
    group = _group(change, name)
    _bury(group, {other: None for other in group.members if other != id}, folder, None)
    groups.join(group, id, member)
    change.put(GROUP, group, name)
    return group


def _drop(change: Change, name: str, gone: Mapping[str, int | None], folder: Path, leaving: str | None) -> GroupRow:
    group = _group(change, name)
    _bury(group, gone, folder, leaving)
    change.put(GROUP, group, name)
    return group


def _bury(group: GroupRow, gone: Mapping[str, int | None], folder: Path, leaving: str | None) -> None:
    """Drop those who are still gone now that the group is ours alone; ``gone`` has the heartbeat they stopped at."""
    dead = [id for id, beat in gone.items() if id == leaving or heartbeat(_path(folder, id)) == beat]
    groups.drop(group, frozenset(dead))
    for id in dead:
        if id != leaving:
            _path(folder, id).unlink(missing_ok=True)


def _claim(
    change: Change, name: str, id: str, tasks: frozenset[str], overdue: frozenset[str]
) -> tuple[frozenset[str], GroupRow]:
    group = _group(change, name)
    had = groups.claim(group, id, tasks, overdue)
    change.put(GROUP, group, name)
    return had, group


def _warm(change: Change, name: str, id: str, tasks: frozenset[str]) -> GroupRow:
    group = _group(change, name)
    groups.warm(group, id, tasks)
    change.put(GROUP, group, name)
    return group


def _release(change: Change, name: str, id: str, tasks: frozenset[str]) -> GroupRow:
    group = _group(change, name)
    groups.release(group, id, tasks)
    change.put(GROUP, group, name)
    return group
