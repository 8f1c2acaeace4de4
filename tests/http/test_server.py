"""Where a server listens, what it tells of the worker, and that it ends."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamflow.clock import SystemClock
from streamflow.errors import ConfigError
from streamflow.http import Server, serve
from streamflow.log.embedded.log import EmbeddedLog
from streamflow.runtime.worker import Worker
from streamflow.topology import Topology
from tests.http.world import World, make_plan


def unused(*_: Any, **__: Any) -> Any:
    raise AssertionError("no store is opened here")


def served(folder: Path, **options: Any) -> tuple[Server, Worker]:
    """A server of a worker that does not run, started and closed."""

    async def work() -> tuple[Server, Worker]:
        worker = Worker(make_plan("words"), EmbeddedLog(folder), SystemClock(), unused)
        server = await serve(worker, topology=Topology(), **options)
        await server.close()
        return server, worker

    return asyncio.run(work())


def test_a_busy_port_moves_on_to_the_next_free_one_and_the_worker_knows(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        server, worker = served(tmp_path, port=port)
    assert port < server.port <= port + 20
    assert server.address == worker.address == f"http://127.0.0.1:{server.port}"


def test_when_no_port_of_the_range_is_free_it_says_which_were_tried(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is in use"):
            served(tmp_path, port=port, port_range=1)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_another_host_than_loopback_needs_to_be_allowed(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="anybody there could read all state"):
        served(tmp_path, host=host, port=0)


def test_a_wildcard_that_was_allowed_is_told_by_the_machines_name(tmp_path: Path) -> None:
    server, _ = served(tmp_path, host="0.0.0.0", port=0, allow_remote=True)
    assert server.address == f"http://{socket.gethostname()}:{server.port}"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 70, "192.0.2.1"])
def test_a_host_that_cannot_be_listened_on_is_a_setting_that_is_wrong(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="HTTP cannot listen on"):
        served(tmp_path, host=host, port=0, allow_remote=host[0] == "1")


def test_before_the_worker_has_joined_it_is_live_and_not_ready(tmp_path: Path) -> None:
    async def work() -> list[tuple[int, Any]]:
        worker = Worker(make_plan("words"), EmbeddedLog(tmp_path), SystemClock(), unused)
        server = await serve(worker, port=0, topology=Topology())
        answers = []
        for path in ("/health/live", "/health/ready", "/metrics"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            answers.append((int(head.split()[1]), body))
        await server.close()
        return answers

    live, ready, metrics = asyncio.run(work())
    assert (live[0], ready[0], metrics[0]) == (200, 503, 200)
    assert "has not joined its group" in msgspec.json.decode(ready[1])["error"]


def test_the_index_lists_every_path(world: World) -> None:
    _, text = world.run(world.get("/"))
    _, page = world.run(world.get("/", Accept="text/html"))
    for path in (b"/stores/{store}/keys/{key}", b"/metrics", b"/openapi.json"):
        assert path in text
        assert path in page
    assert b'<a href="/tasks">' in page


def test_tasks_of_all_workers_are_told_by_any(world: World) -> None:
    every = sorted(f"{sub.name}_{p}" for sub in world.plan.subtopologies for p in range(sub.partitions))
    for worker in (0, 1):
        _, answer = world.run(world.get("/tasks?all=1", worker))
        assert [task["task"] for task in answer["tasks"]] == every
        assert answer["unreachable"] == answer["unassigned"] == []
        _, mine = world.run(world.get("/tasks", worker))
        assert {task["task"] for task in mine["tasks"]} == set(world.members[worker].worker.roster.held)


def test_lag_is_what_is_not_committed_and_ends_at_nothing(world: World) -> None:
    world.run(world.keep("words", [(b"%d" % n, b"", 1) for n in range(100)]))
    _, answer = world.run(world.get("/tasks?all=1"))
    inputs = [each for task in answer["tasks"] for each in task["inputs"] if each["topic"] == "words-in"]
    assert sum(each["position"] for each in inputs) >= 100
    assert {each["lag"] for each in inputs} == {0}
    assert all(each["position"] == each["committed"] == each["end"] for each in inputs)
