"""What a store's stream of changes tells: each committed change once, from where the reader was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from streamflow.errors import LogUnavailable, OffsetOutOfRange
from streamflow.http import changes, connections
from tests.http.world import PARTITIONS, World, framed

Event = tuple[str, str, Any]
"""Name, id and data."""


class Stream:
    """A stream as a browser reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.id = ""

    async def events(self) -> AsyncIterator[Event]:
        kind, data = "message", ""
        async for line in self.response.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                self.id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data = value
            elif not name and data:
                yield kind, self.id, msgspec.json.decode(data)
                kind, data = "message", ""

    async def take(self, count: int) -> list[Event]:
        found: list[Event] = []
        async with asyncio.timeout(20):
            async for event in self.events():
                found.append(event)
                if len(found) == count:
                    break
        return found

    async def begun(self) -> None:
        """Wait for the first id."""
        async with asyncio.timeout(20):
            while not self.id:
                name, _, value = (await self.response.content.readline()).decode().rstrip("\n").partition(": ")
                if name == "id":
                    self.id = value


@asynccontextmanager
async def following(world: World, target: str, worker: int = 0, **headers: str) -> AsyncIterator[Stream]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(world.members[worker].server.address + target, headers=named) as response,
    ):
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield Stream(response)


def test_changes_of_all_partitions_come_from_any_worker_in_the_order_of_each_key(world: World) -> None:
    async def work(worker: int) -> list[Event]:
        async with following(world, "/stores/words/changes", worker) as stream:
            await stream.begun()
            for n in range(3):
                await world.keep("words", [(b"c%d" % k, b"%d" % n, n) for k in range(10)])
            return await stream.take(30)

    for worker in (0, 1):
        found = [data for kind, _, data in world.run(work(worker)) if kind == "message"]
        assert {data["partition"] for data in found} == set(range(PARTITIONS))
        for k in range(10):
            mine = [(data["value"], data["timestamp"]) for data in found if data["key"] == f"c{k}"]
            assert mine == [(f"002c{k}{n}", n) for n in range(3)]


def test_only_the_changes_of_a_key_are_told(world: World) -> None:
    async def work() -> list[Event]:
        async with following(world, "/stores/numbers/changes?key=7") as stream:
            await stream.begun()
            rows = [(n.to_bytes(8, "big"), b"", 5) for n in range(50)]
            await world.keep("numbers", rows)
            await world.keep("numbers", rows)
            return await stream.take(2)

    assert [data["key"] for _, _, data in world.run(work())] == [7, 7]


def test_windows_tell_their_times(world: World) -> None:
    async def work() -> list[Event]:
        async with following(world, "/stores/clicks/changes?key=w%00") as stream:
            await stream.begun()
            await world.keep("clicks", [(b"w\x00", b"", 60_001)])
            return await stream.take(1)

    ((_, _, data),) = world.run(work())
    assert {name: data[name] for name in ("key", "value", "timestamp", "start", "end")} == {
        "key": "w\x00", "value": 1, "timestamp": 60_001, "start": 60_000, "end": 120_000,
    }  # fmt: skip


@pytest.mark.parametrize("empty_world", [("prices",)], indirect=True)
def test_a_versioned_table_tells_its_newest_version(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=1))

    async def work() -> list[Event]:
        async with following(world, "/stores/prices/changes") as stream:
            await stream.begun()
            await world.keep("prices", [(b"a", b"1", 10)])
            await world.keep("prices", [(b"a", b"2", 20)])
            return await stream.take(2)

    assert [(data["value"], data["timestamp"]) for _, _, data in world.run(work())] == [("001a1", 10), ("001a2", 20)]


def test_a_reader_that_comes_again_misses_nothing_and_hears_nothing_twice(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=2))

    async def work() -> list[str]:
        heard: list[str] = []
        async with following(world, "/stores/words/changes") as stream:
            await stream.begun()
            last = stream.id
            assert last
        for n in range(12):
            await world.keep("words", [(b"k%d-%d" % (n, k), b"", 1) for k in range(5)])
            async with following(world, "/stores/words/changes", n % 2, Last_Event_ID=last) as stream:
                for kind, id, data in await stream.take(3 if n < 11 else 60 - len(heard)):
                    assert kind == "message"
                    heard.append(data["key"])
                    last = id
        return heard

    assert sorted(world.run(work())) == sorted(f"k{n}-{k}" for n in range(12) for k in range(5))


def test_a_stream_goes_on_when_the_task_moves_to_another_worker(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=2))

    async def work() -> list[Event]:
        async with following(world, "/stores/words/changes", 1) as stream:
            await stream.begun()
            await world.keep("words", [(b"before%d" % n, b"", 1) for n in range(8)])
            moved = set(world.members[0].worker.roster.held)
            await world.kill(world.members[0])
            await world.until(world.shared)
            assert moved and moved <= set(world.members[0].worker.roster.held)
            await world.keep("words", [(b"after%d" % n, b"", 1) for n in range(8)])
            return await stream.take(16)

    keys = [data["key"] for _, _, data in world.run(work())]
    assert sorted(keys) == sorted([f"before{n}" for n in range(8)] + [f"after{n}" for n in range(8)])


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("nonsense", "of another changelog"),
        ("00000000-0:1.1:1.2:1.3:1", "of another changelog"),
        ("LIFE-0:0", "of other partitions"),
        ("LIFE-0:999999.1:0.2:0.3:0", "does not hold"),
    ],
)
def test_an_id_where_it_cannot_go_on_is_answered_with_a_reset(words: World, id: str, said: str) -> None:
    async def work() -> Event:
        async with following(words, "/stores/words/changes") as stream:
            await stream.begun()
            life = stream.id.partition("-")[0]
        async with following(words, "/stores/words/changes", Last_Event_ID=id.replace("LIFE", life)) as stream:
            (event,) = await stream.take(1)
            return event

    kind, _, data = words.run(work())
    assert (kind, said in data["error"], "read the store anew" in data["error"]) == ("reset", True, True)


def test_a_reader_that_the_log_has_left_behind_is_told_so(words: World, monkeypatch: pytest.MonkeyPatch) -> None:
    words.run(words.until(lambda: words.members[0].server._answers.changes.open == 0))
    log = words.members[0].server._answers.changes._log
    fetch, failed = log.fetch, 0

    async def gone(positions: Any, **options: Any) -> Any:
        nonlocal failed
        if all(tp.topic.endswith("words-changelog") for tp in positions) and not failed:
            failed += 1
            raise OffsetOutOfRange("gone")
        return await fetch(positions, **options)

    async def work() -> list[Event]:
        async with following(words, "/stores/words/changes") as stream:
            await stream.begun()
            monkeypatch.setattr(log, "fetch", gone)
            await words.keep("words", [(b"lost", b"", 1)])
            return await stream.take(1)

    assert [kind for kind, _, _ in words.run(work())] == ["reset"]
    assert failed == 1


def test_when_the_log_fails_the_stream_says_so_and_ends(words: World, monkeypatch: pytest.MonkeyPatch) -> None:
    words.run(words.until(lambda: words.members[0].server._answers.changes.open == 0))
    log = words.members[0].server._answers.changes._log
    fetch = log.fetch

    async def failing(positions: Any, **options: Any) -> Any:
        if all(tp.topic.endswith("words-changelog") for tp in positions):
            raise LogUnavailable("no broker answers")
        return await fetch(positions, **options)

    async def work() -> list[Event]:
        async with following(words, "/stores/words/changes") as stream:
            await stream.begun()
            monkeypatch.setattr(log, "fetch", failing)
            await words.keep("words", [(b"unheard", b"", 1)])
            return await stream.take(2)  # it ends after one

    assert [(kind, data["error"]) for kind, _, data in words.run(work())] == [("error", "no broker answers")]


def test_a_reader_that_does_not_read_is_cut_and_holds_no_memory(words: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_WITHIN", 0.3)
    monkeypatch.setattr(connections, "LOOK", 0.05)
    server = words.members[0].server
    before = server.connections.cut

    async def work() -> int:
        most = 0
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /stores/words/changes HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await words.until(lambda: server._answers.changes.open == 1)
        transport = next(
            transport
            for transport in server.connections._open.values()
            if transport.get_extra_info("peername") == writer.get_extra_info("sockname")
        )
        for _ in range(100):
            await words.keep("words", [(b"big%d" % n, b"x" * 50_000, 1) for n in range(20)])
            most = max(most, transport.get_write_buffer_size())
            if server.connections.cut > before:
                break
        await words.until(lambda: server._answers.changes.open == 0)
        writer.close()
        return most

    most = words.run(work())
    assert server.connections.cut == before + 1
    assert 0 < most < 1 << 20


def test_silence_is_broken_by_the_position(words: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "HEARTBEAT", 0.05)

    async def work() -> set[bytes]:
        async with following(words, "/stores/words/changes") as stream, asyncio.timeout(20):
            return {await stream.response.content.readline() for _ in range(9)}

    kinds = {line.partition(b":")[0] for line in words.run(work())}
    assert kinds == {b"retry", b"id", b"\n"}


def test_one_reader_too_many_is_sent_elsewhere(words: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST", 1)
    words.run(words.until(lambda: words.members[0].server._answers.changes.open == 0))

    async def work() -> tuple[int, Any]:
        async with following(words, "/stores/words/changes") as stream:
            await stream.begun()
            return await words.get("/stores/words/changes")

    status, answer = words.run(work())
    assert (status, "follow changes at this worker already" in answer["error"]) == (503, True)
    words.run(
        words.until(lambda: words.members[0].server._answers.changes.open == 0)
    )  # it is gone, and so is its place


def test_wrong_questions_get_a_status_and_no_stream(words: World) -> None:
    assert words.run(words.get("/stores/nope/changes"))[0] == 404
    assert words.run(words.get("/stores/words/changes?key=%FF"))[0] == 400


def test_a_server_that_closes_ends_its_streams(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=1))

    async def work() -> bytes:
        async with following(world, "/stores/words/changes") as stream, asyncio.timeout(20):
            await stream.begun()
            await world.keep("words", [(b"k", framed(b""), 1)])
            await stream.take(1)
            await world.members[0].server.close()
            return await stream.response.content.read()

    assert b"event: error" not in world.run(work())
