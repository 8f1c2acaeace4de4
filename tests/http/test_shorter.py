"""What the asker has already is not sent again, what is large is sent small, and who has it can be asked for."""

from __future__ import annotations

import gzip
from collections.abc import Mapping

from yarl import URL

from tests.http.world import World, framed


async def asked(world: World, target: str, number: int = 0, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and the body as it came."""
    url = URL(world.members[number].server.address + target, encoded=True)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with world.session.get(url, headers=given, allow_redirects=False, auto_decompress=False) as response:
        return response.status, response.headers.copy(), await response.read()


def test_what_has_not_changed_is_a_304_without_a_body_and_what_has_is_told(world: World) -> None:
    world.run(world.keep("words", [(b"tagged", b"one", 1)]))
    status, headers, body = world.run(asked(world, "/stores/words/keys/tagged"))
    assert (status, bool(body)) == (200, True)
    tag = headers["ETag"]
    for given in (tag, f'"other", {tag}', "*"):
        status, headers, body = world.run(asked(world, "/stores/words/keys/tagged", If_None_Match=given))
        assert (status, headers["ETag"], body) == (304, tag, b"")
    assert world.run(asked(world, "/stores/words/keys/tagged", 1, If_None_Match=tag))[0] == 304
    world.run(world.keep("words", [(b"tagged", b"two", 2)]))
    status, headers, body = world.run(asked(world, "/stores/words/keys/tagged", If_None_Match=tag))
    assert (status, b"two" in body, headers["ETag"] != tag) == (200, True, True)


def test_what_may_change_at_any_time_or_went_wrong_has_no_tag(world: World) -> None:
    for target in ("/metrics", "/tasks", "/health/ready", "/stores/words/keys/absent"):
        _, headers, _ = world.run(asked(world, target))
        assert "ETag" not in headers
        assert headers["Cache-Control"] == "no-store"


def test_large_answers_are_compressed_for_who_takes_that(world: World) -> None:
    world.run(world.keep("words", [(b"large-%d" % n, b"x" * 50, 1) for n in range(100)]))
    target = "/stores/words/keys?prefix=large-&limit=100"
    _, plainly, body = world.run(asked(world, target, Accept_Encoding="identity"))
    assert "Content-Encoding" not in plainly and len(body) > 5000
    _, headers, packed = world.run(asked(world, target, Accept_Encoding="gzip"))
    assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(packed) == body and len(packed) < len(body) / 4
    assert headers["ETag"] == plainly["ETag"]
    assert "Content-Encoding" not in world.run(asked(world, "/health/live", Accept_Encoding="gzip"))[1]


def test_redirect_names_the_owner_whose_answer_is_the_one(world: World) -> None:
    world.run(world.keep("words", [(b"r%d" % n, b"%d" % n, 1) for n in range(30)]))
    elsewhere = 0
    for n in range(30):
        status, headers, body = world.run(asked(world, f"/stores/words/keys/r{n}?redirect=1"))
        if status == 307:
            elsewhere += 1
            assert headers["Location"] == f"{world.members[1].server.address}/stores/words/keys/r{n}"
            status, headers, body = world.run(asked(world, f"/stores/words/keys/r{n}?redirect=1", 1))
        assert status == 200
        assert b'"value":"%s"' % framed(b"r%d" % n, b"%d" % n) in body
    assert 0 < elsewhere < 30
