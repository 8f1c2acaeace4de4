"""The windows of a key."""

from __future__ import annotations

import pytest

from tests.http.world import MINUTE, World

HOUR = 3_600_000


@pytest.fixture(scope="module")
def counted(world: World) -> World:
    """Key "a": n + 1 clicks in minute n, for thirty minutes. Key "ab": one in each."""
    clicks = [(b"a", b"", minute * MINUTE + n) for minute in range(30) for n in range(minute + 1)]
    clicks += [(b"ab", b"", minute * MINUTE) for minute in range(30)]
    world.run(world.keep("clicks", sorted(clicks, key=lambda click: click[2])))
    return world


def window(minute: int) -> dict[str, int]:
    start = minute * MINUTE
    return {"start": start, "end": start + MINUTE, "value": minute + 1, "timestamp": start + minute}


@pytest.mark.parametrize("worker", [0, 1])
def test_windows_come_oldest_first_with_start_end_value_and_time(counted: World, worker: int) -> None:
    status, answer = counted.run(counted.get("/stores/clicks/windows/a", worker))
    assert (status, answer) == (200, [window(minute) for minute in range(30)])


def test_from_and_to_are_bounds_of_the_start_both_included(counted: World) -> None:
    target = f"/stores/clicks/windows/a?from={3 * MINUTE}&to={5 * MINUTE}"
    assert counted.run(counted.get(target)) == (200, [window(3), window(4), window(5)])
    assert counted.run(counted.get(f"/stores/clicks/windows/a?from={3 * MINUTE + 1}&to={4 * MINUTE - 1}")) == (200, [])


def test_with_a_limit_one_goes_on_from_the_last_start_plus_one(counted: World) -> None:
    found: list[int] = []
    since = 0
    while True:
        _, answer = counted.run(counted.get(f"/stores/clicks/windows/a?limit=7&from={since}"))
        found.extend(row["start"] for row in answer)
        if len(answer) < 7:
            break
        since = answer[-1]["start"] + 1
    assert found == [minute * MINUTE for minute in range(30)]


def test_a_key_without_windows_has_an_empty_list(counted: World) -> None:
    assert counted.run(counted.get("/stores/clicks/windows/nobody")) == (200, [])


def test_a_window_store_has_no_keys_listing_and_says_where_to_ask(counted: World) -> None:
    status, answer = counted.run(counted.get("/stores/clicks/keys/a"))
    assert (status, answer["error"]) == (400, "'clicks' is a window store; ask /stores/clicks/windows/{key}")


@pytest.mark.parametrize("empty_world", [("clicks",)], indirect=True)
def test_windows_older_than_the_retention_are_gone(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=1))
    world.run(world.keep("clicks", [(b"a", b"", 0)]))
    assert len(world.run(world.get("/stores/clicks/windows/a"))[1]) == 1
    world.run(world.keep("clicks", [(b"a", b"", 3 * HOUR)]))
    _, answer = world.run(world.get("/stores/clicks/windows/a"))
    assert [row["start"] for row in answer] == [3 * HOUR]
