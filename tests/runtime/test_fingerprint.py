"""A script that changed: what cannot read the old state is refused in words, everything else goes on with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamflow import App, tumbling
from streamflow.errors import StreamflowError

from .world import World, run


def made(build: Callable[[Any], None]) -> App:
    app = App("shop", topic_partitions=1)
    build(app.stream("orders", key=str, value=str))
    return app


def counts(orders: Any) -> None:
    orders.group_by_key().count(name="orders-by-key").to_stream().to("counts")


def longest(orders: Any) -> None:
    orders.group_by_key().reduce(max, name="orders-by-key").to_stream().to("counts")


def windows(size: str, grace: str = "0ms") -> Callable[[Any], None]:
    def build(orders: Any) -> None:
        window = tumbling(size, grace=grace)
        orders.group_by_key().windowed_by(window).count(name="per-window").to_stream().to("counts")

    return build


def with_a_filter(orders: Any) -> None:
    counts(orders.filter(lambda value: True).map_values(lambda value: value, value=str))


def with_another_store(orders: Any) -> None:
    orders.group_by_key().reduce(max, name="a-store-before").to_stream().to("others")
    counts(orders)


async def through(world: World, build: Callable[[Any], None], rows: list[tuple[Any, ...]]) -> list[int]:
    """Run a script over some more records and stop it; the counts it has written in all."""
    await world.write("orders", rows, 1)
    cell = await world.start(made(build))
    world.cells.clear()
    await world.until(lambda: cell.running.done() or (cell.worker.drained and cell.worker.stats.commits))
    if cell.running.done():
        raise await cell.failure()
    await cell.stop()
    return [int.from_bytes(record.value, "big") for record in await world.read("counts")]


@pytest.mark.parametrize("gone", [False, True], ids=["state there", "state only in the changelog"])
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (counts, longest, ["'orders-by-key'", "int64", "str", "Count", "Reduce"]),
        (windows("1m"), windows("2m"), ["'per-window'", "60000 ms", "120000 ms"]),
    ],
    ids=["another aggregate", "another window"],
)
def test_state_that_the_script_cannot_read_is_refused_and_kept(
    tmp_path: Path, gone: bool, before: Callable[[Any], None], after: Callable[[Any], None], words: list[str]
) -> None:
    async def story(world: World) -> None:
        assert await through(world, before, [("k", "a", 1)]) == [1]
        if gone:
            shutil.rmtree(tmp_path / "state")
        with pytest.raises(StreamflowError) as told:
            await through(world, after, [("k", "b", 2)])
        for word in [*words, "name=", "streamflow reset"]:
            assert word in str(told.value), f"{word} is not in: {told.value}"
        assert await through(world, before, []) == [1, 2]

    run(tmp_path, story)


@pytest.mark.parametrize("gone", [False, True], ids=["state there", "state only in the changelog"])
@pytest.mark.parametrize("after", [with_a_filter, with_another_store])
def test_a_stateless_step_or_another_store_is_no_change(
    tmp_path: Path, after: Callable[[Any], None], gone: bool
) -> None:
    async def story(world: World) -> None:
        assert await through(world, counts, [("k", "a", 1)]) == [1]
        if gone:
            shutil.rmtree(tmp_path / "state")
        assert await through(world, after, [("k", "b", 2)]) == [1, 2]
        if gone:
            shutil.rmtree(tmp_path / "state")
        assert await through(world, after, [("k", "c", 3)]) == [1, 2, 3]

    run(tmp_path, story)


def test_another_grace_lays_windows_elsewhere_on_disk_and_still_finds_them(tmp_path: Path) -> None:
    """Rows lie in segments as long as half the retention; the changelog knows nothing of segments."""

    async def story(world: World) -> None:
        at = 100 * 3_600_000
        assert await through(world, windows("1m"), [("k", "a", at)]) == [1]
        assert await through(world, windows("1m", "10h"), [("k", "b", at + 1)]) == [1, 2]
        assert await through(world, windows("1m"), [("k", "c", at + 2)]) == [1, 2, 3]

    run(tmp_path, story)
