"""Real workers on a real log: sharing, fail-over, hand-over, write-behind, restoring, purging, an orderly end."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path

import pytest

from streamflow import App
from streamflow.record import TopicPartition
from streamflow.runtime import upkeep
from streamflow.runtime.worker import Pace

from .world import FAST, PARTITIONS, World, run, word_count

TASKS = {f"{sub}_{p}" for sub in ("lines", "n") for p in range(PARTITIONS)}


def lines(count: int, first: int = 0) -> list[tuple[str, str]]:
    return [(f"k{n}", f"a b{n % 5} c{n % 7}") for n in range(first, first + count)]


def counted(*rows: tuple[str, str]) -> Counter[str]:
    return Counter(word for _, line in rows for word in line.split())


def test_two_workers_share_the_tasks_and_each_sub_topology_is_shared_too(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first = await world.start(word_count(), state="one")
        await world.until(lambda: len(first.tasks) == 2 * PARTITIONS)
        second = await world.start(word_count(), state="two")
        await world.until(lambda: first.settled and second.settled and len(second.tasks) == PARTITIONS)

        assert not first.tasks & second.tasks
        for sub in {task.rpartition("_")[0] for task in first.tasks | second.tasks}:
            assert sum(task.startswith(f"{sub}_") for task in first.tasks) == PARTITIONS // 2

    run(tmp_path, story)


def test_tasks_move_to_whoever_joins_and_back_when_it_leaves_with_nothing_lost_or_doubled(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        rows = lines(400)
        await world.write("lines", rows[:100])
        first = await world.start(word_count(), state="one")
        await world.until_counted(counted(*rows[:100]))
        second = await world.start(word_count(), state="two")
        await world.write("lines", rows[100:200])
        await world.until(lambda: first.settled and second.settled and first.tasks and second.tasks)
        await world.write("lines", rows[200:300])
        await world.until_counted(counted(*rows[:300]))
        await second.stop()
        await world.write("lines", rows[300:])
        await world.until_counted(counted(*rows))
        await world.until(lambda: len(first.tasks) == 2 * PARTITIONS)

    run(tmp_path, story)


def test_another_worker_takes_over_from_one_that_was_killed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        rows = lines(300)
        first = await world.start(word_count(), state="one")
        second = await world.start(word_count(), state="two")
        await world.write("lines", rows[:150])
        await world.until(lambda: first.settled and second.settled and first.tasks and second.tasks)
        await world.until_counted(counted(*rows[:150]))
        begun = asyncio.get_running_loop().time()
        await first.kill()
        await world.write("lines", rows[150:])
        await world.until(lambda: len(second.tasks) == 2 * PARTITIONS, "all tasks to be taken over")
        print(f"taken over {asyncio.get_running_loop().time() - begun:.2f} s after the kill")
        await world.until_counted(counted(*rows))

    run(tmp_path, story)


def test_a_clean_stop_writes_everything_down_so_that_the_next_start_restores_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        never = Pace(commit_interval=0.02, write_behind=3_600)
        rows = lines(200)
        await world.write("lines", rows)
        first = await world.start(word_count(), pace=never)
        await world.until_counted(counted(*rows))
        assert any(store.behind[0] for _, task, _ in first.worker.roster.running() for store in task.stores.values())
        await first.stop()

        second = await world.start(word_count())
        await world.until(lambda: len(second.tasks) == 2 * PARTITIONS)
        assert [held.place.progress.restored for held in second.worker.roster.held.values()] == [0] * 2 * PARTITIONS
        assert second.worker.stats.stores_rebuilt == 0
        await world.write("lines", [("x", "a")])
        await world.until_counted(counted(*rows, ("x", "a")))

    run(tmp_path, story)


def test_state_comes_back_from_the_changelog_when_the_directory_is_gone(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        rows = lines(200)
        await world.write("lines", rows)
        first = await world.start(word_count())
        await world.until_counted(counted(*rows))
        await first.stop()
        shutil.rmtree(tmp_path / "state")

        second = await world.start(word_count())
        await world.until(lambda: len(second.tasks) == 2 * PARTITIONS)
        assert sum(held.place.progress.restored for held in second.worker.roster.held.values()) > 0
        await world.write("lines", [("x", "a")])
        await world.until_counted(counted(*rows, ("x", "a")))

    run(tmp_path, story)


def test_what_the_last_seconds_committed_and_nobody_wrote_down_is_replayed_after_a_kill(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        rows = lines(100)
        await world.write("lines", rows)
        first = await world.start(word_count())
        await world.until_counted(counted(*rows))
        await first.kill()
        # A kill in this process closes the stores; the copy is what a dead process leaves behind.
        second = await world.start(word_count(), state="empty")
        await world.write("lines", rows)
        await world.until_counted(counted(*rows, *rows))
        await second.stop()

        third = await world.start(word_count())  # its state is older than the log by all that the second one did
        await world.until(lambda: len(third.tasks) == 2 * PARTITIONS)
        assert third.worker.stats.stores_rebuilt == 0
        await world.write("lines", [("x", "a")])
        await world.until_counted(counted(*rows, *rows, ("x", "a")))

    run(tmp_path, story)


def test_repartition_records_are_deleted_up_to_what_is_committed_and_not_beyond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PURGE_INTERVAL", 0.05)

    async def story(world: World) -> None:
        rows = lines(100)
        await world.write("lines", rows)
        cell = await world.start(word_count())
        await world.until_counted(counted(*rows))
        parts = [TopicPartition("wc-by-word-repartition", p) for p in range(PARTITIONS)]

        async def purged() -> bool:
            bounds = await world.log.offsets(parts)
            committed = await world.log.committed("wc", parts)
            assert all(bounds[at].start <= committed.get(at, 0) for at in parts)
            return all(bounds[at].start == bounds[at].end for at in parts)

        await world.until(purged, "repartition topics to be purged")
        await world.write("lines", rows)
        await world.until_counted(counted(*rows, *rows))
        await cell.stop()
        again = await world.start(word_count())
        await world.until(lambda: len(again.tasks) == 2 * PARTITIONS)

    run(tmp_path, story)


def test_a_record_is_committed_at_once_when_there_is_nothing_else_to_do(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        app = App("idle", topic_partitions=1)
        app.stream("in").to("out")
        cell = await world.start(app, pace=Pace(commit_interval=3_600))  # who waits for that waits in vain
        await world.write("in", [(b"k", b"v")], 1)

        async def there() -> bool:
            return len(await world.read("out")) == 1

        await world.until(there, "a commit long before the interval is over")
        await world.until(lambda: cell.worker.drained)

    run(tmp_path, story)


def test_a_topic_that_a_record_names_is_made_and_nothing_before_it_is_lost(tmp_path: Path) -> None:
    """Records processed before the one that names a new topic are not committed yet: they are processed again."""

    async def story(world: World) -> None:
        app = App("dyn", topic_partitions=1)
        app.stream("in", key=str, value=str).to(lambda key, value, context: f"out-{value}")
        names = [f"t{n // 40}" for n in range(400)]  # ten topics, none of which exists
        for at in range(0, 400, 25):  # batches that end elsewhere: some are done for when the next one fails
            await world.write("in", [("k", name) for name in names[at : at + 25]], 1)
        # A commit is due in every turn: one in which a task failed must not commit how far it had come.
        await world.start(app, pace=Pace(commit_interval=0.0))
        for name in dict.fromkeys(names):

            async def all_there(name: str = name) -> bool:
                return len(await world.read(f"out-{name}")) == 40

            await world.until(all_there, f"40 records in out-{name}")

    run(tmp_path, story)


def test_stopping_before_anything_runs_and_while_restoring_ends_well(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        rows = lines(50)
        await world.write("lines", rows)
        early = await world.start(word_count())
        early.worker.stop()
        await early.running
        late = await world.start(word_count())
        await world.until(lambda: late.worker.roster.held)
        await late.stop()
        await world.start(word_count(), pace=FAST)
        await world.until_counted(counted(*rows))

    run(tmp_path, story)
