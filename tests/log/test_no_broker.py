"""A broker that stood still for longer than its session tells of no broker, not even itself, until it is let in again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streamflow.errors import LogUnavailable
from streamflow.log.kafka.client import Client, Metadata
from streamflow.log.kafka.security import Security
from streamflow.log.kafka.topics import Topics


class Thawed(Client):
    """A client of a cluster whose only broker has not been let in again yet."""

    async def ask_anybody(self, request: Any, timeout: float = 0.0) -> Any:
        return SimpleNamespace(brokers=[], topics=[(0, "orders", b"\1" * 16, False, [(0, 0, -1, 3)])], controller=-1)


def test_metadata_without_a_broker_are_not_taken_for_the_cluster_s() -> None:
    async def work() -> None:
        client = Thawed([("127.0.0.1", 9)], Security())
        known = client.metadata = Metadata({}, {}, 1)
        with pytest.raises(LogUnavailable, match="no broker that is alive"):
            await Topics(client).topics()
        assert client.metadata is known

    asyncio.run(work())
