"""Brokers of the 3.x and of the 4.x line: which transactions are spoken is asked of them, and both hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from streamflow.log.batch import encode
from streamflow.log.contract import Commit, Committed, Fenced
from streamflow.log.embedded import EmbeddedLog
from streamflow.log.kafka import KafkaLog
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic
from tests.log.support import asynchronous
from tests.runtime.test_standby import counted, lines
from tests.runtime.world import PARTITIONS, World, run, word_count


def client_of(servers: str) -> KafkaLog:
    host, _, port = servers.rpartition(":")
    return KafkaLog([(host, int(port))], session_timeout=6.0)


@pytest.fixture(params=[("older", False), ("bootstrap", True)], ids=["3.9", "4.1"])
def broker(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A broker, and whether it speaks transactions of the second version."""
    name, second = request.param
    return request.getfixturevalue(name), second


@asynchronous
async def test_commits_are_whole_and_an_old_owner_is_fenced(broker: tuple[str, bool]) -> None:
    servers, second = broker
    log = client_of(servers)
    await log.start()
    try:
        topic = "versions"
        if topic not in await log.topics():
            await log.create_topics([NewTopic(topic, 1)])
        at = TopicPartition(topic, 0)
        start = (await log.offsets([at]))[at].end
        mine, other = log.session("versions-group", "task_0"), log.session("versions-group", "task_0")
        await mine.init()
        assert mine._v2 is second

        def commit(session: Any, number: int) -> Commit:
            return Commit(session, {at: encode([(b"k", str(number).encode(), 1_000, [])])}, {at: start + number})

        for number in (1, 2):
            (outcome,) = await log.commit([commit(mine, number)])
            assert isinstance(outcome, Committed), outcome
        await other.init()
        (outcome,) = await log.commit([commit(mine, 3)])
        assert isinstance(outcome, Fenced), outcome
        (outcome,) = await log.commit([commit(other, 4)])
        assert isinstance(outcome, Committed), outcome
        assert (await log.committed("versions-group", [at]))[at] == start + 4
    finally:
        await log.close()


def test_a_killed_worker_s_tasks_go_on_with_nothing_lost_or_doubled(broker: tuple[str, bool], tmp_path: Path) -> None:
    servers, _ = broker
    connect = cast(Callable[..., EmbeddedLog], lambda **_: client_of(servers))

    async def story(world: World) -> None:
        for name in await world.log.topics():
            if not name.startswith("__"):
                await world.log.delete_topic(name)
        rows = lines(1_500)
        await world.write("lines", rows[:700])
        one = await world.start(word_count(), state="one")
        await world.start(word_count(), state="two")
        await world.until(lambda: len(one.tasks) >= PARTITIONS, "the first to have its half")
        await one.kill()
        await world.write("lines", rows[700:])
        await world.until_counted(counted(*rows))

    run(tmp_path, story, connect)
