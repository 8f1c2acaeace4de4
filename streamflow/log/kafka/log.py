"""`KafkaLog`: the parts of the transport, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamflow.log.contract import Commit, Fetched, Membership, Offsets, Outcome, Session
from streamflow.log.kafka.client import Client
from streamflow.log.kafka.membership import KafkaMembership, put_out
from streamflow.log.kafka.positions import Positions
from streamflow.log.kafka.producing import Appending
from streamflow.log.kafka.reading import Reading
from streamflow.log.kafka.security import Security
from streamflow.log.kafka.topics import Topics
from streamflow.log.kafka.transactions import Transactions
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic, TopicInfo


class KafkaLog:
    """A Kafka cluster as the runtime sees it; `streamflow.log.contract.Log` says what each method does.

    ``servers`` are brokers to begin with. ``session_timeout`` in seconds is how long a member may be silent,
    ``replication`` how many copies a topic that is created here has (-1: as the brokers are set).
    """

    loses_commits = False

    def __init__(
        self,
        servers: Sequence[tuple[str, int]],
        *,
        security: Security | None = None,
        session_timeout: float = 45.0,
        replication: int = -1,
    ) -> None:
        self._client = Client(servers, security or Security())
        self._session_timeout = session_timeout
        self._topics = Topics(self._client, replication)
        self._reading = Reading(self._client)
        self._positions = Positions(self._client)
        self._appending = Appending(self._client)
        self._transactions = Transactions(self._client)
        self._memberships: list[KafkaMembership] = []

    async def start(self) -> None:
        """Nothing to do: brokers are met when they are asked something."""

    async def close(self) -> None:
        for membership in self._memberships:
            membership.abandon()  # who wants to be followed at once leaves before
        await self._client.close()

    def abandon(self) -> None:
        """Let go of everything as a process does that is killed: nobody is told."""
        for membership in self._memberships:
            membership.abandon()
        self._client.abandon()

    async def topics(self) -> dict[str, TopicInfo]:
        return await self._topics.topics()

    async def create_topics(self, topics: Sequence[NewTopic]) -> None:
        await self._topics.create(topics)

    async def delete_topic(self, name: str) -> None:
        await self._topics.delete(name)

    async def fetch(
        self, positions: Mapping[TopicPartition, int], *, max_bytes: int, max_wait: float
    ) -> dict[TopicPartition, Fetched]:
        return await self._reading.fetch(positions, max_bytes=max_bytes, max_wait=max_wait)

    async def offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Offsets]:
        return await self._positions.offsets(partitions)

    async def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        return await self._positions.offset_at(partition, timestamp_ms)

    async def append(self, batches: Mapping[TopicPartition, Sequence[bytes]]) -> dict[TopicPartition, int]:
        return await self._appending.append(batches)

    async def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._positions.committed(group, partitions)

    async def set_committed(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        await self._positions.set_committed(group, offsets)

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        await self._positions.delete_records(before)

    def session(self, group: str, task: str) -> Session:
        return self._transactions.session(group, task)

    async def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        return await self._transactions.commit(commits)

    async def commit_id(self, group: str, task: str, commit_seq: int) -> bytes | None:
        """Not kept: a committed transaction is never lost (`loses_commits`), so nobody needs to ask."""
        return None

    async def last_commit(self, group: str, task: str) -> tuple[int, bytes] | None:
        return None

    def membership(self, group: str) -> Membership:
        membership = KafkaMembership(self._client, group, session_timeout=self._session_timeout)
        self._memberships.append(membership)
        self._transactions.speak_for(group, membership)
        return membership

    async def put_out(self, group: str, member_id: str) -> None:
        await put_out(self._client, group, member_id)
