"""A member's two lines to the broker that coordinates its group, and the five requests it makes there.

The broker answers a connection's requests in order, and JoinGroup only when every member has joined. So there is a
line for joining and one for everything else, and neither is shared with commits or fetches.

Every call has a deadline. What goes wrong for now (no connection, no answer, a coordinator that moves or loads, a code
nobody knows) is `LogUnavailable`, and the next call looks the coordinator up again. What a group answers on purpose
has an exception of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
)

from streamflow.errors import LogError, LogUnavailable
from streamflow.log.kafka import wire
from streamflow.log.kafka.sharing import PROTOCOL, PROTOCOL_TYPE
from streamflow.log.trouble import said

DYNAMIC: Any = None  # no group.instance.id: a restart is a new member, and the dead are put out
PATIENCE = 5.0  # seconds for an answer that waits for nobody

_OK, _LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR = 0, 14, 15, 16
_ILLEGAL_GENERATION, _INCONSISTENT_PROTOCOL, _INVALID_GROUP, _UNKNOWN_MEMBER = 22, 23, 24, 25
_INVALID_SESSION_TIMEOUT, _REBALANCE_IN_PROGRESS, _GROUP_DENIED = 26, 27, 30
_MEMBER_ID_REQUIRED, _GROUP_FULL, _FENCED_INSTANCE = 79, 81, 82

_FATAL = {
    _INCONSISTENT_PROTOCOL: "the group {group!r} belongs to another kind of program (a consumer, Kafka Streams, or "
    "another version of streamflow); stop that, or give the app another id",
    _INVALID_GROUP: "{group!r} is no name for a group; give the app another id",
    _INVALID_SESSION_TIMEOUT: "the broker does not allow a session of {session:g} s; see its settings "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    _GROUP_DENIED: "not allowed to use the group {group!r}; it takes the right READ on the group",
    _GROUP_FULL: "the group {group!r} has as many members as the broker's group.max.size allows",
}
_WORDS = {
    _LOADING: "the group's coordinator is loading",
    _NOT_AVAILABLE: "the group has no coordinator yet",
    _NOT_COORDINATOR: "the group's coordinator has moved",
}


class NotMember(Exception):
    """The coordinator does not know the member (any more)."""


class Named(Exception):
    """The coordinator has a name for a new member, which joins with that."""

    def __init__(self, member: str) -> None:
        super().__init__(member)
        self.member = member


class OtherGeneration(Exception):
    """A member, but the group is in another generation."""


class Rebalancing(Exception):
    """A member, and the coordinator waits for it to join again."""


@dataclass(frozen=True)
class Joined:
    """A generation and, for its leader only, what every member told."""

    member: str
    generation: int
    told: dict[str, bytes] | None


@dataclass(frozen=True)
class Described:
    """A member as the coordinator shows it; ``told`` and ``given`` are empty while the group is not settled."""

    member: str
    client_id: str
    told: bytes
    given: bytes


class Connection(Protocol):
    """One connection to one broker, as aiokafka has it."""

    def send(self, request: Any) -> Any: ...

    def close(self) -> Any: ...

    def connected(self) -> bool: ...


class Dialer(Protocol):
    """How connections are made: where the brokers are, and how they want to be spoken to."""

    def brokers(self) -> Sequence[tuple[str, int]]:
        """Brokers that may be asked where the coordinator is."""
        ...

    async def dial(self, host: str, port: int, *, client_id: str, request_timeout: float) -> Connection:
        """A new connection. Its own time-out is only a last resort: callers have deadlines."""
        ...


class Coordinator:
    """Speaks for one member of one group. Timeouts in seconds."""

    def __init__(self, dialer: Dialer, group: str, client_id: str, session_timeout: float) -> None:
        self._group = group
        self._session = session_timeout
        self._finder = Finder(dialer, group, client_id, longest=session_timeout + 3 * PATIENCE)
        self._joining = Line(self._finder)
        self._other = Line(self._finder)

    async def join(self, member: str, told: bytes) -> Joined:
        """Wait with all other members for the next generation; a new member (``""``) gets a name first (`Named`).

        The others have as long as a session to join; who does not is put out.
        """
        session = int(self._session * 1000)
        request = JoinGroupRequest(self._group, session, session, member, DYNAMIC, PROTOCOL_TYPE, [(PROTOCOL, told)])
        answer = await self._joining.call(request, self._session + PATIENCE)
        if answer.error_code == _MEMBER_ID_REQUIRED:
            raise Named(answer.member_id)
        self._check(answer.error_code)
        leads = answer.leader_id == answer.member_id
        told_all = {id: bytes(data) for id, _, data in answer.members} if leads else None
        return Joined(answer.member_id, answer.generation_id, told_all)

    async def sync(self, member: str, generation: int, given: Iterable[tuple[str, bytes]]) -> bytes:
        """Hand in what the leader gives, and get one's own."""
        request = SyncGroupRequest(self._group, generation, member, DYNAMIC, list(given))
        answer = await self._joining.call(request, PATIENCE)
        self._check(answer.error_code)
        return bytes(answer.member_assignment)

    async def beat(self, member: str, generation: int, patience: float = PATIENCE) -> None:
        """Show a sign of life; says by an exception what the group wants."""
        answer = await self._other.call(HeartbeatRequest(self._group, generation, member), patience)
        self._check(answer.error_code)

    async def leave(self, member: str, patience: float) -> None:
        """Be a member no more, at once."""
        answer = await self._other.call(LeaveGroupRequest(self._group, member), patience)
        if answer.error_code != _UNKNOWN_MEMBER:
            self._check(answer.error_code)

    async def describe(self) -> tuple[str, list[Described]]:
        """State and members of the group, whoever asks."""
        answer = await self._other.call(DescribeGroupsRequest([self._group]), PATIENCE)
        code, _, state, *_, members = answer.groups[0][:6]
        self._check(code)
        return state, [Described(id, client, bytes(told), bytes(given)) for id, client, _, told, given in members]

    def forget_join(self) -> None:
        """Give up the join that is under way; its answer will not be had."""
        self._joining.close()

    def close(self) -> None:
        """Hang up."""
        self._joining.close()
        self._other.close()

    def _check(self, code: int) -> None:
        if code == _OK:
            return
        if code in (_UNKNOWN_MEMBER, _FENCED_INSTANCE):
            raise NotMember
        if code == _ILLEGAL_GENERATION:
            raise OtherGeneration
        if code == _REBALANCE_IN_PROGRESS:
            raise Rebalancing
        if code in _FATAL:
            raise LogError(_FATAL[code].format(group=self._group, session=self._session))
        self._finder.forget()
        raise LogUnavailable(_WORDS.get(code, f"the group's coordinator answered with error {code}"))


class Finder:
    """Knows where the coordinator is, until that turns out to be wrong."""

    def __init__(self, dialer: Dialer, group: str, client_id: str, longest: float) -> None:
        self._dialer = dialer
        self._group = group
        self._client_id = client_id
        self._longest = longest
        self.address: tuple[str, int] | None = None
        self._finding = asyncio.Lock()

    def forget(self) -> None:
        """Ask again the next time."""
        self.address = None

    async def connect(self) -> Connection:
        """A new connection to the coordinator."""
        async with self._finding:
            if self.address is None:
                self.address = await self._find()
            address = self.address
        return await self._dialer.dial(*address, client_id=self._client_id, request_timeout=self._longest)

    async def _find(self) -> tuple[str, int]:
        """Ask one broker after the other."""
        why: object = "no broker is known"
        for host, port in self._dialer.brokers():
            try:
                async with asyncio.timeout(PATIENCE / 2):
                    line = await self._dialer.dial(host, port, client_id=self._client_id, request_timeout=self._longest)
                    try:
                        answer = await wire.send(line, FindCoordinatorRequest(self._group, 0))
                    finally:
                        line.close()
            except (OSError, KafkaError, TimeoutError) as error:
                why = f"{host}:{port}: {said(error)}"
                continue
            if answer.error_code == _OK:
                return answer.host, answer.port
            if answer.error_code == _GROUP_DENIED:
                raise LogError(_FATAL[_GROUP_DENIED].format(group=self._group))
            why = _WORDS.get(answer.error_code, f"error {answer.error_code}")
        raise LogUnavailable(f"the coordinator of the group {self._group!r} is not found ({why})")


class Line:
    """One connection to the coordinator, made when it is needed and again when it breaks."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def call(self, request: Any, patience: float) -> Any:
        """The answer to a request. Whatever goes wrong costs the connection: a late answer must not be taken for another."""
        try:
            async with asyncio.timeout(patience):
                async with self._connecting:
                    if self._connection is None or not self._connection.connected():
                        self._connection = await self._finder.connect()
                connection = self._connection
                return await wire.send(connection, request)
        except LogError:
            self.close()
            raise
        except (OSError, KafkaError, TimeoutError) as error:
            self._broken(error, patience)

    def close(self) -> None:
        """Hang up; the next call dials anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _broken(self, error: Exception, patience: float) -> NoReturn:
        self.close()
        self._finder.forget()
        if isinstance(error, TimeoutError):
            raise LogUnavailable(f"the group's coordinator did not answer within {patience:g} s") from error
        raise LogUnavailable(f"the group's coordinator cannot be reached ({said(error)})") from error
