"""Who may ask, how much, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict

from streamflow.config import defaults
from streamflow.errors import ConfigError
from streamflow.http import connections
from streamflow.http.asked import Refused
from streamflow.http.guard import MOST_HEADER_BYTES, Guard
from streamflow.run import Options
from tests.http.world import World, framed, make_plan, world_in

TOKEN = "correct-horse-battery"
WRITE = "/topics/words-in?key=a"
OCTETS = "application/octet-stream"


def verdict(guard: Guard, method: str = "GET", path: str = "/stores", **headers: str) -> int:
    """The status with which a request is refused, 200 if it is not."""
    given = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    try:
        guard.check(method, path, given)
    except Refused as refused:
        assert len(str(refused)) > 10
        return refused.status
    return 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.9.9.9", "[::1]:80", "here:9", "localhost."]
)
def test_a_name_of_this_machine_is_answered(host: str) -> None:
    assert verdict(Guard(names=frozenset({"here"})), Host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "localhost.evil",
        "",
        "[::2]",
        "::",
        "0.0.0.0",
    ],
)
def test_a_name_that_was_rebound_to_this_machine_is_refused(host: str) -> None:
    assert verdict(Guard(), Host=host) == 403
    assert verdict(Guard(), "POST", Host=host) == 403
    assert verdict(Guard(token=TOKEN), Host=host, Authorization=f"Bearer {TOKEN}") == 200


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:8080"}, 200),
        ({"Origin": "http://localhost:8080", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_a_page_of_another_site_may_not_write(headers: dict[str, str], status: int, local: bool) -> None:
    assert verdict(Guard(local=local), "POST", WRITE, Host="localhost:8080", **headers) == status
    assert verdict(Guard(local=local), "GET", WRITE, Host="localhost:8080", **headers) == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        ("Bearer \udcff\u00e9", 401),
        ("", 401),
    ],
)
def test_the_token_and_nothing_else_opens(given: str, status: int) -> None:
    assert verdict(Guard(token=TOKEN, local=False), Authorization=given) == status


def test_health_needs_no_token_and_nothing_else_goes_without() -> None:
    guard = Guard(token=TOKEN, local=False)
    assert verdict(guard, path="/health/ready?") == 200
    assert [verdict(guard, path=path) for path in ("/stores", "/metrics", "/health/live/", "//health/live")] == [
        401
    ] * 4


def test_headers_have_room_for_so_many_bytes() -> None:
    assert verdict(Guard(), Host="localhost", X="x" * (MOST_HEADER_BYTES - 30)) == 200
    assert verdict(Guard(), Host="localhost", X="x" * MOST_HEADER_BYTES) == 431


@pytest.mark.parametrize("token", ["", "short", "with a space in it", "\u00e9" * 20, "line\nline\nline\nline"])
def test_a_token_that_is_none_is_a_wrong_setting(token: str) -> None:
    with pytest.raises(ConfigError, match="the HTTP token has"):
        Guard(token=token)


def test_another_address_needs_a_token_or_a_word() -> None:
    with pytest.raises(ConfigError, match="--http-open"):
        Options(http="0.0.0.0:8080").orders()
    assert Options(http="0.0.0.0:8080", http_token=TOKEN).orders().http_token == TOKEN
    assert Options(http="0.0.0.0:8080", http_open=True).orders().http_open
    assert Options().orders().http == ("127.0.0.1", 8080)


def test_the_token_can_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "streamflow.toml").write_text(f'http-token = "{TOKEN}"\nhttp-open = false\n')
    assert defaults(tmp_path) == {"http_token": TOKEN, "http_open": False}


# --- a real server


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two workers with a token."""
    with world_in(tmp_path_factory.mktemp("closed")) as found:
        found.plan, found.token = make_plan("words"), TOKEN
        found.run(found.start(workers=2))
        yield found


def test_workers_that_have_a_token_ask_each_other_with_it(closed: World) -> None:
    keys = [b"t%d" % n for n in range(16)]
    closed.run(closed.keep("words", [(key, b"", 1) for key in keys]))
    for worker in (0, 1):
        for key in keys:
            target = f"/stores/words/keys/{key.decode()}"
            assert closed.run(closed.get(target, worker, Authorization=f"Bearer {TOKEN}"))[0] == 200
            assert closed.run(closed.get(target, worker))[0] == 401
    status, answer = closed.run(closed.get("/tasks?all=1", Authorization=f"Bearer {TOKEN}"))
    assert (status, answer["unreachable"]) == (200, [])


async def raw(world: World, data: bytes, wait: float = 10.0) -> tuple[int, dict[str, str], bytes]:
    """What comes back for bytes on a socket, to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.members[0].server.port)
    try:
        writer.write(data)
        head, _, body = (await asyncio.wait_for(reader.read(), wait)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    line, *lines = head.decode().split("\r\n")
    named = dict(each.split(": ", 1) for each in lines)
    return int(line.split()[1]), named, body


def test_a_rebound_name_and_a_foreign_page_get_a_sentence(words: World) -> None:
    rebound = b"GET /stores HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    status, _, body = words.run(raw(words, rebound))
    assert (status, "which is not this machine" in msgspec.json.decode(body)["error"]) == (403, True)
    before = len(words.run(words.everything("words-in")))
    event = framed(b"evil")
    page = (
        f"POST {WRITE} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(event)}\r\n\r\n"
    ).encode()
    status, _, body = words.run(raw(words, page + event))
    assert (status, "another site" in msgspec.json.decode(body)["error"]) == (403, True)
    assert len(words.run(words.everything("words-in"))) == before


def test_no_answer_lets_another_site_read_it(words: World) -> None:
    for method in (b"GET", b"OPTIONS"):
        asking = b"%b /stores HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n"
        _, headers, _ = words.run(raw(words, asking % method))
        assert [name for name in headers if name.lower().startswith("access-control")] == []


def test_a_get_with_a_body_is_refused(words: World) -> None:
    status, _, body = words.run(raw(words, b"GET /stores HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"))
    assert (status, "takes no body" in msgspec.json.decode(body)["error"]) == (400, True)


def test_a_connection_too_many_is_told_to_come_again(words: World, monkeypatch: pytest.MonkeyPatch) -> None:
    server = words.members[0].server

    async def crowd() -> tuple[int, dict[str, str], bytes]:
        monkeypatch.setattr(server.connections, "most", 5 + len(server.connections.connections))
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
        try:
            await words.until(lambda: len(server.connections.connections) >= server.connections.most)
            return await raw(words, b"")
        finally:
            for _, writer in held:
                writer.close()

    status, headers, body = words.run(crowd())
    assert (status, headers["Retry-After"]) == (503, "1")
    assert "too many connections" in msgspec.json.decode(body)["error"]
    monkeypatch.undo()
    words.run(words.until(lambda: len(server.connections.connections) < server.connections.most - 5))
    assert words.run(words.get("/stores"))[0] == 200


def test_a_request_that_comes_letter_by_letter_is_cut(words: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ASK_WITHIN", 0.2)
    monkeypatch.setattr(connections, "LOOK", 0.05)
    server, before = words.members[0].server, words.members[0].server.connections.cut

    async def slowly() -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(10):
            try:
                for letter in b"GET /stores HTTP/1.1\r\nHost: localhost\r\n" + b"X-Pad: y\r\n" * 10_000:
                    writer.write(bytes([letter]))
                    await writer.drain()
                    await asyncio.sleep(0.01)
                    if reader.at_eof():
                        return True
            except ConnectionError:
                return True
        return False

    assert words.run(slowly())
    assert server.connections.cut > before


def test_an_answer_that_nobody_reads_is_cut(words: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_WITHIN", 0.2)
    monkeypatch.setattr(connections, "LOOK", 0.05)
    words.run(words.keep("words", [(b"large%d" % n, b"x" * 100_000, 1) for n in range(40)]))
    server, before = words.members[0].server, words.members[0].server.connections.cut

    async def deaf() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        for _ in range(8):
            writer.write(b"GET /stores/words/keys?prefix=large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await words.until(lambda: server.connections.cut > before)
        writer.close()

    words.run(deaf())


def test_rows_that_are_too_many_bytes_are_refused_by_whichever_worker_has_them(
    words: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamflow.query.MOST_BYTES", 200_000)
    words.run(words.keep("words", [(b"heavy%d" % n, b"x" * 50_000, 1) for n in range(40)]))
    for worker in (0, 1):
        found: Any = words.run(words.get("/stores/words/keys?prefix=heavy", worker))
        assert (found[0], "ask for fewer of them with limit" in found[1]["error"]) == (400, True)
        few = words.run(words.get("/stores/words/keys?prefix=heavy&limit=1", worker))
        assert (few[0], len(few[1]["entries"])) == (200, 1)
