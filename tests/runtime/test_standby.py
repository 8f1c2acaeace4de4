"""Standby replicas: copies on other workers, fail-over that restores next to nothing, moves that wait for warmth."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from streamflow.log.embedded import EmbeddedLog
from streamflow.log.kafka import KafkaLog
from streamflow.record import TopicPartition
from streamflow.runtime import standby
from streamflow.runtime.standby import Standbys
from streamflow.state.keys import META_KEY
from tests.kafka.conftest import bootstrap as bootstrap
from tests.log.support import Kafka

from .world import PARTITIONS, Cell, Connect, World, run, word_count


@pytest.fixture(params=["embedded", "kafka"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Connect:
    """How a worker comes by its log."""
    if request.param == "embedded":
        return lambda **options: EmbeddedLog(tmp_path / "log", **options)
    servers = request.getfixturevalue("bootstrap")
    kafka = Kafka(servers)
    asyncio.run(kafka.fresh())
    return lambda **_: cast(EmbeddedLog, KafkaLog(kafka._servers, session_timeout=6.0))


COUNTS = {f"by-word-repartition_{p}" for p in range(PARTITIONS)}


def lines(count: int, first: int = 0) -> list[tuple[str, str]]:
    return [(f"k{n}", f"a{n} b{n % 50} c{n % 7}") for n in range(first, first + count)]


def counted(*rows: tuple[str, str]) -> Counter[str]:
    return Counter(word for _, line in rows for word in line.split())


def copies(cell: Cell) -> Standbys:
    return cell.worker.roster.standbys


def fresh(cell: Cell) -> bool:
    """Every copy that is meant for this worker is there and lacks nothing."""
    kept = copies(cell).copies
    wanted = cell.worker.membership.assignment().standbys
    return kept.keys() == wanted and all(copy.warm and copy.lag == 0 for copy in kept.values())


def in_one_generation(cells: list[Cell]) -> bool:
    """All have joined, know the same assignment, and run what is theirs."""
    generations = {cell.worker.membership.assignment().generation for cell in cells}
    return len(generations) == 1 and 0 not in generations and all(cell.settled for cell in cells)


def restored(cell: Cell, tasks: set[str]) -> int:
    """Changelog records that the tasks' last recoveries had to read."""
    return sum(cell.worker.roster.held[task].place.progress.restored for task in tasks)


async def folded(world: World, at: TopicPartition) -> dict[bytes, bytes]:
    """What a changelog partition says when it is read from its beginning."""
    rows: dict[bytes, bytes] = {}
    for record in await world.read_partition(at):
        if record.key == META_KEY:
            continue
        if record.value is None:
            rows.pop(record.key, None)
        else:
            rows[record.key] = record.value
    return rows


def test_a_fail_over_with_a_standby_restores_next_to_nothing(tmp_path: Path, connect: Connect) -> None:
    async def story(world: World) -> None:
        rows = lines(3_000)
        await world.write("lines", rows[:2_500])
        one = await world.start(word_count(standby_replicas=1), state="one")
        two = await world.start(word_count(standby_replicas=1), state="two")
        await world.until_counted(counted(*rows[:2_500]))
        await world.until(lambda: one.settled and two.settled and len(one.tasks & COUNTS) == 2, "both to have half")
        await world.until(lambda: fresh(one) and fresh(two), "every copy to be fresh")
        assert copies(one).copies.keys() == two.tasks & COUNTS and copies(two).copies.keys() == one.tasks & COUNTS
        taken = one.tasks & COUNTS

        await one.kill()
        await world.until(lambda: two.tasks >= COUNTS, "the survivor to run all")

        assert restored(two, taken) == 0
        await world.write("lines", rows[2_500:])
        await world.until_counted(counted(*rows))

    run(tmp_path, story, connect)


def test_a_task_goes_on_where_it_is_until_its_next_owner_is_warm(
    tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        rows = lines(3_000)
        await world.write("lines", rows[:2_000])
        one = await world.start(word_count(), state="one")
        await world.until_counted(counted(*rows[:2_000]))
        monkeypatch.setattr(standby, "LAG", -1)  # nobody is ever warm
        two = await world.start(word_count(), state="two")
        await world.until(lambda: two.settled and len(copies(two).copies) == 2, "the second to warm up")

        await world.write("lines", rows[2_000:])
        await world.until_counted(counted(*rows))
        assert one.tasks >= COUNTS and not two.tasks & COUNTS

        monkeypatch.setattr(standby, "LAG", 10_000)
        more = [(f"x{n}", f"x{n}") for n in range(100)]  # something for every partition
        await world.write("lines", more)
        await world.until(lambda: two.settled and one.settled and len(two.tasks & COUNTS) == 2, "tasks to move")
        assert restored(two, two.tasks & COUNTS) < 10
        await world.until_counted(counted(*rows, *more))

    run(tmp_path, story, connect)


def test_workers_that_share_a_folder_hand_tasks_over_without_a_copy(tmp_path: Path, connect: Connect) -> None:
    async def story(world: World) -> None:
        rows = lines(1_000)
        await world.write("lines", rows)
        one = await world.start(word_count())
        await world.until_counted(counted(*rows))
        two = await world.start(word_count())
        await world.until(lambda: one.settled and two.settled and len(two.tasks & COUNTS) == 2, "tasks to move")

        assert restored(two, two.tasks & COUNTS) == 0
        assert not list(tmp_path.glob("state/**/*~1"))

    run(tmp_path, story, connect)


def test_copies_equal_a_fresh_fold_of_the_changelog_through_joins_leaves_and_kills(
    tmp_path: Path, connect: Connect
) -> None:
    async def story(world: World) -> None:
        rows = lines(1_200)
        cells = [await world.start(word_count(standby_replicas=1), state=f"s{n}") for n in range(3)]
        for n, change in enumerate(("kill", "join", "leave", "join")):
            await world.write("lines", rows[n * 300 : n * 300 + 300])
            if change == "kill":
                await cells.pop(0).kill()
            elif change == "leave":
                await cells.pop(0).stop()
            else:
                cells.append(await world.start(word_count(standby_replicas=1), state=f"t{n}"))
            await world.until_counted(counted(*rows[: n * 300 + 300]))

        await world.until(lambda: in_one_generation(cells) and all(map(fresh, cells)), "copies to be fresh")
        runs = [task for cell in cells for task in cell.tasks & COUNTS]
        kept = [task for cell in cells for task in copies(cell).copies]
        assert sorted(runs) == sorted(kept) == sorted(COUNTS)
        for cell in cells:
            for place in [copy.place for copy in copies(cell).copies.values()]:
                [at] = place.changelogs().values()
                assert dict(place.stores["n"].view(key_raw=True, value_raw=True).all()) == await folded(world, at)

    run(tmp_path, story, connect)
