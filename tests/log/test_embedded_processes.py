"""The embedded log with real processes: side by side, woken, killed, and stopped. Times are printed, not asserted."""

from __future__ import annotations

import asyncio
import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from streamflow.log.contract import Assignment
from streamflow.log.embedded import EmbeddedLog
from streamflow.topic import NewTopic

from .support import DEADLINE, Embedded, asynchronous, at, fetch_one, read, rows, seeded

CHILD = Path(__file__).with_name("child.py")


class Child(subprocess.Popen[str]):
    """A process that does something with the log."""

    def __init__(self, does: str, folder: Path, *arguments: str) -> None:
        command = [sys.executable, str(CHILD), does, str(folder), *arguments]
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def said(self) -> dict[str, Any]:
        """Its next line; waits for it."""
        line = self.pipe(self.stdout).readline()
        assert line, f"{self.args} ended with {self.wait()} and said no more"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self) -> None:
        pipe = self.pipe(self.stdin)
        pipe.write("\n")
        pipe.flush()

    @staticmethod
    def pipe(end: IO[str] | None) -> IO[str]:
        assert end is not None
        return end


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


def tell(name: str, times: list[float]) -> None:
    ordered = sorted(times)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    print(f"{name}: p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms, most {ordered[-1] * 1000:.2f} ms")


async def topics(log: EmbeddedLog) -> None:
    await log.create_topics([NewTopic("a", 1), NewTopic("b", 1)])


def test_processes_that_create_a_log_together_find_the_same_one(tmp_path: Path, children: list[Child]) -> None:
    children += [Child("create", tmp_path / "log") for _ in range(6)]
    assert len({child.said()["id"] for child in children}) == 1
    assert {child.wait() for child in children} == {0}


def test_writers_and_readers_side_by_side_lose_and_repeat_nothing(tmp_path: Path, children: list[Child]) -> None:
    writers = [Child("write", tmp_path / "log", f"w{n}", "300") for n in range(3)]
    readers = [Child("read", tmp_path / "log", "900") for _ in range(2)]
    children += [*writers, *readers]

    histories = [reader.said()["found"] for reader in readers]

    assert histories[0] == histories[1]
    assert [offset for offset, _, _ in histories[0]] == list(range(900))
    for n in range(3):
        assert [value for _, key, value in histories[0] if key == f"w{n}"] == list(range(300))


@asynchronous
async def test_a_reader_is_woken_by_an_append_of_another_process(embedded: Embedded, children: list[Child]) -> None:
    log = await embedded.client()
    await topics(log)
    children.append(Child("clock", embedded.folder, "60"))
    waits: list[float] = []
    for n in range(60):
        waiting = asyncio.create_task(fetch_one(log, at("a"), n))
        await asyncio.sleep(0)
        children[0].tell()
        fetched = await waiting
        [(_, _, value, _)] = rows(fetched.batches)
        waits.append((time.monotonic_ns() - int(value or b"")) / 1e9)
    tell("from before the append (its commit included) to the reader of another process", waits[5:])


def test_an_idle_member_that_waits_for_records_takes_next_to_no_cpu(tmp_path: Path, children: list[Child]) -> None:
    children.append(Child("idle", tmp_path / "log", "2"))
    print(f"idle: {children[0].said()['percent']:.2f} % of a core")


@asynchronous
async def test_a_killed_process_is_noticed_and_its_tasks_are_free(embedded: Embedded, children: list[Child]) -> None:
    log = await embedded.client()
    times: list[float] = []
    for _ in range(3):
        children.append(Child("join", embedded.folder))
        assert children[-1].said()["had"] == ["t_0", "t_1"]
        membership = log.membership("g")
        await membership.join({"t_0": 1, "t_1": 1}, "", {})
        assert len(membership.assignment().free) == 0
        killed = time.monotonic()
        children[-1].send_signal(signal.SIGKILL)
        await free(membership.assignment(), membership, 2)
        times.append(time.monotonic() - killed)
        await membership.leave()
    tell("a killed member noticed", times)


async def free(now: Assignment, membership: Any, wanted: int) -> Assignment:
    async with asyncio.timeout(DEADLINE):
        while len(now.free) != wanted:
            now = await membership.changed(now, DEADLINE)
    return now


@asynchronous
async def test_a_stopped_process_is_put_out_and_joins_anew_when_it_goes_on(
    embedded: Embedded, children: list[Child]
) -> None:
    log = await embedded.client(session_timeout=1.0)
    child = Child("join", embedded.folder)
    children.append(child)
    first = child.said()
    assert first["had"] == ["t_0", "t_1"]
    membership = log.membership("g")
    await membership.join({"t_0": 1, "t_1": 1}, "", {})

    stopped = time.monotonic()
    child.send_signal(signal.SIGSTOP)
    now = await free(membership.assignment(), membership, 2)
    print(f"a stopped member was put out after {time.monotonic() - stopped:.2f} s (session timeout 1 s)")
    assert await membership.claim(now.free) == {"t_0", "t_1"}
    child.send_signal(signal.SIGCONT)

    heard = child.said()
    while not heard["lost"]:
        heard = child.said()
    assert heard["had"] == []
    again = child.said()
    assert again["member"] != first["member"] and not again["lost"]


@asynchronous
async def test_processes_killed_while_they_commit_leave_whole_transactions(
    embedded: Embedded, children: list[Child]
) -> None:
    rng = seeded()
    log = await embedded.client()
    await topics(log)
    for _ in range(8):
        round_ = [Child("transact", embedded.folder, f"t_{n}") for n in range(2)]
        children += round_
        for child in round_:
            assert child.said() == {"ready": True}
        wanted = (await log.offsets([at("a")]))[at("a")].end + rng.randrange(2, 40)
        position = (await log.offsets([at("a")]))[at("a")].end
        while position < wanted:
            position = (await fetch_one(log, at("a"), position)).next_offset
        for child in round_:
            child.send_signal(signal.SIGKILL)
        for child in round_:
            child.wait()

        a, b = await read(log, at("a")), await read(log, at("b"))
        assert a == b
    print(f"{len(children)} processes killed, {len(a)} commits whole")


@asynchronous
async def test_a_process_that_goes_on_after_it_was_replaced_is_fenced(
    embedded: Embedded, children: list[Child]
) -> None:
    log = await embedded.client()
    await topics(log)
    zombie = Child("transact", embedded.folder, "t_0")
    children.append(zombie)
    assert zombie.said() == {"ready": True}
    await fetch_one(log, at("a"), 0)

    # Stopped while we hold the write lock, so that it does not: who is stopped with the lock keeps everybody waiting.
    with open(embedded.folder / "write.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        zombie.send_signal(signal.SIGSTOP)
    try:
        await log.session("g", "t_0").init()
    finally:
        zombie.send_signal(signal.SIGCONT)
    end = (await log.offsets([at("a")]))[at("a")].end

    assert zombie.said() == {"outcome": "Fenced"}
    assert (await log.offsets([at("a")]))[at("a")].end == end
