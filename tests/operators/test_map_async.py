"""Calls of services: in order, bounded, exactly once with their records; what fails is told or left out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streamflow import App
from streamflow.errors import RecordError, TopologyError
from streamflow.testing import TopologyTestDriver
from tests.runtime.world import PARTITIONS, World, run


async def doubled(value: int) -> int:
    await asyncio.sleep(0)
    return value * 2


def build(f: Any = doubled, **how: Any) -> App:
    app = App("app", topic_partitions=PARTITIONS)
    app.stream("in", key=str, value=int).map_async(f, value=int, name="called", **how).to("out")
    return app


def values(driver: TopologyTestDriver) -> list[tuple[Any, Any, int]]:
    return [(r.key, r.value, r.timestamp) for r in driver.output_topic("out").read_records()]


def test_each_record_goes_on_with_what_its_call_gave() -> None:
    async def keyed(key: str, value: int) -> int:
        return len(key) + value

    for f, expected in ((doubled, [("a", 2, 5), ("b", 4, 6)]), (keyed, [("a", 2, 5), ("b", 3, 6)])):
        with TopologyTestDriver(build(f)) as driver:
            driver.input_topic("in").pipe_many([("a", 1, 5), ("b", 2, 6)])
            assert values(driver) == expected


def test_headers_stay_with_their_records() -> None:
    with TopologyTestDriver(build()) as driver:
        driver.input_topic("in").pipe("a", 1, 5, [("id", b"7")])
        (record,) = driver.output_topic("out").read_records()
    assert list(record.headers) == [("id", b"7")]


async def failing(value: int) -> int:
    if value == 2:
        raise ValueError("two")
    return value


@pytest.mark.parametrize(("policy", "kept"), [("skip", [1, 3]), ("dead_letter", [1, 3])])
def test_a_call_that_fails_is_left_out_as_the_step_says(policy: Any, kept: list[int]) -> None:
    with TopologyTestDriver(build(failing, on_error=policy)) as driver:
        driver.input_topic("in").pipe_many([("a", n, n) for n in (1, 2, 3)])
        assert [value for _, value, _ in values(driver)] == kept
        assert driver.dropped_records == 1
        letters = driver.output_topic("app-dead-letters", key=str, value=int).read_key_values()
        assert letters == ([("a", 2)] if policy == "dead_letter" else [])


def test_a_call_that_fails_stops_the_application_with_its_record() -> None:
    with (
        TopologyTestDriver(build(failing)) as driver,
        pytest.raises(RecordError, match=r"offset 0.*'called'.*ValueError: two"),
    ):
        driver.input_topic("in").pipe("a", 2, 0)


def test_a_call_that_takes_too_long_has_failed() -> None:
    async def hanging(value: int) -> int:
        await asyncio.sleep(60)
        return value

    says = r"TimeoutError: no answer within 0\.02 s"
    with TopologyTestDriver(build(hanging, timeout="20ms")) as driver, pytest.raises(RecordError, match=says):
        driver.input_topic("in").pipe("a", 1, 0)


def test_what_comes_after_a_call_may_fail_like_anything_else() -> None:
    app = App("app", on_process_error="skip")
    called = app.stream("in", key=str, value=int).map_async(doubled, value=int)
    called.group_by_key().count(name="n")
    called.map_values(lambda value: 10 // (value - 2), value=int).to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("in").pipe_many([("a", 1, 0), ("a", 3, 1)])
        assert [value for _, value, _ in values(driver)] == [2]
        assert driver.store("n").get("a") == 1  # what the record that failed had counted is taken back


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"f": lambda value: value}, "takes a function declared with async def"),
        ({"concurrency": 0}, "whole number of at least 1"),
        ({"on_error": "retry"}, "write 'fail', 'skip' or 'dead_letter'"),
    ],
)
def test_mistakes_are_told_when_it_is_declared(how: dict[str, Any], says: str) -> None:
    with pytest.raises(TopologyError, match=says):
        build(**how)


class Service:
    """Answers out of order, and knows how many it answered at once."""

    def __init__(self) -> None:
        self.now = self.most = self.calls = 0

    async def __call__(self, value: int) -> int:
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001 + 0.004 * (value % 3))
        self.now -= 1
        return value


def test_a_worker_makes_many_calls_at_once_and_keeps_the_order(tmp_path: Path) -> None:
    service, count = Service(), 600

    async def story(world: World) -> None:
        await world.write("in", [("k", n.to_bytes(8, "big")) for n in range(count)])
        await world.start(build(service, concurrency=8))

        async def done() -> bool:
            found = [int.from_bytes(r.value, "big") for r in await world.read("out")]
            assert found == list(range(len(found)))
            return len(found) == count

        await world.until(done, "every record to be there, in order, once")

    run(tmp_path, story)
    assert 2 <= service.most <= 8
    assert service.calls == count


def test_a_killed_worker_s_calls_are_made_again_and_their_results_are_there_once(tmp_path: Path) -> None:
    count = 400

    async def story(world: World) -> None:
        await world.write("in", [(f"k{n % 7}", n.to_bytes(8, "big")) for n in range(count)])
        first = await world.start(build(Service(), concurrency=4), state="one")

        async def some() -> bool:
            return len(await world.read("out")) >= 50

        await world.until(some, "some results")
        await first.kill()
        await world.start(build(Service()), state="two")

        async def done() -> bool:
            found = sorted(int.from_bytes(r.value, "big") for r in await world.read("out"))
            assert len(set(found)) == len(found)
            return found == list(range(count))

        await world.until(done, "every result once")

    run(tmp_path, story)
