"""Records that cannot be read or make the user's function raise: every policy, in the worker and the test driver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamflow import App, tumbling
from streamflow.errors import RecordError, StoreCorrupt, StreamflowError
from streamflow.runtime.outbox import Outbox
from streamflow.runtime.worker import Pace
from streamflow.serdes import RegistryUnavailable, Serde
from streamflow.testing import TopologyTestDriver

from .world import World, run

HEADERS = ["exception", "message", "stacktrace", "topic", "partition", "offset"]


def checked(**settings: Any) -> App:
    """Counts words, sends them on, and only then chokes on "bad": its effects are there when it raises."""
    app = App("poison", topic_partitions=1, **settings)
    words = app.stream("in", key=str, value=str)
    words.to("seen")
    words.group_by_key().count(name="n").to_stream().to("counts")
    words.group_by_key().windowed_by(tumbling("1s")).count(name="w").to_stream().to("windows")
    words.peek(choke, name="peek")
    return app


def choke(value: str) -> None:
    if value == "bad":
        raise ValueError("too bad")


ROWS = [("k", "one", 1), ("k", "bad", 999_999), ("k", "two", 2)]


def test_fail_stops_the_worker_with_one_message_that_names_everything_and_commits_nothing_after(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.write("in", [("k", "one", 1)], 1)
        cell = await world.start(checked())

        async def first() -> bool:
            return len(await world.read("seen")) == 1

        await world.until(first)
        await world.write("in", ROWS[1:], 1)
        error = await cell.failure()
        world.cells.remove(cell)
        assert isinstance(error, RecordError)
        for words in ("'in' partition 0 offset 1", "(key 'k')", "'peek'", "ValueError: too bad", "on_process_error"):
            assert words in str(error), words
        assert [record.value for record in await world.read("seen")] == [b"one"]
        assert (await world.log.committed("poison", list(cell.worker._asked)))[next(iter(cell.worker._asked))] == 1

    run(tmp_path, story)


@pytest.mark.parametrize("policy", ["skip", lambda context, error: "skip" if context.offset == 1 else "fail"])
def test_skip_takes_back_all_effects_of_the_record_and_counts_it(tmp_path: Path, policy: Any) -> None:
    async def story(world: World) -> None:
        await world.write("in", ROWS, 1)
        cell = await world.start(checked(on_process_error=policy))
        await world.until(lambda: cell.worker.drained and cell.worker.stats.commits)
        assert [record.value for record in await world.read("seen")] == [b"one", b"two"]
        assert [int.from_bytes(record.value, "big") for record in await world.read("counts")] == [1, 2]
        # Had stream time kept the poison record's 999,999, the window of the last record would be long closed.
        assert [int.from_bytes(record.value, "big") for record in await world.read("windows")] == [1, 2]
        [(_, task, _)] = cell.worker.roster.running()
        assert task.drops == {("peek", "process_error"): 1}

    run(tmp_path, story)


def test_a_dead_letter_is_the_record_as_it_came_with_the_headers_of_kafka_streams(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        app = App("letters", topic_partitions=1, on_deserialize_error="dead_letter", on_process_error="dead_letter")

        def mutate(value: dict[str, int]) -> None:
            value["a"] = 0
            raise ValueError("odd \udcff words")

        app.stream("in", key=str, value=dict).peek(mutate).to("out")
        rows = [("k", b'{"a":  1}', 7), (None, b"\xff\xfe garbage", 8)]
        await world.write("in", rows, 1)
        cell = await world.start(app)
        await world.until(lambda: cell.worker.drained and cell.worker.stats.commits)
        letters = await world.read("letters-dead-letters")
        assert [(r.key, r.value, r.timestamp) for r in letters] == [(b"k", b'{"a":  1}', 7), (None, rows[1][1], 8)]
        for offset, letter in enumerate(letters):
            told = dict(letter.headers)
            assert all(told[f"__streams.errors.{name}"] for name in HEADERS)
            assert told["__streams.errors.topic"] == b"in"
            assert told["__streams.errors.offset"] == str(offset).encode()
        assert dict(letters[0].headers)["__streams.errors.exception"] == b"builtins.ValueError"
        assert await world.read("out") == []

    run(tmp_path, story)


def test_a_record_with_effects_beyond_the_bound_fails_and_its_neighbours_do_not(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        app = App("huge", topic_partitions=1)
        app.stream("in", key=str, value=str).flat_map_values(
            lambda value: ["x" * 10_000] * (300 if value == "huge" else 1), value=str
        ).to("out")
        await world.write("in", [("k", "small")] * 50 + [("k", "huge")] + [("k", "small")] * 50, 1)
        cell = await world.start(app, pace=Pace(commit_interval=0.02, uncommitted_bytes=1 << 20))
        error = await cell.failure()
        world.cells.remove(cell)
        assert isinstance(error, RecordError)
        assert "'in' partition 0 offset 50" in str(error) and "more than the 1 MiB" in str(error)
        assert len(await world.read("out")) <= 50

    run(tmp_path, story)


def test_a_record_with_effects_beyond_the_bound_can_be_skipped(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        app = App("huge", topic_partitions=1, on_process_error="skip")
        app.stream("in", key=str, value=str).flat_map_values(
            lambda value: ["x" * 10_000] * (300 if value == "huge" else 1), value=str
        ).to("out")
        await world.write("in", [("k", "small")] * 50 + [("k", "huge")] + [("k", "small")] * 50, 1)
        cell = await world.start(app, pace=Pace(commit_interval=0.02, uncommitted_bytes=1 << 20))
        await world.until(lambda: cell.worker.drained and cell.worker.stats.commits)
        assert len(await world.read("out")) == 100

    run(tmp_path, story)


def test_much_output_of_many_records_is_committed_in_between(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        app = App("much", topic_partitions=1)
        app.stream("in", key=str, value=str).flat_map_values(lambda value: [value * 100] * 20, value=str).to("out")
        await world.write("in", [("k", "0123456789")] * 400, 1)
        pace = Pace(commit_interval=3_600, uncommitted_bytes=1 << 20)
        cell = await world.start(app, pace=pace)
        await world.until(lambda: cell.worker.drained and cell.worker.stats.commits >= 4)
        assert len(await world.read("out")) == 8_000

    run(tmp_path, story)


def test_a_record_that_cannot_be_written_is_shown() -> None:
    outbox = Outbox({"out": 1})
    outbox.outlet("out").lists[0] += [(b"k", b"fine", 1, []), (b"k", "text, not bytes", 1, [])]  # type: ignore[list-item]
    with pytest.raises(StreamflowError, match=r"'out' partition 0 cannot be written .*'text, not bytes'"):
        outbox.batches()


def test_a_damaged_store_is_never_taken_for_the_records_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under ``skip`` it would be counted and lost."""

    async def story(world: World) -> None:
        app = checked(on_process_error="skip")
        await world.write("in", [("k", "one", 1)], 1)
        cell = await world.start(app)
        await world.until(lambda: cell.worker.drained and cell.worker.stats.commits)
        [(_, task, _)] = cell.worker.roster.running()
        store = task.stores["n"]
        base = store._layers.base

        def broken(key: bytes) -> bytes:
            raise StoreCorrupt(f"the store in {base.path} cannot be read (Corruption: block checksum mismatch)")

        monkeypatch.setattr(base, "get", broken)
        await world.write("in", [("other", "two", 2), ("k", "two", 3)], 1)
        await world.until(lambda: cell.worker.stats.stores_rebuilt == 1 and cell.worker.drained)
        counts = [(r.key, int.from_bytes(r.value, "big")) for r in await world.read("counts")]
        assert counts == [(b"k", 1), (b"other", 1), (b"k", 2)]

    run(tmp_path, story)


# --- the same over the test driver


def driven(policy: Any) -> tuple[list[str], list[int], int]:
    with TopologyTestDriver(checked(on_process_error=policy)) as driver:
        source = driver.input_topic("in")
        for key, value, timestamp in ROWS:
            source.pipe(key, value, timestamp)
        seen = [value for _, value in driver.output_topic("seen").read_key_values()]
        windows = [value for _, value in driver.output_topic("windows").read_key_values()]
        return seen, windows, driver.dropped_records


@pytest.mark.parametrize("policy", ["skip", "dead_letter", lambda context, error: "skip"])
def test_the_driver_follows_the_policy_too(policy: str | Callable[..., Any]) -> None:
    assert driven(policy) == (["one", "two"], [1, 2], 1)


def test_the_driver_fails_as_the_worker_does_and_commits_nothing_of_the_record() -> None:
    with TopologyTestDriver(checked(), commit="manual") as driver:
        source = driver.input_topic("in")
        source.pipe("k", "one", 1)
        driver.commit()
        with pytest.raises(RecordError, match="'in' partition 0 offset 1"):
            source.pipe("k", "bad", 2)
        driver.commit()
        assert driver.output_topic("seen").read_key_values() == [("k", "one")]
        with pytest.raises(StreamflowError, match="has failed"):
            source.pipe("k", "two", 3)


def test_a_policy_that_raises_itself_means_fail() -> None:
    def policy(context: Any, error: Exception) -> Any:
        raise KeyError("my own mistake")

    with TopologyTestDriver(checked(on_process_error=policy)) as driver, pytest.raises(RecordError, match="too bad"):
        driver.input_topic("in").pipe("k", "bad", 1)


def test_what_is_away_for_now_is_asked_again_and_no_record_is_skipped_for_it(tmp_path: Path) -> None:
    away = 3

    def ask(value: str) -> bytes:
        nonlocal away
        if value == "b" and away:
            away -= 1
            raise RegistryUnavailable("the registry cannot be reached")
        return value.encode()

    async def story(world: World) -> None:
        app = App("away", topic_partitions=1, on_process_error="skip")
        asking = Serde(ask, lambda data: (data or b"").decode(), "asking")
        app.stream("in", key=str, value=str).map_values(str, value=asking).to("out")
        await world.write("in", [("k", value, 1) for value in "abc"], 1)
        cell = await world.start(app)

        await world.until(lambda: cell.worker.drained and cell.worker.stats.commits)

        assert [record.value for record in await world.read("out")] == [b"a", b"b", b"c"]

    run(tmp_path, story)
    assert away == 0
