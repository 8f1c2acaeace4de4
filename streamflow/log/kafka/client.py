"""Brokers, connections and who leads what: what every part of the Kafka transport stands on.

The connection (framing, TLS, SASL, versions) is aiokafka's; metadata, the choice
of a connection and all deadlines are ours. Nothing here waits longer than it was
told to, also when the whole cluster is gone, and whatever goes wrong for now is
`LogUnavailable`.

A broker answers the requests of one connection in their order. So fetches, which
wait at the broker, have connections of their own, and so has the group's
membership (`dial`); all else shares a few per broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal

from aiokafka.conn import create_conn  # pyright: ignore[reportUnknownVariableType]
from aiokafka.errors import KafkaError
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.types import Int16

from streamflow.errors import LogError, LogUnavailable, UnknownTopic
from streamflow.log.kafka import codes, wire
from streamflow.log.kafka.security import Security
from streamflow.log.trouble import said
from streamflow.record import TopicPartition

logger = logging.getLogger("streamflow.kafka")

PATIENCE = 15.0  # seconds for one answer; a broker that needs longer is taken for gone
DIALING = 5.0
LANES = 4  # connections to one broker that requests share
STALE = 300.0  # seconds after which metadata are asked for though nothing was wrong with them
AGAIN = 0.05  # seconds between two looks at metadata that were wrong

Kind = Literal["group", "transaction"]


@dataclass(frozen=True)
class Leader:
    """The broker that leads a partition, in which epoch; -1 where nobody does."""

    node: int
    epoch: int


@dataclass(frozen=True)
class Found:
    """A topic as the cluster tells it."""

    name: str
    id: str
    leaders: Mapping[int, Leader]


@dataclass
class Metadata:
    """What was last told of the cluster."""

    brokers: dict[int, tuple[str, int]] = field(default_factory=dict[int, tuple[str, int]])
    topics: dict[str, Found] = field(default_factory=dict[str, Found])
    controller: int = -1
    told: float = float("-inf")


class Lane:
    """One connection, and how many answers it owes."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.owes = 0


class Client:
    """A client of one cluster; ``servers`` are the brokers to begin with."""

    def __init__(self, servers: Sequence[tuple[str, int]], security: Security, client_id: str = "streamflow") -> None:
        self.servers = list(servers)
        self.client_id = client_id
        self.metadata = Metadata()
        self._security = security
        self._lanes: dict[tuple[int, str], list[Lane]] = {}
        self._dialing: dict[tuple[int, str], asyncio.Lock] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._coordinators: dict[tuple[Kind, str], int] = {}
        self._background: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"Client({self.name})"

    @property
    def name(self) -> str:
        """The cluster as errors name it."""
        return "kafka://" + ",".join(f"{host}:{port}" for host, port in self.servers)

    async def close(self) -> None:
        """Hang up everywhere."""
        self.abandon()
        await asyncio.sleep(0)  # so that the sockets are closed when this returns

    def abandon(self) -> None:
        """The same, waiting for nothing."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        for task in self._background:
            task.cancel()
        for lanes in self._lanes.values():
            for lane in lanes:
                lane.connection.close()
        self._lanes.clear()

    # --- connections

    def brokers(self) -> Sequence[tuple[str, int]]:
        """Brokers that may be asked something anybody can answer, those known by now first."""
        return list(dict.fromkeys([*self.metadata.brokers.values(), *self.servers]))

    async def dial(
        self, host: str, port: int, *, client_id: str | None = None, request_timeout: float = 2 * PATIENCE
    ) -> Any:
        """A new connection, of the caller's own. ``request_timeout`` is a last resort: callers have deadlines."""
        try:
            async with asyncio.timeout(DIALING):
                return await create_conn(
                    host,
                    port,
                    client_id=client_id or self.client_id,
                    request_timeout_ms=int(request_timeout * 1000),
                    **await self._security.arguments(),
                )
        except KafkaError as error:
            if refused := self._security.refused(error):
                raise LogError(f"{self.name} let nobody in: {refused}") from error
            raise

    async def call(self, node: int, request: Any, timeout: float = PATIENCE, lane: str = "") -> Any:
        """The answer of a broker. Raises `LogUnavailable` when there is none in time: nobody knows what became of it."""
        used: Lane | None = None
        try:
            async with asyncio.timeout(timeout):
                used = await self._lane(node, lane)
                return await self._answer(used, request)
        except (OSError, KafkaError, TimeoutError, ValueError) as error:
            if used is not None:
                self._drop(node, lane, used)
            what = "did not answer in time" if isinstance(error, TimeoutError) else said(error)
            raise LogUnavailable(f"broker {node} of {self.name}: {what}") from error
        except wire.Unspoken as error:
            raise LogError(f"broker {node} of {self.name}: {error}; streamflow needs Kafka 3.6 or later") from None

    async def _answer(self, lane: Lane, request: Any) -> Any:
        """Wait for an answer; who gives up leaves it to be read and thrown away, for the connection owes it."""
        lane.owes += 1
        answering = asyncio.ensure_future(wire.send(lane.connection, request))
        self._background.add(answering)

        def read(done: asyncio.Future[Any]) -> None:
            lane.owes -= 1
            self._background.discard(answering)
            if not done.cancelled():
                done.exception()

        answering.add_done_callback(read)
        return await asyncio.shield(answering)

    async def _lane(self, node: int, kind: str) -> Lane:
        lanes = self._lanes.setdefault((node, kind), [])
        lanes[:] = [lane for lane in lanes if lane.connection.connected()]
        free = min(lanes, key=lambda lane: lane.owes, default=None)
        if free is not None and (free.owes == 0 or (len(lanes) >= LANES and not kind)):
            return free
        async with self._dialing.setdefault((node, kind), asyncio.Lock()):
            for lane in lanes:
                if lane.owes == 0 and lane.connection.connected():
                    return lane
            if (address := self.metadata.brokers.get(node)) is None:
                raise LogUnavailable(f"{self.name} has no broker {node} just now")
            lane = Lane(await self.dial(*address))
            lanes.append(lane)
            return lane

    def _drop(self, node: int, kind: str, lane: Lane) -> None:
        lanes = self._lanes.get((node, kind), [])
        if lane in lanes:
            lanes.remove(lane)
        lane.connection.close()

    async def ask_anybody(self, request: Any, timeout: float = PATIENCE) -> Any:
        """The answer of whichever broker gives one first, asked in turn."""
        why: object = "no broker is known"
        for host, port in self.brokers():
            try:
                async with asyncio.timeout(timeout):
                    connection = await self.dial(host, port)
                    try:
                        return await wire.send(connection, request)
                    finally:
                        connection.close()
            except (OSError, KafkaError, TimeoutError) as error:
                why = said(error)
            except wire.Unspoken as error:
                raise LogError(f"{self.name}: {error}; streamflow needs Kafka 3.6 or later") from None
        raise LogUnavailable(f"{self.name} cannot be reached: {why}")

    # --- metadata

    async def refresh(self) -> None:
        """Ask for the metadata anew; who asks while that is under way waits for the same answer."""
        await asyncio.shield(self.refresh_later())

    def refresh_later(self) -> asyncio.Task[None]:
        """The same, waiting for nothing."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())
            self._refreshing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._refreshing

    async def _refresh(self) -> None:
        request = wire.METADATA(None, False, False, {})
        found = None
        for node in list(self.metadata.brokers):
            try:
                found = await self.call(node, request, timeout=DIALING)
                break
            except LogUnavailable:
                continue
        answer = found or await self.ask_anybody(request, timeout=DIALING)
        brokers = {id: (host, port) for id, host, port, *_ in answer.brokers}
        if not brokers:  # as of a broker that stood still for longer than its session, until it is let in again
            raise LogUnavailable(f"{self.name} knows no broker that is alive just now, not even the one that says so")
        topics: dict[str, Found] = {}
        for code, name, id, _, partitions, *_ in answer.topics:
            if code == codes.OK:
                leaders = {number: Leader(leader, epoch) for _, number, leader, epoch, *_ in partitions}
                topics[name] = Found(name, id.hex(), leaders)
        self.metadata = Metadata(brokers, topics, answer.controller, asyncio.get_running_loop().time())

    async def fresh(self) -> Metadata:
        """Metadata that are not too old."""
        if asyncio.get_running_loop().time() - self.metadata.told > STALE:
            await self.refresh()
        return self.metadata

    async def leaders(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Leader]:
        """Who leads each partition. Raises `UnknownTopic` for one that is not there, asked afresh."""
        metadata = await self.fresh()
        found: dict[TopicPartition, Leader] = {}
        for tp in partitions:
            leader = _leader(metadata, tp)
            if leader is None or leader.node < 0:
                await self.refresh()
                metadata = self.metadata
                leader = _leader(metadata, tp)
            if leader is None:
                raise UnknownTopic(f"topic {tp.topic!r} partition {tp.partition} does not exist on {self.name}")
            if leader.node < 0:
                raise LogUnavailable(f"nobody leads {tp.topic!r} partition {tp.partition} just now")
            found[tp] = leader
        return found

    # --- coordinators

    async def coordinator(self, kind: Kind, key: str) -> int:
        """The broker that coordinates a group or a transactional id; looking it up decides nothing, so it is repeated."""
        if (known := self._coordinators.get((kind, key))) is not None:
            return known
        answer = await self.ask_anybody(FindCoordinatorRequest(key, 0 if kind == "group" else 1))
        if answer.error_code != codes.OK:
            if answer.error_code in codes.REFUSED:
                raise LogError(
                    f"{self.name} does not let this client use the {kind} {key!r}: {codes.named(answer.error_code)}"
                )
            raise LogUnavailable(f"the {kind} {key!r} has no coordinator yet: {codes.named(answer.error_code)}")
        node = int(answer.coordinator_id)
        self.metadata.brokers.setdefault(node, (answer.host, answer.port))
        self._coordinators[kind, key] = node
        return node

    def forget_coordinator(self, kind: Kind, key: str) -> None:
        """Look it up again the next time."""
        self._coordinators.pop((kind, key), None)

    async def features(self, node: int) -> dict[str, int]:
        """The finalised features of the cluster and their levels, such as ``transaction.version``."""
        answer = await self.call(node, wire.API_VERSIONS({}, "streamflow", "1", {}))
        return _features(answer.tags.get(2, b"")) if answer.error == codes.OK else {}


def _leader(metadata: Metadata, tp: TopicPartition) -> Leader | None:
    topic = metadata.topics.get(tp.topic)
    return None if topic is None else topic.leaders.get(tp.partition)


def _features(data: bytes) -> dict[str, int]:
    """Tag 2 of the answer to ApiVersions: an array of (name, highest level, lowest level)."""
    if not data:
        return {}
    read: Any = wire.compact(("name", wire.COMPACT), ("most", Int16), ("least", Int16))
    return {name: most for name, most, *_ in read.decode(BytesIO(data))}


async def soon(attempt: int) -> None:
    """Wait a little before asking once more, longer each time."""
    await asyncio.sleep(min(AGAIN * 1.5**attempt, 1.0))
