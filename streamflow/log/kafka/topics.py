"""Topics: what there is, what is asked for, and what differs between the two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka.protocol.admin import CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest

from streamflow.errors import ConfigError, LogError, LogUnavailable, TopicMismatch, UnknownTopic
from streamflow.log.kafka import codes
from streamflow.log.kafka.client import PATIENCE, Client, soon
from streamflow.log.names import check_names
from streamflow.topic import NewTopic, TopicInfo

TELLING = (
    "cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type", "min.compaction.lag.ms",
    "delete.retention.ms", "max.message.bytes",
)  # fmt: skip
"""Settings that are told of every topic, whoever set them; others only where they were set for the topic."""

_TOPIC = 2  # the kind of resource whose settings are asked for
_SET_FOR_TOPIC = 1
_AT_ONCE = 200
_DURATION_MS = int(PATIENCE * 1000)


class Topics:
    """``replication`` is how many copies a new topic has; -1 leaves that to the brokers."""

    def __init__(self, client: Client, replication: int = -1) -> None:
        self._client = client
        self._replication = replication

    async def topics(self) -> dict[str, TopicInfo]:
        """Every topic there is, but for those that Kafka keeps for itself."""
        await self._client.refresh()
        known = {name: found for name, found in self._client.metadata.topics.items() if not name.startswith("__")}
        configs = await self._configs(list(known))
        return {
            name: TopicInfo(name, len(found.leaders), configs[name], found.id)
            for name, found in known.items()
            if name in configs
        }

    async def create(self, topics: Sequence[NewTopic]) -> None:
        """See `Log.create_topics`. Returns when the cluster tells of the topics and each partition has a leader."""
        check_names(topics)
        await self._client.refresh()
        there = [topic for topic in topics if topic.name in self._client.metadata.topics]
        configs = await self._configs([topic.name for topic in there])
        for topic in there:
            self._compare(topic, configs.get(topic.name, {}))
        missing = [topic for topic in topics if topic not in there]
        if missing:
            await self._create(missing)

    async def delete(self, name: str) -> None:
        """Returns when nobody tells of the topic any more."""
        await self._client.refresh()
        if name not in self._client.metadata.topics:
            raise UnknownTopic(f"topic {name!r} does not exist on {self._client.name}")
        before = self._client.metadata.topics[name].id

        def told(answer: Any) -> Iterable[tuple[str, int, str | None]]:
            return ((topic, code, None) for topic, code in answer.topic_error_codes)

        request = DeleteTopicsRequest([name], _DURATION_MS)
        await self._of_controller(request, told, fine=(codes.UNKNOWN_TOPIC_OR_PARTITION,), what=f"delete {name!r}")

        def gone() -> bool:
            found = self._client.metadata.topics.get(name)
            return found is None or found.id != before

        await self._until(gone, f"topic {name!r} is still there")

    async def _create(self, topics: Sequence[NewTopic]) -> None:
        asked: list[Any] = [(t.name, t.partitions, self._replication, [], list(t.config.items())) for t in topics]

        def told(answer: Any) -> Iterable[tuple[str, int, str | None]]:
            return ((topic, code, message) for topic, code, message in answer.topic_errors)

        request = CreateTopicsRequest(asked, _DURATION_MS, False)
        await self._of_controller(request, told, fine=(codes.TOPIC_ALREADY_EXISTS,), what="create topics")

        def complete() -> bool:
            found = self._client.metadata.topics
            return all(
                topic.name in found
                and len(found[topic.name].leaders) >= topic.partitions
                and all(leader.node >= 0 for leader in found[topic.name].leaders.values())
                for topic in topics
            )

        await self._until(complete, f"the new topics {', '.join(topic.name for topic in topics)} have no leaders yet")

    async def _until(self, state: Callable[[], bool], what: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        attempt = 0
        await self._client.refresh()
        while not state():
            if loop.time() > deadline:
                raise LogUnavailable(f"{self._client.name}: {what}")
            await soon(attempt)
            attempt += 1
            await self._client.refresh()

    async def _of_controller(
        self,
        request: Any,
        told: Callable[[Any], Iterable[tuple[str, int, str | None]]],
        *,
        fine: tuple[int, ...],
        what: str,
    ) -> None:
        """Ask the controller, again while there is none."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        attempt = 0
        while True:
            metadata = await self._client.fresh()
            why: object = "there is no controller"
            try:
                answer = await self._client.call(metadata.controller, request, 2 * PATIENCE)
                errors = [each for each in told(answer) if each[1] not in (codes.OK, *fine)]
                if not errors:
                    return
                topic, code, message = errors[0]
                if code not in codes.FOR_NOW:
                    kind = ConfigError if code in (17, 37, 38, 40, 42, 44) else LogError
                    raise kind(f"{self._client.name}: topic {topic!r}: {message or codes.named(code)}")
                why = f"topic {topic!r}: {codes.named(code)}"
            except LogUnavailable as error:
                why = error
            if loop.time() > deadline:
                raise LogUnavailable(f"{self._client.name} could not {what}: {why}")
            await soon(attempt)
            attempt += 1
            await self._client.refresh()

    async def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """The settings of topics; one that is gone meanwhile is left out."""
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(names), _AT_ONCE):
            resources = [(_TOPIC, name, None) for name in names[start : start + _AT_ONCE]]
            answer = await self._client.call(
                next(iter(self._client.metadata.brokers)), DescribeConfigsRequest(resources)
            )
            for code, message, _, name, entries in answer.resources:
                if code == codes.UNKNOWN_TOPIC_OR_PARTITION:
                    continue
                if code != codes.OK:
                    kind = LogUnavailable if code in codes.FOR_NOW else LogError
                    raise kind(f"{self._client.name}: settings of {name!r}: {message or codes.named(code)}")
                found[name] = {
                    key: value
                    for key, value, _, source, *_ in entries
                    if value is not None and (source == _SET_FOR_TOPIC or key in TELLING)
                }
        return found

    def _compare(self, asked: NewTopic, config: dict[str, str]) -> None:
        """Refuse a topic that is there as something else."""
        have = len(self._client.metadata.topics[asked.name].leaders)
        if have != asked.partitions:
            raise TopicMismatch(
                f"topic {asked.name!r} exists on {self._client.name} with {have} partitions, but {asked.partitions} are asked for"
            )
        for key, value in asked.config.items():
            if config.get(key, value) != value:
                raise TopicMismatch(
                    f"topic {asked.name!r} exists on {self._client.name} with {key}={config[key]}, but {value} is asked for"
                )
