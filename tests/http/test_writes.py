"""Events written over HTTP: placed like any other, durable when answered, once where they have an id."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from streamflow.http.events import MOST_BYTES, value_bytes
from streamflow.http.writer import ID_HEADER
from streamflow.log.partitioner import partition_of
from streamflow.query import WrongQuestion
from streamflow.serdes import serde_of
from tests.http.world import PARTITIONS, World, framed

BYTES = "application/octet-stream"


async def post(world: World, target: str, body: bytes, worker: int = 0, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with world.session.post(world.members[worker].server.address + target, data=body, headers=named) as response:
        return response.status, msgspec.json.decode(await response.read())


def test_an_event_is_processed_and_can_be_asked_for(words: World) -> None:
    status, place = words.run(post(words, "/topics/words-in?key=k", framed(b"posted", b"x"), Content_Type=BYTES))

    assert (status, place["topic"], place["partition"]) == (201, "words-in", partition_of(b"k", PARTITIONS))
    words.run(words.drained())
    assert words.run(words.get("/stores/words/keys/posted"))[1]["value"] == "006postedx"


def test_timestamp_headers_and_partition_are_kept(words: World) -> None:
    target = "/topics/words-in?key=a%00&timestamp=17&partition=2&headers=%7B%22trace%22%3A%22t1%22%7D"
    _, place = words.run(post(words, target, framed(b"a"), Content_Type=BYTES))
    _, page = words.run(words.get(f"/topics/words-in/records?partition=2&from={place['offset']}"))

    record = page["records"][0]
    assert (record["key"], record["timestamp"], record["headers"]) == ("a\x00", 17, {"trace": "t1"})
    assert page["next"] == {"2": place["offset"] + 1}


def test_the_same_id_is_written_once_by_any_worker_and_after_a_restart(empty_world: World) -> None:
    world = empty_world
    world.run(world.start(workers=2))
    send: dict[str, Any] = {"body": framed(b"a", b"1"), "Content_Type": BYTES, "Idempotency_Key": "order-1"}

    first = world.run(post(world, "/topics/words-in?key=a", **send))
    again = world.run(post(world, "/topics/words-in?key=a", **send))
    elsewhere = world.run(post(world, "/topics/words-in?key=a", worker=1, **send))
    world.run(world.kill(world.members[0]))
    world.run(world.add("w2"))
    world.run(world.until(world.shared))
    restarted = world.run(post(world, "/topics/words-in?key=a", worker=1, **send))

    assert (first[0], again[0], elsewhere[0], restarted[0]) == (201, 200, 200, 200)
    assert first[1] == again[1] == elsewhere[1] == restarted[1]
    held = world.run(world.everything("words-in"))
    assert [dict(record.headers)[ID_HEADER] for _, record in held] == [b"order-1"]


def test_an_id_that_comes_many_times_at_once_is_written_once(words: World) -> None:
    async def all_at_once() -> list[tuple[int, Any]]:
        sends = (
            post(words, "/topics/words-in", framed(b"b", b"1"), Content_Type=BYTES, Idempotency_Key="at-once")
            for _ in range(20)
        )
        return await asyncio.gather(*sends)

    answers = words.run(all_at_once())
    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    assert len({tuple(place.items()) for _, place in answers}) == 1


def test_an_id_with_another_event_is_refused(words: World) -> None:
    send = {"Content_Type": BYTES, "Idempotency_Key": "mine"}
    words.run(post(words, "/topics/words-in", framed(b"c", b"1"), **send))
    status, answer = words.run(post(words, "/topics/words-in", framed(b"c", b"2"), **send))
    assert status == 400
    assert "an id belongs to one event" in answer["error"]


def test_many_requests_share_an_append(words: World) -> None:
    log, appends = words.members[0].log, 0
    append = log.append

    async def counting(batches: Any) -> Any:
        nonlocal appends
        appends += 1
        return await append(batches)

    log.append = counting  # type: ignore[method-assign]
    try:

        async def many() -> list[tuple[int, Any]]:
            sends = (
                post(words, f"/topics/words-in?key={n}", framed(b"many%d" % n), Content_Type=BYTES) for n in range(200)
            )
            return await asyncio.gather(*sends)

        answers = words.run(many())
    finally:
        log.append = append  # type: ignore[method-assign]
    assert {status for status, _ in answers} == {201}
    assert len({(place["partition"], place["offset"]) for _, place in answers}) == 200
    assert appends < 100


@pytest.mark.parametrize(
    ("target", "body", "headers", "status", "said"),
    [
        ("/topics/nope", b"1", {}, 404, "those that take events: words-in"),
        ("/topics/asked-words-repartition", b"1", {}, 403, "repartition of the application"),
        ("/topics/asked-words-changelog", b"1", {}, 403, "changelog of the application"),
        ("/topics/words-in?partition=9", b"1", {}, 400, "partitions 0 to 3"),
        ("/topics/words-in?timestamp=x", b"1", {}, 400, "timestamp is 'x'"),
        ("/topics/words-in?headers=x", b"1", {}, 400, "headers is 'x'"),
        ("/topics/words-in?headers=%7B%22streamflow.x%22%3A%22%22%7D", b"1", {}, 400, "streamflow's own"),
        ("/topics/words-in?colour=red", b"1", {}, 400, "has no parameter 'colour'"),
        ("/topics/words-in", b"{", {}, 400, "the body is no raw"),
        ("/topics/words-in", b"null", {}, 400, "value is null and there is no key"),
        ("/topics/words-in", b"1", {"Content_Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
        ("/topics/words-in", b"1", {"Idempotency_Key": "x" * 201}, 400, "Idempotency-Key"),
        ("/topics/words-in", b"x" * (MOST_BYTES + 1), {"Content_Type": BYTES}, 413, "the most"),
    ],
)
def test_a_wrong_event_gets_a_sentence_and_is_not_written(
    words: World, target: str, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    before = len(words.run(words.everything("words-in")))
    found, answer = words.run(post(words, target, body, **{"Content_Type": "application/json", **headers}))
    assert (found, said in answer["error"]) == (status, True), answer
    assert len(words.run(words.everything("words-in"))) == before


@dataclass
class Order:
    id: str
    amount: int


@pytest.mark.parametrize(
    ("kind", "body", "written"),
    [
        (str, b'"a"', b"a"),
        (int, b"-1", b"\xff" * 8),
        (float, b"1", b"\x3f\xf0" + bytes(6)),
        (bytes, b'{"a": 1}', b'{"a": 1}'),
        (Order, b'{"amount": 1, "id": "x"}', b'{"id":"x","amount":1}'),
        (Order, b"null", None),
    ],
)
def test_json_is_read_by_the_topics_type(kind: Any, body: bytes, written: bytes | None) -> None:
    assert value_bytes(serde_of(kind), body, "application/json") == written


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [(Order, b'{"id": "x", "amount": "much"}', "amount"), (int, b"true", "whole number"), (str, b"a", "malformed")],
)
def test_what_is_wrong_with_a_value_is_named(kind: Any, body: bytes, said: str) -> None:
    with pytest.raises(WrongQuestion, match=said):
        value_bytes(serde_of(kind), body, "application/json")


def test_bytes_that_the_application_cannot_read_are_refused() -> None:
    with pytest.raises(WrongQuestion, match="the body is no int64"):
        value_bytes(serde_of(int), b"123", BYTES)


def test_topics_are_listed_with_their_parts_and_lag(words: World) -> None:
    words.run(words.keep("words", [(b"l%d" % n, b"", 1) for n in range(20)]))
    _, answer = words.run(words.get("/topics"))
    by_name = {topic["name"]: topic for topic in answer["topics"]}

    assert {name: topic["roles"] for name, topic in by_name.items()} == {
        "words-in": ["source"],
        "asked-words-repartition": ["repartition"],
        "asked-words-changelog": ["changelog"],
    }
    assert by_name["words-in"]["lag"] == 0
    assert sum(part["end"] - part["start"] for part in by_name["words-in"]["partitions"]) >= 20
    assert by_name["asked-words-changelog"]["lag"] is None


def test_records_are_the_last_ones_or_those_of_a_key(words: World) -> None:
    words.run(words.keep("words", [(b"r%d" % n, b"", 1_000 + n) for n in range(50)]))
    _, last = words.run(words.get("/topics/words-in/records?limit=3"))
    assert len(last["records"]) == 3
    _, keyed = words.run(words.get("/topics/asked-words-repartition/records?key=r7"))
    assert {record["key"] for record in keyed["records"]} == {"r7"}
    status, answer = words.run(words.get("/topics/words-in/records?from=1"))
    assert (status, "say which with partition" in answer["error"]) == (400, True)
