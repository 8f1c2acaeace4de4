"""Where a server listens, what it tells of the worker, and that it ends."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from streamflow import App
from streamflow.clock import SystemClock
from streamflow.errors import ConfigError
from streamflow.http import Server, serve
from streamflow.log.embedded.log import EmbeddedLog
from streamflow.runtime.worker import Worker
from streamflow.topology import Topology
from tests.http.world import APP, World, make_plan


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


def test_a_socket_that_listens_already_is_taken_over(tmp_path: Path) -> None:
    async def work() -> tuple[str, str, bytes]:
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        host, port = sock.getsockname()
        # Asked before there is a server, answered once there is.
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        worker = Worker(make_plan("words"), EmbeddedLog(tmp_path), SystemClock(), unused)
        server = await serve(worker, sock=sock, topology=Topology())
        answer = await reader.read()
        writer.close()
        await server.close()
        return f"http://{host}:{port}", server.address, answer

    listened, address, answer = asyncio.run(work())
    assert listened == address
    assert answer.startswith(b"HTTP/1.1 200")


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


def test_a_socket_that_others_can_reach_needs_to_be_allowed_too(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as sock, pytest.raises(ConfigError, match="anybody there"):
        served(tmp_path, sock=sock)


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
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            answers.append((int(head.split()[1]), body))
        await server.close()
        return answers

    live, ready, metrics = asyncio.run(work())
    assert (live[0], ready[0], metrics[0]) == (200, 503, 200)
    assert "has not joined its group" in msgspec.json.decode(ready[1])["error"]


@pytest.mark.parametrize(
    ("form", "media", "begins"),
    [
        ("json", "application/json", b"{"),
        ("text", "text/plain", b"Topologies:"),
        ("mermaid", "text/plain", b"flowchart"),
        ("svg", "image/svg+xml", b"<svg"),
    ],
)
def test_the_topology_comes_in_four_forms(tmp_path: Path, form: str, media: str, begins: bytes) -> None:
    app = App("app")
    app.table("users", key=str, value=str, store="users")

    async def work() -> tuple[str, bytes]:
        worker = Worker(make_plan("words"), EmbeddedLog(tmp_path), SystemClock(), unused)
        server = await serve(worker, port=0, topology=app.topology)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.address}/topology?format={form}") as response,
        ):
            found = response.content_type, await response.read()
        await server.close()
        return found

    told, body = asyncio.run(work())
    assert told == media
    assert body.startswith(begins)
    assert b"users" in body


def test_the_index_lists_every_path_and_is_a_page_for_a_browser(world: World) -> None:
    _, text = world.run(world.get("/"))
    for path in (b"/stores/{store}/keys/{key}", b"/metrics", b"/openapi.json"):
        assert path in text
    _, page = world.run(world.get("/", Accept="text/html"))
    assert b'<script src="/dashboard/dashboard.js" type="module">' in page
    _, script = world.run(world.get("/dashboard/dashboard.js"))
    assert script.startswith(b"// The page of one application.")
    status, _ = world.run(world.get("/dashboard/..%2Fpage.py"))
    assert status == 404


def test_tasks_of_all_workers_are_told_by_any(world: World) -> None:
    every = sorted(f"{sub.name}_{p}" for sub in world.plan.subtopologies for p in range(sub.partitions))
    for worker in (0, 1):
        _, answer = world.run(world.get("/tasks?all=1", worker))
        assert [task["task"] for task in answer["tasks"]] == every
        assert answer["unreachable"] == answer["unassigned"] == []
        assert {(each["worker"], each["tasks"]) for each in answer["workers"]} == {
            (member.server.address, len(member.worker.roster.held)) for member in world.members
        }
        _, mine = world.run(world.get("/tasks", worker))
        assert {task["task"] for task in mine["tasks"]} == set(world.members[worker].worker.roster.held)


def test_what_a_task_wrote_is_told_by_topic(world: World) -> None:
    def sent(answer: Any) -> int:
        topic = f"{APP}-words-repartition"
        outputs = [each for task in answer["tasks"] for each in task["outputs"]]
        return sum(each["sent"] for each in outputs if each["topic"] == topic)

    _, before = world.run(world.get("/tasks?all=1"))
    world.run(world.keep("words", [(b"%d" % n, b"", 1) for n in range(50)]))
    _, after = world.run(world.get("/tasks?all=1"))
    assert sent(after) - sent(before) == 50


def test_lag_is_what_is_not_committed_and_ends_at_nothing(world: World) -> None:
    world.run(world.keep("words", [(b"%d" % n, b"", 1) for n in range(100)]))
    _, answer = world.run(world.get("/tasks?all=1"))
    inputs = [each for task in answer["tasks"] for each in task["inputs"] if each["topic"] == "words-in"]
    assert sum(each["position"] for each in inputs) >= 100
    assert {each["lag"] for each in inputs} == {0}
    assert all(each["position"] == each["committed"] == each["end"] for each in inputs)
