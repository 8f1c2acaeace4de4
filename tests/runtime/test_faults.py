"""Every call of the log may fail for now: the worker goes on, nothing is lost, no task stays without an owner."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from streamflow import App
from streamflow.errors import LogCorrupt, LogUnavailable, StreamflowError
from streamflow.log.contract import Assignment
from streamflow.record import TopicPartition
from streamflow.runtime import roster, upkeep, worker
from streamflow.runtime.worker import Pace
from streamflow.state.locks import HERE

from .faulty import ASKED, OF_MEMBERS, EveryNth
from .test_worker import counted, lines
from .world import PARTITIONS, World, run, word_count


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "AGAIN", 0.01)
    monkeypatch.setattr(roster, "BACKOFF", (0.01,))
    monkeypatch.setattr(upkeep, "PURGE_INTERVAL", 0.02)


@pytest.mark.parametrize("name", [*ASKED, *OF_MEMBERS, "init"])
def test_a_log_that_is_unavailable_now_and_then_stops_nobody(tmp_path: Path, name: str) -> None:
    async def story(world: World) -> None:
        rows = lines(120)
        await world.write("lines", rows[:40])
        before = await world.start(word_count(), state="one")
        await world.until_counted(counted(*rows[:40]))
        await before.stop()
        fails = EveryNth((name,), 4, at_first=2)  # a recovery takes three `offsets`
        first = await world.start(word_count(), state="one", fails=fails)
        await world.write("lines", rows[40:80])
        await world.until_counted(counted(*rows[:80]))
        second = await world.start(word_count(), state="two")
        await world.until(lambda: first.settled and second.settled and len(second.tasks) == PARTITIONS)
        await world.write("lines", rows[80:])
        await world.until_counted(counted(*rows))
        await second.stop()
        await world.until(lambda: len(first.tasks) == 2 * PARTITIONS, "all tasks to come back")
        assert fails.happened, f"no call of {name} ever failed"
        if name == "changed":
            return
        await first.stop()

    run(tmp_path, story)


@pytest.mark.parametrize("name", ["fetch", "init", "commit", "changed", "claim"])
def test_a_damaged_log_ends_the_worker_in_order(tmp_path: Path, name: str) -> None:
    async def story(world: World) -> None:
        await world.write("lines", lines(10))

        def fails(call: str) -> BaseException | None:
            # A commit that raises tells nothing; it is the recovery after it that meets the damage.
            broken = call == name or (name == "commit" and call == "confirm")
            return LogCorrupt("the log is damaged") if broken else None

        cell = await world.start(word_count(), fails=fails)
        error = await cell.failure()
        world.cells.remove(cell)
        assert isinstance(error, LogCorrupt)
        assert cell.worker.state == "STOPPED"
        assert not [path for path in HERE if str(tmp_path) in path], "stores were left open"

    run(tmp_path, story)


def test_a_recovery_that_is_cut_off_anywhere_leaves_no_store_open(tmp_path: Path) -> None:
    """Tasks move away in the middle of their recovery, and come back to the same process."""

    async def story(world: World) -> None:
        rows = lines(40)
        await world.write("lines", rows)
        first = await world.start(word_count())
        await world.until_counted(counted(*rows))
        await first.stop()
        for calls in range(1, 40, 2):
            seen = 0
            gate = asyncio.Event()

            def counting(name: str) -> BaseException | None:
                nonlocal seen
                seen += name in ("init", "offsets", "topics", "commit_id", "fetch", "committed")
                if seen >= calls:  # noqa: B023
                    gate.set()  # noqa: B023
                return None

            cell = await world.start(word_count(), fails=counting)
            await world.until(gate.is_set)
            world.cells.remove(cell)
            cell.running.cancel()
            await asyncio.gather(cell.running, return_exceptions=True)
            assert not [path for path in HERE if str(tmp_path) in path], f"a store is open after {calls} calls"
            await cell.log.close()
        await world.start(word_count())
        await world.write("lines", rows)
        await world.until_counted(counted(*rows, *rows))

    run(tmp_path, story)


def test_who_was_passed_over_lets_go_and_gets_the_task_back(tmp_path: Path) -> None:
    """Another member took a task because this one seemed to hang, and let it go again: it must be claimed anew."""

    async def story(world: World) -> None:
        rows = lines(80)
        await world.write("lines", rows[:40])
        cell = await world.start(word_count())
        await world.until_counted(counted(*rows[:40]))
        name = "lines_0"
        thief = world.log.session("wc", name)
        await world.log.membership("wc").release(frozenset({name}))  # not its own: no effect
        await cell.worker.membership.release(frozenset({name}))  # the group does not know the worker as holder any more
        cell.worker.membership._claims |= {name}  # type: ignore[attr-defined]
        await thief.init()
        await world.write("lines", rows[40:])
        await world.until_counted(counted(*rows))
        assert cell.worker.stats.fenced
        assert len(cell.tasks) == 2 * PARTITIONS
        members = await world.log.membership("wc").members()
        assert [len(member.tasks) for member in members] == [2 * PARTITIONS]

    run(tmp_path, story)


def test_a_position_that_others_have_purged_sends_a_zombie_to_the_group_and_not_to_the_user(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        app = App("zombie", topic_partitions=1)
        app.stream("in").to("out")
        await world.write("in", [(b"k", b"a")] * 3, 1)
        cell = await world.start(app)

        async def written(count: int) -> bool:
            return len(await world.read("out")) == count

        await world.until(lambda: written(3))
        await world.until(lambda: cell.worker.drained)
        # As if its position were that of a life long past: the log begins behind it.
        [(_, task, _)] = cell.worker.roster.running()
        at = TopicPartition("in", 0)
        await world.log.delete_records({at: 3})
        task.inputs[at].fetched = 1
        await world.write("in", [(b"k", b"b")], 1)
        await world.until(lambda: written(4))
        assert cell.worker.stats.recoveries == 2

    run(tmp_path, story)


def test_a_position_that_is_truly_gone_is_told_with_the_way_on(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        app = App("late", topic_partitions=1)
        app.stream("in").to("out")
        await world.write("in", [(b"k", b"a")] * 3, 1)
        first = await world.start(app)
        await world.until(lambda: first.worker.drained and first.worker.stats.commits)
        await first.stop()
        await world.write("in", [(b"k", b"a")] * 3, 1)
        await world.log.delete_records({TopicPartition("in", 0): 5})
        second = await world.start(app)
        error = await second.failure()
        world.cells.remove(second)
        assert isinstance(error, StreamflowError) and not isinstance(error, LogUnavailable)
        assert "'in' partition 0: the next offset is 3, but the log holds 5 to 6" in str(error)

    run(tmp_path, story)


def test_a_slow_function_does_not_keep_the_loop_from_turning(tmp_path: Path) -> None:
    """Else the group takes the worker for hung, and whoever takes over hangs just the same."""

    async def story(world: World) -> None:
        app = App("slow", topic_partitions=1)
        app.stream("in").peek(lambda value: time.sleep(0.02)).to("out")
        await world.write("in", [(b"k", b"v")] * 100, 1)
        cell = await world.start(app, session_timeout=0.6)
        other = await world.start(app, session_timeout=0.6)

        async def done() -> bool:
            return len(await world.read("out")) == 100

        await world.until(done)
        assert not cell.worker.membership.assignment().lost
        assert cell.worker.stats.fenced == other.worker.stats.fenced == 0
        [held] = [*cell.worker.roster.held.values(), *other.worker.roster.held.values()]
        assert held.slice <= 4

    run(tmp_path, story)


def test_an_input_without_records_waits_for_no_fetch_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one of two partitions full, a fetch is under way for the idle one alone when the full one runs dry."""
    monkeypatch.setattr(worker, "BUFFER_BYTES", 1)
    monkeypatch.setattr(worker, "FETCH_BYTES", 1)
    monkeypatch.setattr(worker, "FETCH_WAIT", 3_600.0)

    async def story(world: World) -> None:
        app = App("skew", topic_partitions=2)
        app.stream("in").to("out")
        await world.log.create_topics([])
        await world.write("in", [(b"a", b"v")], 2)
        await world.start(app)
        for n in range(2, 30):
            await world.write("in", [(b"a", b"v" * 100_000)] * 3, 2)

            async def done(count: int = 1 + 3 * (n - 1)) -> bool:
                return len(await world.read("out")) == count

            await world.until(done, f"round {n}")

    run(tmp_path, story)


def test_an_assignment_is_taken_up_again_when_not_all_of_it_was_had(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        cell = await world.start(word_count())
        await world.until(lambda: len(cell.tasks) == 2 * PARTITIONS)
        real = cell.worker.membership
        claims = 0

        class Greedy:
            """Gives one task less than was asked for, the first time."""

            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

            async def claim(self, tasks: frozenset[str]) -> frozenset[str]:
                nonlocal claims
                claims += 1
                return await real.claim(frozenset(sorted(tasks)[1:]) if claims == 1 else tasks)

        cell.worker.roster.membership = cell.worker.membership = Greedy()  # type: ignore[assignment]
        await cell.worker.roster.let_go(["lines_0", "lines_1"])
        cell.worker._seen = Assignment(-1, frozenset(), frozenset())
        await world.until(lambda: len(cell.tasks) == 2 * PARTITIONS)
        assert claims >= 2

    run(tmp_path, story)


def test_a_commit_interval_of_nothing_is_no_busy_loop(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        cell = await world.start(word_count(), pace=Pace(commit_interval=0.1))
        await world.until(lambda: len(cell.tasks) == 2 * PARTITIONS)
        turns = 0
        turn = cell.worker._turn

        async def counting() -> None:
            nonlocal turns
            turns += 1
            await turn()

        cell.worker._turn = counting  # type: ignore[method-assign]
        deadline = asyncio.get_running_loop().time() + 1.0
        await world.until(lambda: asyncio.get_running_loop().time() > deadline)
        assert turns < 40, "an idle worker turned and turned"

    run(tmp_path, story)
