"""A worker's place in its group on Kafka: the classic group protocol, used so that nobody stops for a rebalance.

    out --join--> joining --JoinGroup, SyncGroup--> settled --heartbeat: all is well--+
                     ^                                | ^                             |
                     |   something new to tell, or    | +-----------------------------+
                     +---the coordinator wants it-----+
    any --unknown to the coordinator--> lost

One background task does all of it, and processing goes on meanwhile. What a member holds (claimed and not let go) it
tells whenever it joins, so the leader of each generation knows who holds what and gives a task free only when nobody
does (`sharing.py`). That is exact because nothing is claimed while a join is under way: what is claimed in a generation
is told in the next one, and there is no next one without the member, unless it was put out; then its id is refused.

A new generation is noticed by heartbeats alone, so they are frequent: a rebalance takes as long as the slowest member
needs to notice it. While tasks change hands they are more frequent still, for then another generation is near.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamflow.errors import LogError, LogUnavailable
from streamflow.log.contract import NO_COPIES, Assignment, Copies, Member
from streamflow.log.kafka.coordinator import (
    PATIENCE,
    Coordinator,
    Described,
    Dialer,
    Joined,
    Named,
    NotMember,
    OtherGeneration,
    Rebalancing,
)
from streamflow.log.kafka.sharing import Given, Told, decode, encode, share_out
from streamflow.log.trouble import Trouble

HEARTBEAT = 0.5  # seconds; shorter where the session is short
HURRY = 0.1  # between two heartbeats while tasks change hands
GATHER = 0.05  # what is to be told waits so long for more of it
UNHEARD = 2.0  # seconds after which a join that the coordinator is not waiting on is made again
BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0)
LEAVING = 1.5  # seconds for a farewell

_NOBODY = Assignment(0, frozenset(), frozenset())
_logger = logging.getLogger("streamflow.log")


@dataclass(frozen=True)
class _News:
    """What the worker told last: see `Membership.join`."""

    tasks: Mapping[str, int] = field(default_factory=dict[str, int])
    address: str = ""
    holding: Mapping[str, int] = field(default_factory=dict[str, int])
    copies: Copies = NO_COPIES


class KafkaMembership:
    """See `streamflow.log.contract.Membership`. Timeouts in seconds."""

    def __init__(
        self,
        dialer: Dialer,
        group: str,
        session_timeout: float,
        revocation_timeout: float = 30.0,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.member_id = entropy(6).hex()
        self.rebalances = 0
        self._entropy = entropy
        self._dialer = dialer
        self._group = group
        self._session_timeout = session_timeout
        self._revocation_timeout = revocation_timeout
        self._heartbeat = min(HEARTBEAT, session_timeout / 6)
        self._coordinator = self._new_coordinator()
        self._identity = ("", -1)
        self._name = ""  # the coordinator's name of this member
        self._generation = -1
        self._news = _News()
        self._claims: frozenset[str] = frozenset()
        self._warm: frozenset[str] = frozenset()
        self._given = Given()
        self._awaited: dict[str, float] = {}  # task that another member still holds -> since when
        self._assignment = _NOBODY
        self._members: list[Member] | None = None
        self._joining = False  # from when a join is sent until its outcome is known nothing is claimed
        self._version = self._told_version = 0  # of what there is to tell, and of what the group knows
        self._stale = False  # the coordinator waits for us to join
        self._kick = asyncio.Event()
        self._changed = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._failure: LogError | None = None
        self._trouble: LogUnavailable | None = None
        self._lasting = Trouble(_logger, lambda: asyncio.get_running_loop().time())

    # --- the contract

    async def join(
        self, tasks: Mapping[str, int], address: str, holding: Mapping[str, int], copies: Copies = NO_COPIES
    ) -> None:
        """See `Membership.join`. Waits for the group a few seconds at most: it may wait for a member that has died."""
        if self._assignment.lost:
            self._begin_anew()
        if self._failure is not None:
            raise self._failure
        news = _News(dict(tasks), address, dict(holding), copies)
        if news != self._news or not self._version:
            self._news = news
            self._tell_group()
        wanted = self._version
        if self._life is None:
            self._life = asyncio.get_running_loop().create_task(
                self._live(), name=f"streamflow-member-{self.member_id}"
            )
        await self._until(lambda: self._told_version >= wanted or self._assignment.lost, PATIENCE)
        if self._generation < 0 and self._trouble is not None:
            raise self._trouble

    def assignment(self) -> Assignment:
        return self._assignment

    def identity(self) -> tuple[str, int]:
        """The coordinator's name of this member and its generation, as TxnOffsetCommit wants them.

        One that was put out still goes by its old name, which is refused; ``("", -1)``, before the first join, is not.
        """
        return self._identity

    async def newer(self, than: tuple[str, int], timeout: float) -> tuple[str, int]:
        """The identity, as soon as it is another one: for whoever was told that ``than`` is not the group's newest."""
        self._kick.set()
        await self._until(lambda: self.identity() != than, timeout)
        return self.identity()

    async def changed(self, seen: Assignment, timeout: float) -> Assignment:
        await self._until(lambda: self._assignment != seen, timeout)
        return self._assignment

    async def claim(self, tasks: frozenset[str]) -> frozenset[str]:
        if self._generation < 0 or self._joining:
            return frozenset()
        generation = self._generation
        if not await self._ask() or self._joining or self._generation != generation:
            return frozenset()
        had = tasks & self._assignment.free
        self._claims |= had
        return had

    async def release(self, tasks: frozenset[str]) -> None:
        if self._claims & tasks:
            self._claims -= tasks
            self._tell_group()

    async def warm(self, tasks: frozenset[str]) -> None:
        new, self._warm = tasks - self._warm, tasks
        if new & frozenset(self._given.warming):  # all else is told with the next join, whoever causes it
            self._tell_group()

    async def confirm(self) -> bool:
        return self._generation >= 0 and await self._ask() and not self._claims & frozenset(self._given.passed)

    async def members(self) -> list[Member]:
        """As the coordinator knows them; while the group is not settled, as they were before."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while True:
            state, found = await self._coordinator.describe()
            if state in ("Stable", "Empty", "Dead"):
                self._members = sorted(map(_member, found), key=lambda member: member.id)
                return self._members
            if self._members is not None:
                return self._members
            if loop.time() > deadline:
                raise LogUnavailable(f"the group {self._group!r} is still busy with a rebalance; it is {state}")
            await asyncio.sleep(HURRY)

    async def leave(self) -> None:
        await self._stop()
        name, self._name, self._generation = self._name, "", -1
        self._claims, self._warm, self._given, self._assignment = frozenset(), frozenset(), Given(), _NOBODY
        self._version = self._told_version = 0
        self._joining = self._stale = False
        try:
            if name:
                await self._coordinator.leave(name, LEAVING)
        finally:
            self._coordinator.close()
            self._wake()

    def abandon(self) -> None:
        """Vanish without a word, as a killed process does."""
        if self._life is not None:
            self._life.cancel()
            self._life = None
        self._coordinator.close()

    # --- one life in the group

    async def _live(self) -> None:
        """Join, show signs of life, join again; until lost, or refused for good."""
        attempt = 0
        while not self._assignment.lost and self._failure is None:
            try:
                if self._stale or self._generation < 0:
                    await self._rejoin()
                elif self._version != self._told_version:
                    await asyncio.sleep(GATHER)  # tasks are often let go within moments: one rebalance for all
                    await self._rejoin()
                else:
                    await self._beat()
                attempt, self._trouble = 0, None
            except NotMember:
                self._lose()
                await self._rest(BACKOFF[min(attempt, len(BACKOFF) - 1)])
                attempt += 1
            except LogUnavailable as error:
                self._say(error)
                await self._rest(BACKOFF[min(attempt, len(BACKOFF) - 1)])
                attempt += 1
            except LogError as error:
                self._failure = error
                self._wake()
            except Exception as error:  # a task of its own has nobody else to tell
                _logger.exception("group %r: member %s failed", self._group, self.member_id)
                self._failure = LogError(f"the group {self._group!r} cannot be followed: {error!r}")
                self._wake()

    async def _beat(self) -> None:
        """Rest until the next sign of life is due (or there is something to tell), and give it."""
        await self._rest(HURRY if self._given.moving else self._heartbeat)
        self._count_waits()
        if self._version == self._told_version and not self._stale:
            await self._ask_group()

    async def _rejoin(self) -> None:
        """Take part in the next generation."""
        self._stale = False
        version = self._version
        told = encode(self._told())
        self._joining = True
        if not self._name:
            try:
                await self._coordinator.join("", told)
            except Named as named:
                self._name, self._trouble = named.member, None
        joined = await self._join_watched(told)
        self._generation = joined.generation
        self._identity = self._name, joined.generation
        self._wake()  # who waits for the group's newest generation has it before the tasks are shared out
        given: dict[str, bytes] = {}
        try:
            if joined.told is not None:
                members = {name: _decoded(data) for name, data in joined.told.items()}
                given = {name: encode(one) for name, one in share_out(members).items()}
            mine = await self._coordinator.sync(self._name, joined.generation, sorted(given.items()))
        except (Rebalancing, OtherGeneration):
            self._stale = True
            return
        self._settle(decode(mine, Given) if mine else Given(), version)

    async def _join_watched(self, told: bytes) -> Joined:
        """Join, and ask on the other line whether the coordinator waits for that: a join may be lost unnoticed."""
        loop = asyncio.get_running_loop()
        join = loop.create_task(self._coordinator.join(self._name, told))
        join.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be there to hear it
        unheard = loop.time()
        try:
            while not (await asyncio.wait((join,), timeout=self._heartbeat))[0]:
                try:
                    await self._coordinator.beat(self._name, self._generation)
                except Rebalancing:
                    unheard = loop.time()
                except (OtherGeneration, LogUnavailable):
                    pass
                if loop.time() - unheard > UNHEARD and self._generation >= 0:
                    raise LogUnavailable("the answer to a join was lost")
            return join.result()
        finally:
            if not join.done():
                join.cancel()
                self._coordinator.forget_join()

    def _told(self) -> Told:
        return Told(
            id=self.member_id,
            address=self._news.address,
            tasks=dict(sorted(self._news.tasks.items())),
            state=dict(sorted(self._news.holding.items())),
            holds=sorted(self._claims),
            meant=self._given.belongs,
            generation=self._assignment.generation,
            overdue=sorted(self._overdue()),
            wanted=dict(sorted(self._news.copies.wanted.items())),
            home=self._news.copies.home,
            warm=sorted(self._warm),
            follows=self._given.standbys,
        )

    def _settle(self, given: Given, version: int) -> None:
        self._given = given
        self._told_version = version
        self._joining = False
        self.rebalances += 1
        now = asyncio.get_running_loop().time()
        waiting = set(given.tasks) - set(given.free)
        self._awaited = {task: self._awaited.get(task, now) for task in waiting}
        self._assignment = Assignment(
            self._generation, frozenset(given.tasks), frozenset(given.free), standbys=frozenset(given.standbys)
        )
        self._wake()

    def _count_waits(self) -> None:
        """When a task was waited for long enough, the group is told so."""
        if self._overdue() - frozenset(self._given.free) and self._version == self._told_version:
            self._tell_group()

    def _overdue(self) -> frozenset[str]:
        """Tasks whose holder had its time to let go."""
        limit = asyncio.get_running_loop().time() - self._revocation_timeout
        return frozenset(task for task, since in self._awaited.items() if since <= limit)

    async def _ask(self) -> bool:
        """Whether the coordinator knows this member; what else it says is seen to in the background."""
        try:
            await self._ask_group()
        except NotMember:
            self._lose()
        return not self._assignment.lost

    async def _ask_group(self) -> None:
        try:
            await self._coordinator.beat(self._name, self._generation, min(PATIENCE, self._session_timeout / 2))
        except (Rebalancing, OtherGeneration):
            if not self._joining:
                self._stale = True
                self._kick.set()
        self._lasting.over(f"group {self._group!r} answers again, after %.0f s")

    def _tell_group(self) -> None:
        self._version += 1
        self._kick.set()

    def _lose(self) -> None:
        if self._generation < 0:  # its name was forgotten before it was used
            self._name = ""
            return
        _logger.warning("group %r: member %s was put out", self._group, self.member_id)
        if self._life is not None and self._life is not asyncio.current_task():
            self._life.cancel()
        self._assignment = Assignment(self._generation, frozenset(), frozenset(), lost=True)
        self._claims = frozenset()
        self._name, self._generation = "", -1
        self._wake()

    def _begin_anew(self) -> None:
        """As a new member, with nothing but a new name."""
        self.abandon()
        self.member_id = self._entropy(6).hex()
        self._coordinator = self._new_coordinator()
        self._given, self._assignment, self._warm = Given(), _NOBODY, frozenset()
        self._awaited.clear()
        self._joining = self._stale = False
        self._version = self._told_version = 0

    def _new_coordinator(self) -> Coordinator:
        # The coordinator makes the member's name out of the client's, which it shows even in the midst of a rebalance.
        return Coordinator(self._dialer, self._group, f"{self._group}-{self.member_id}", self._session_timeout)

    # --- waiting

    async def _until(self, state: Callable[[], bool], timeout: float) -> None:
        """Wait for a state, or not longer than that."""
        try:
            async with asyncio.timeout(timeout):
                while not state() and self._failure is None:
                    await self._changed.wait()
        except TimeoutError:
            pass
        if self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._kick.wait()
        except TimeoutError:
            pass
        self._kick.clear()

    async def _stop(self) -> None:
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    def _say(self, trouble: LogUnavailable) -> None:
        self._trouble = trouble
        self._lasting.say(
            "group %r: member %s: %s; trying again until it answers", self._group, self.member_id, trouble
        )


async def put_out(dialer: Dialer, group: str, member_id: str) -> None:
    """Take a member that is known to be dead out of its group, so that nobody waits for its session to end."""
    coordinator = Coordinator(dialer, group, f"{group}-for-{member_id}", PATIENCE)
    try:
        _, found = await coordinator.describe()
        for member in found:
            if member.client_id == f"{group}-{member_id}":
                await coordinator.leave(member.member, PATIENCE)
    finally:
        coordinator.close()


def _decoded(data: bytes) -> Told:
    """What a member told; one that cannot be understood gets no task."""
    try:
        return decode(data, Told)
    except ValueError as error:
        _logger.error("a member of the group cannot be understood: %s", error)
        return Told("")


def _member(found: Described) -> Member:
    try:
        told = decode(found.told, Told)
        given = decode(found.given, Given) if found.given else Given()
        return Member(told.id, told.address, frozenset(given.holds), frozenset(given.standbys))
    except ValueError:
        return Member(found.member, "", frozenset())
