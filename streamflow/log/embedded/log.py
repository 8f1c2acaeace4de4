"""The embedded log itself: the `Log` contract over one folder, for the processes of one machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from weakref import WeakSet

from streamflow.clock import Clock, SystemClock
from streamflow.errors import LogError
from streamflow.log.contract import Commit, Doubtful, Fetched, Offsets, Outcome
from streamflow.log.embedded import catalog, commits, files, reading
from streamflow.log.embedded.access import Access
from streamflow.log.embedded.cleaning import delete_records
from streamflow.log.embedded.commits import Intent
from streamflow.log.embedded.control import Change
from streamflow.log.embedded.database import Database, OutcomeUnknown
from streamflow.log.embedded.housekeeper import Housekeeper
from streamflow.log.embedded.membership import EmbeddedMembership, living
from streamflow.log.embedded.runner import Runner, ThreadRunner
from streamflow.log.embedded.watch import Watch
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic, TopicInfo


class EmbeddedSession:
    """The right to commit for one task: an epoch, had by `init`."""

    def __init__(self, access: Access, group: str, task: str) -> None:
        self.group = group
        self.task = task
        self.epoch = 0
        self._access = access

    async def init(self) -> None:
        self.epoch = await self._access.write(commits.init, self.group, self.task)


class EmbeddedLog:
    """A folder with one SQLite file of Kafka v2 record batches; see `streamflow.log.contract.Log`.

    ``durability`` is ``"full"`` (what was committed survives a power cut) or ``"fast"`` (a power cut may take the last
    commits; `files.py` says what is synced when). ``runner`` runs all blocking work; without one, threads of the log's
    own. ``connect`` opens SQLite files and ``entropy`` makes random bytes, both for simulations. Times in seconds: a
    member that hangs is put out after ``session_timeout``, a task that is not let go of moves on after
    ``revocation_timeout``, and who cannot write for ``lock_timeout`` gets `LogUnavailable`.

    >>> import asyncio, tempfile
    >>> async def main(folder: str) -> list[str]:
    ...     log = EmbeddedLog(folder)
    ...     await log.start()
    ...     await log.create_topics([NewTopic("lines", 2)])
    ...     names = sorted(await log.topics())
    ...     await log.close()
    ...     return names
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(main(folder))
    ['lines']
    """

    loses_commits = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        runner: Runner | None = None,
        durability: files.Durability = "full",
        connect: files.Connect = sqlite3.connect,
        entropy: Callable[[int], bytes] = os.urandom,
        session_timeout: float = 10.0,
        revocation_timeout: float = 30.0,
        lock_timeout: float = 15.0,
        housekeeping_interval: float = 15.0,
    ) -> None:
        self.path = Path(path)
        self._database = Database(
            self.path, durability=durability, connect=connect, entropy=entropy, lock_timeout=lock_timeout
        )
        self._threads = [] if runner else [ThreadRunner(f"streamflow-{name}") for name in ("write", "read", "clean")]
        writing, reading, cleaning = [runner] * 3 if runner else self._threads
        watch = Watch(lambda: self._database.version("watch"))
        self._access = Access(self._database, clock or SystemClock(), entropy, writing, reading, cleaning, watch)
        self._housekeeper = Housekeeper(self._access, housekeeping_interval)
        self._timeouts = session_timeout, revocation_timeout
        self._memberships: WeakSet[EmbeddedMembership] = WeakSet()
        self._turn: TopicPartition | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        await self._access.writing.call(self._database.open)
        bell = await self._access.writing.call(self._database.listen) if self._threads else None
        if bell is not None and bell.fileno() >= 0:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(bell.fileno(), self._rung)
            self._access.watch.trust_bells()
        if not self._database.closed:
            self._housekeeper.start()

    async def close(self) -> None:
        self._housekeeper.stop()
        self._deafen()
        for membership in self._members():
            with contextlib.suppress(LogError):  # who cannot say goodbye is found to be gone
                await membership.leave()
        await self._access.close()
        for thread in self._threads:
            thread.stop()

    def abandon(self) -> None:
        """Forget everything at once, as a killed process does: no group is left, nothing is written."""
        self._database.refuse()
        self._housekeeper.stop()
        self._deafen()
        for membership in self._members():
            membership.abandon()
        self._access.abandon(self._threads)

    async def topics(self) -> dict[str, TopicInfo]:
        return await self._access.read(catalog.known)

    async def create_topics(self, topics: Sequence[NewTopic]) -> None:
        catalog.check_new(topics)
        ids = [self._access.entropy(8).hex() for _ in topics]
        await self._access.write(catalog.create, list(topics), ids)

    async def delete_topic(self, name: str) -> None:
        for partition in await self._access.write(catalog.delete, name):
            await self._housekeeper.sweep(partition)

    async def fetch(
        self, positions: Mapping[TopicPartition, int], *, max_bytes: int, max_wait: float
    ) -> dict[TopicPartition, Fetched]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max_wait
        while True:
            seen = self._access.watch.version
            found, self._turn = await self._access.read(reading.fetch, positions, max_bytes, self._turn)
            left = deadline - loop.time()
            if found or left <= 0 or not await self._access.watch.wait(seen, left):
                return found

    async def offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Offsets]:
        return await self._access.read(catalog.offsets, partitions)

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        return await self._access.read(reading.offset_at, partition, timestamp_ms)

    async def append(self, batches: Mapping[TopicPartition, Sequence[bytes]]) -> dict[TopicPartition, int]:
        now = self._access.clock.now_ms()
        places = await self._access.writing.call(self._append, batches, now)
        self._written()
        return {at: first for at, (first, _) in places.items()}

    async def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._access.read(catalog.committed, group, partitions)

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        await self._access.write(_set_committed, group, offsets, self.path / files.MEMBERS)

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        for partition in await self._access.write(delete_records, before):
            await self._housekeeper.sweep(partition)

    def session(self, group: str, task: str) -> EmbeddedSession:
        return EmbeddedSession(self._access, group, task)

    async def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        intents = [_intent(commit) for commit in commits]
        try:
            return await self._access.writing.call(self._commit, intents, self._access.clock.now_ms())
        except OutcomeUnknown as error:
            return [Doubtful(str(error))] * len(intents)
        finally:
            self._written()

    async def commit_id(self, group: str, task: str, commit_seq: int) -> bytes | None:
        return await self._access.read(commits.commit_id, group, task, commit_seq)

    async def last_commit(self, group: str, task: str) -> tuple[int, bytes] | None:
        return await self._access.read(commits.last_commit, group, task)

    def membership(self, group: str) -> EmbeddedMembership:
        membership = EmbeddedMembership(self._access, group, *self._timeouts)
        self._memberships.add(membership)
        return membership

    async def put_out(self, group: str, member_id: str) -> None:
        """Nothing to do: every member sees at once that the lock of a dead one is free."""

    async def tidy(self) -> None:
        """Do at once, and thoroughly, what is done in the background now and then: retention and compaction."""
        await self._housekeeper.tidy(True)

    def _members(self) -> list[EmbeddedMembership]:
        return sorted(self._memberships, key=lambda membership: membership.member_id)

    def _rung(self) -> None:
        if (bell := self._database.bell) is not None:
            bell.drain()
        self._access.watch.touch()

    def _deafen(self) -> None:
        if self._loop is not None and (bell := self._database.bell) is not None:
            self._loop.remove_reader(bell.fileno())
            self._loop = None

    def _append(self, batches: commits.Batches, now: int) -> commits.Places:
        for at, added in batches.items():
            if (reason := commits.flaw(at, added)) is not None:
                raise LogError(reason)
        return self._database.write(commits.append_checked, batches, now)

    def _commit(self, intents: Sequence[Intent], now: int) -> list[Outcome]:
        commits.inspect(intents)
        return self._database.write(commits.apply, intents, now)

    def _written(self) -> None:
        self._access.watch.touch()
        self._housekeeper.wrote()


def _intent(commit: Commit) -> Intent:
    session = commit.session
    if not isinstance(session, EmbeddedSession):
        raise TypeError(f"task {session.task!r}: its session is not one of this log")
    return Intent(commit, session.group, session.epoch)


def _set_committed(change: Change, group: str, offsets: Mapping[TopicPartition, int], members: Path) -> None:
    if there := living(change, group, members):
        raise LogError(f"group {group!r} has {len(there)} running workers; stop them before its offsets are moved")
    catalog.set_committed(change, group, offsets)
