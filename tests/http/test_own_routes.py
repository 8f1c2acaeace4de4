"""Handlers of the user's own, in the worker, on its port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from aiohttp import web

from streamflow import App
from streamflow.errors import ConfigError
from streamflow.http import queries
from streamflow.http.queries import key_text
from streamflow.http.text import key_bytes
from streamflow.query import WrongQuestion
from streamflow.serdes import serde_of
from tests.http.world import World, world_in

routes = web.RouteTableDef()


@routes.get("/words/{word}")
async def word(request: web.Request) -> web.Response:
    found = await queries(request).get(request.query.get("store", "words"), request.match_info["word"])
    return web.json_response({"value": None if found is None else found.decode()})


@routes.get("/number/{number}")
async def by_number(request: web.Request) -> web.Response:
    found = await queries(request).get("numbers", int(request.match_info["number"]))
    return web.json_response({"there": found is not None})


@routes.get("/minutes/{word}")
async def minutes(request: web.Request) -> web.Response:
    return web.json_response(await queries(request).windows("clicks", request.match_info["word"]))


@routes.post("/echo")
async def echo(request: web.Request) -> web.Response:
    return web.json_response(await request.json())


@routes.get("/broken")
async def broken(request: web.Request) -> web.Response:
    raise RuntimeError("as it happens")


@routes.get("/teapot")
async def teapot(request: web.Request) -> web.Response:
    raise web.HTTPUnprocessableEntity(text="no tea")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("own")) as found:
        found.routes = list(routes)
        found.run(found.start(workers=2))
        yield found


def test_a_handler_asks_for_state_wherever_it_lies(own: World) -> None:
    keys = [f"a/{n} é" for n in range(12)]
    own.run(own.keep("words", [(key.encode(), b"x%d" % n, 1) for n, key in enumerate(keys)]))
    own.run(own.keep("numbers", [(n.to_bytes(8, "big"), b"", 1) for n in range(8)]))
    own.run(own.keep("clicks", [(b"w", b"", 1), (b"w", b"", 60_000)]))
    for worker in (0, 1):
        for n, key in enumerate(keys):
            status, answer = own.run(own.get("/words/" + quote(key, safe=""), worker))
            assert status == 200, answer
            assert answer["value"].endswith(f"{key}x{n}")
        assert [own.run(own.get(f"/number/{n}", worker))[1]["there"] for n in range(10)] == [True] * 8 + [False] * 2
        assert own.run(own.get("/minutes/w", worker))[1] == [[0, 60_000, 1], [60_000, 120_000, 1]]


def test_streamflows_own_routes_are_there_as_before(own: World) -> None:
    assert own.run(own.get("/stores"))[0] == 200
    assert own.run(own.get("/nothing"))[0] == 404


def test_what_a_question_raises_becomes_a_status(own: World) -> None:
    status, answer = own.run(own.get("/words/a?store=nope"))
    assert (status, "known are" in answer["error"]) == (404, True)
    status, answer = own.run(own.get("/words/a?store=clicks"))
    assert (status, "window store" in answer["error"]) == (400, True)


def test_a_handler_that_raises_is_told_apart_from_streamflow(own: World) -> None:
    status, answer = own.run(own.get("/broken"))
    assert (status, "the application's own handler raised" in answer["error"]) == (500, True)
    assert own.run(own.get("/teapot"))[0] == 422


def test_the_guard_stands_before_them(own: World) -> None:
    async def post(**headers: str) -> int:
        async with own.session.post(
            own.members[0].server.address + "/echo", json={"a": 1}, headers=headers
        ) as response:
            return response.status

    assert own.run(post()) == 200
    assert own.run(post(Origin="https://evil.example")) == 403
    assert own.run(own.get("/words/a", Host="evil.example"))[0] == 403


@pytest.mark.parametrize("path", ["/stores/mine", "/metrics", "/{all}", "/"])
def test_a_path_of_streamflows_is_refused(tmp_path: Path, path: str) -> None:
    async def nothing(request: web.Request) -> web.Response:
        raise AssertionError

    with world_in(tmp_path) as world:
        world.routes = [web.get(path, nothing)]
        with pytest.raises(ConfigError, match="belongs to streamflow"):
            world.run(world.start(workers=1))


def test_what_is_no_route_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="http_routes has 7"):
        App("x").http_routes([7])


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (str, "a/b é"), (str, ""), (int, -7), (float, 0.1), (bytes, b"\x00\xff"), (UUID, UUID(int=7)),
        (dict[str, int], {"id": 7}), (list[str], ["a"]),
    ],
)  # fmt: skip
def test_a_key_written_as_text_is_read_as_the_same_bytes(kind: Any, key: Any) -> None:
    serde = serde_of(kind)
    assert key_bytes(serde, key_text(serde, key)) == serde.serialize(key)


def test_an_object_that_is_no_key_is_refused() -> None:
    with pytest.raises(WrongQuestion):
        key_text(serde_of(int), "x")
