"""Dead letters: told with their reason, and sent again once each, whoever asks and whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace as changed
from typing import Any

import msgspec
import pytest

from streamflow.log.batch import encode
from streamflow.log.contract import Doubtful
from streamflow.record import TopicPartition
from streamflow.runtime.dead_letters import letters, replay
from streamflow.runtime.rules import Rules
from tests.http.world import APP, PARTITIONS, World, make_plan, world_in

TOPIC = f"{APP}-dead-letters"


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("letters")) as found:
        plan = make_plan("words")
        found.plan = changed(plan, partitions={**plan.partitions, TOPIC: PARTITIONS})
        found.rules = Rules(on_process_error="dead_letter", dead_letter_topic=TOPIC)
        found.run(found.start(workers=2))
        yield found


async def spoil(world: World, count: int) -> None:
    """Have records fail: their values do not begin with a length."""
    for n in range(count):
        record = (b"k%d" % n, b"bad\xff%d" % n, 1_000 + n, [("trace", b"t%d" % n)])
        await world.members[0].log.append({TopicPartition("words-in", n % PARTITIONS): encode([record])})
    await world.drained()


async def post(world: World, target: str, worker: int = 0) -> tuple[int, Any]:
    async with world.session.post(world.members[worker].server.address + target) as response:
        return response.status, msgspec.json.decode(await response.read())


def sent_again(world: World) -> list[tuple[int, bytes, bytes, int, list[Any]]]:
    found = [(p, r.key, r.value, r.timestamp, list(r.headers)) for p, r in world.run(world.everything("words-in"))]
    return sorted(found, key=repr)


def test_a_letter_is_told_with_its_reason_and_its_own_headers(world: World) -> None:
    world.run(spoil(world, 5))
    status, answer = world.run(world.get("/dead-letters?limit=3"))
    assert (status, answer["topic"], answer["count"], len(answer["letters"])) == (200, TOPIC, 5, 3)
    last = answer["letters"][-1]
    assert (last["key"], last["encoding"], last["timestamp"], last["headers"]) == (
        "k4",
        "base64",
        1004,
        {"trace": "t4"},
    )
    reason = last["reason"]
    assert (reason["exception"], reason["topic"], reason["partition"], reason["step"]) == (
        "builtins.ValueError", "words-in", "0", "select",
    )  # fmt: skip
    assert last["replayed"] is False
    assert world.run(world.get("/dead-letters?step=other"))[1]["count"] == 0
    assert world.run(world.get("/dead-letters?topic=words-in&step=select"))[1]["count"] == 5


def test_a_letter_is_sent_again_as_it_came_and_once_however_often_it_is_asked(world: World) -> None:
    world.run(spoil(world, 6))
    before = sent_again(world)

    async def all_at_once() -> list[tuple[int, Any]]:
        return await asyncio.gather(*(post(world, "/dead-letters/replay?topic=words-in", n % 2) for n in range(2)))

    answers = world.run(all_at_once())
    assert {status for status, _ in answers} <= {200, 409}
    for _ in range(3):
        world.run(post(world, "/dead-letters/replay?topic=words-in&partition=9&offset=0"))
    first = [place for status, answer in answers if status == 200 for place in answer["replayed"]]
    # Each once in all answers that came; one that was ended in the midst may have sent some, too.
    assert len({(place["partition"], place["offset"]) for place in first}) == len(first)
    world.run(world.drained())
    marked = [each for each in world.run(world.get("/dead-letters"))[1]["letters"] if each["replayed"]]
    assert len(sent_again(world)) == len(before) + len(marked)
    assert {repr(each) for each in sent_again(world)} == {repr(each) for each in before}


def test_a_letter_that_fails_again_is_another_letter_and_does_not_go_round_for_ever(world: World) -> None:
    world.run(spoil(world, 4))
    status, answer = world.run(post(world, "/dead-letters/replay?all=1"))
    assert (status, len(answer["replayed"])) == (200, 4)
    world.run(world.drained())
    assert world.run(world.get("/dead-letters"))[1]["count"] == 8
    assert world.run(world.get("/dead-letters?pending=1"))[1]["count"] == 4


def test_one_letter_can_be_named(world: World) -> None:
    world.run(spoil(world, 4))
    place = {name: world.run(world.get("/dead-letters"))[1]["letters"][1][name] for name in ("partition", "offset")}
    target = f"/dead-letters/replay?partition={place['partition']}&offset={place['offset']}"
    assert world.run(post(world, target)) == (200, {"replayed": [place]})
    assert world.run(post(world, target, 1)) == (200, {"replayed": []})


@pytest.mark.parametrize("query", ["", "?partition=1", "?offset=1&all=1", "?all=2", "?colour=1"])
def test_what_is_to_be_sent_must_be_said(world: World, query: str) -> None:
    assert world.run(post(world, f"/dead-letters/replay{query}"))[0] == 400


@pytest.mark.parametrize("written", [True, False])
def test_when_nobody_knows_whether_it_was_written_it_is_sent_once(
    world: World, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    world.run(spoil(world, 3))
    log = world.members[0].log
    commit, doubts = log.commit, 0

    async def doubtful(commits: Any) -> Any:
        nonlocal doubts
        if not any(each.session.task == "replay" for each in commits) or doubts:
            return await commit(commits)
        doubts += 1
        if written:
            await commit(commits)
        return [Doubtful("the connection broke")]

    before = len(sent_again(world))
    monkeypatch.setattr(log, "commit", doubtful)
    world.run(replay(log, TOPIC, lambda _: True))
    assert doubts == 1
    assert len(sent_again(world)) == before + 3


def test_without_a_topic_of_dead_letters_there_are_none(words: World) -> None:
    assert words.run(words.get("/dead-letters"))[1]["letters"] == []
    assert words.run(post(words, "/dead-letters/replay?all=1")) == (200, {"replayed": []})


def test_a_letter_knows_whether_it_was_sent_again(world: World) -> None:
    world.run(spoil(world, 2))
    log = world.members[0].log

    async def states() -> list[bool]:
        return [each.replayed async for each in letters(log, TOPIC) if each.timestamp == 1_000]

    world.run(replay(log, TOPIC, lambda each: each.timestamp == 1_000))
    assert world.run(states())[0] is True


def test_letters_are_sent_again_by_their_places_and_no_others(world: World) -> None:
    world.run(spoil(world, 6))
    _, told = world.run(world.get("/dead-letters"))
    places = [f"{each['partition']}:{each['offset']}" for each in told["letters"]][:2]
    status, answer = world.run(post(world, f"/dead-letters/replay?letters={','.join(places)}"))
    assert status == 200
    assert sorted(f"{each['partition']}:{each['offset']}" for each in answer["replayed"]) == sorted(places)
    for wrong in ("", "1", "1:2,", "a:b", "1:-2"):
        status, answer = world.run(post(world, f"/dead-letters/replay?letters={wrong}"))
        assert status == 400
        assert "write partition:offset" in answer["error"]
