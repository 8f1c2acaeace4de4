"""What a versioned table says of now, and of then."""

from __future__ import annotations

import pytest

from tests.http.world import World, framed


@pytest.mark.parametrize("empty_world", [("prices",)], indirect=True)
def test_a_key_is_told_as_it_is_and_as_it_was(empty_world: World) -> None:
    world = empty_world
    world.run(world.add("w0"))
    world.run(world.keep("prices", [(b"tea", b"2", 2_000), (b"tea", b"1", 1_000), (b"ale", b"9", 1_500)]))

    def asked(target: str) -> tuple[int, object, object]:
        status, answer = world.run(world.get(f"/stores/prices/keys/{target}"))
        return status, answer.get("value"), answer.get("timestamp")

    assert asked("tea") == (200, framed(b"tea", b"2").decode(), 2_000)
    assert asked("tea?as_of=1999") == (200, framed(b"tea", b"1").decode(), 1_000)
    assert asked("tea?as_of=2000") == (200, framed(b"tea", b"2").decode(), 2_000)
    assert asked("tea?as_of=999")[0] == 404
    status, answer = world.run(world.get("/stores/prices/keys"))
    assert (status, [entry["key"] for entry in answer["entries"]]) == (200, ["ale", "tea"])
