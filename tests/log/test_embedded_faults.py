"""Errors of SQLite, the disk and the lock: what is told, and that nothing is half done."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.errors import ConfigError, LogUnavailable
from streamflow.log.contract import Commit, Committed, Doubtful
from streamflow.log.embedded import EmbeddedLog
from streamflow.topic import NewTopic

from .support import DEADLINE, GROUP, Embedded, asynchronous, at, batch, seeded, values

_plan: list[str] = []
"""What befalls the next COMMITs and openings of `Faulty` connections."""


class Faulty(sqlite3.Connection):
    """A connection whose COMMIT fails as planned: ``before`` or ``after`` it was done, or because the disk is full."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]
        if sql != "COMMIT" or not _plan or not self.writes():
            return super().execute(sql, *values)
        fault = _plan.pop(0)
        if fault == "after":
            super().execute(sql)
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL if fault == "full" else sqlite3.SQLITE_IOERR
        raise error

    def writes(self) -> bool:
        return self.total_changes > 0


def faulty(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    if _plan and _plan[0] == "no opening":
        _plan.clear()
        raise sqlite3.OperationalError("injected: cannot open")
    return sqlite3.connect(*args, **kwargs, factory=Faulty)


@pytest.fixture(autouse=True)
def no_plan() -> Iterator[None]:
    _plan.clear()
    yield
    assert not _plan, "a fault that was planned did not happen"


async def with_session(embedded: Embedded) -> tuple[EmbeddedLog, Any]:
    log = await embedded.client(connect=faulty)
    await log.create_topics([NewTopic("in", 1), NewTopic("out", 1)])
    session = log.session(GROUP, "t_0")
    await session.init()
    return log, session


@asynchronous
async def test_a_commit_that_was_made_although_commit_failed_is_committed(embedded: Embedded) -> None:
    log, session = await with_session(embedded)
    _plan.append("after")

    outcomes = await log.commit([Commit(session, {at("out"): [batch("x")]}, {at("in"): 1})])

    assert outcomes == [Committed({at("out"): 1})]
    assert await values(log, at("out")) == ["x"]


@pytest.mark.parametrize("plan", [["before"], ["before", "no opening"]])
@asynchronous
async def test_a_commit_that_failed_otherwise_is_doubtful_and_recovery_settles_it(
    embedded: Embedded, plan: list[str]
) -> None:
    log, session = await with_session(embedded)
    other = log.session(GROUP, "t_1")
    await other.init()
    _plan.extend(plan)

    outcomes = await log.commit(
        [Commit(session, {at("out"): [batch("x")]}, {at("in"): 1}), Commit(other, {at("out"): [batch("y")]}, {})]
    )

    assert [type(outcome) for outcome in outcomes] == [Doubtful, Doubtful]
    await session.init()
    assert await values(log, at("out")) == []
    assert await log.committed(GROUP, [at("in")]) == {}
    assert await log.commit([Commit(session, {at("out"): [batch("z")]}, {})]) == [Committed({at("out"): 1})]


@asynchronous
async def test_an_append_nobody_knows_of_says_so(embedded: Embedded) -> None:
    log, _ = await with_session(embedded)
    _plan.append("before")

    with pytest.raises(LogUnavailable, match="COMMIT failed"):
        await log.append({at("out"): [batch("x")]})
    assert await log.append({at("out"): [batch("y")]}) == {at("out"): 0}


@asynchronous
async def test_a_full_disk_at_commit_changes_nothing_and_the_same_commit_may_be_tried_again(embedded: Embedded) -> None:
    log, session = await with_session(embedded)
    _plan.append("full")
    commit = Commit(session, {at("out"): [batch("x")]}, {at("in"): 1})

    with pytest.raises(LogUnavailable, match=r"(?s)log.*disk is full.*nothing was changed"):
        await log.commit([commit])

    assert await log.commit([commit]) == [Committed({at("out"): 1})]
    assert await values(log, at("out")) == ["x"]


@asynchronous
async def test_a_database_that_may_not_grow_refuses_and_goes_on_when_it_may(embedded: Embedded) -> None:
    limited: list[sqlite3.Connection] = []

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        limited.append(sqlite3.connect(*args, **kwargs))
        limited[-1].execute("PRAGMA max_page_count = 100")
        return limited[-1]

    log = await embedded.client(connect=connect)
    await log.create_topics([NewTopic("a", 1)])
    wrote = 0
    with pytest.raises(LogUnavailable, match="disk is full"):
        while True:
            await log.append({at("a"): [batch("x" * 50_000)]})
            wrote += 1

    assert wrote > 3
    assert len(await values(log, at("a"))) == wrote
    for connection in limited:
        with contextlib.suppress(sqlite3.ProgrammingError):  # those closed meanwhile
            connection.execute("PRAGMA max_page_count = 1000000")
    assert await log.append({at("a"): [batch("x" * 50_000)]}) == {at("a"): wrote}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets us mount no small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_refuses_loses_nothing_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    async def whole() -> None:
        (small_disk / "ballast").write_bytes(bytes(1 << 20))
        log = EmbeddedLog(small_disk / "log")
        await log.start()
        await log.create_topics([NewTopic("a", 1)])
        wrote = 0
        with pytest.raises(LogUnavailable, match=r"disk"):
            while True:
                await log.append({at("a"): [batch("x" * 100_000)]})
                wrote += 1
        assert wrote > 3
        log.abandon()

        again = EmbeddedLog(small_disk / "log")
        (small_disk / "ballast").unlink()
        await again.start()
        assert len(await values(again, at("a"))) == wrote
        assert await again.append({at("a"): [batch("y")]}) == {at("a"): wrote}
        await again.close()

    asyncio.run(whole())


_START_AS_NOBODY = """
import asyncio, os, sys
from streamflow.errors import LogUnavailable
from streamflow.log.embedded import EmbeddedLog
os.setgid(65534)
os.setuid(65534)
async def main():
    try:
        await EmbeddedLog(sys.argv[1]).start()
        print("started")
    except LogUnavailable as error:
        print("unavailable:", error)
asyncio.run(main())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give rights up")
@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_the_right_to_write_is_unavailable_and_named(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "log"
    for path in (tmp_path, *tmp_path.parents):
        if path.owner() == "root" and path.name.startswith(("pytest", "test")):
            path.chmod(0o755)
    folder.mkdir(mode=0o555)
    if there:

        async def make() -> None:
            log = EmbeddedLog(folder)
            await log.start()
            await log.close()

        asyncio.run(make())

    program = [sys.executable, "-c", _START_AS_NOBODY, str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)

    assert done.stdout.startswith("unavailable:") and str(folder) in done.stdout, done


def test_a_write_lock_that_is_not_given_back_is_told_with_its_holder(tmp_path: Path) -> None:
    async def whole() -> None:
        log = EmbeddedLog(tmp_path / "log", lock_timeout=0.1)
        await log.start()
        await log.create_topics([NewTopic("a", 1)])
        with open(tmp_path / "log" / "write.lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for _ in range(2):
                with pytest.raises(LogUnavailable, match=rf"process {os.getpid()} .*write\.lock.*nothing was written"):
                    await log.append({at("a"): [batch("x")]})
            assert await values(log, at("a")) == []  # a reader is not in the way of it
        began = time.monotonic()
        assert await log.append({at("a"): [batch("x")]}) == {at("a"): 0}
        print(f"written {(time.monotonic() - began) * 1000:.1f} ms after the lock was free")
        await log.close()

    asyncio.run(whole())


@asynchronous
async def test_a_log_that_was_closed_or_abandoned_is_of_no_more_use(embedded: Embedded) -> None:
    for end in ("close", "abandon"):
        log = EmbeddedLog(embedded.folder)
        await log.start()
        if end == "close":
            await log.close()
        else:
            log.abandon()
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(LogUnavailable, match="closed"):
                await log.append({})


def test_a_durability_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fast"):
        EmbeddedLog(tmp_path, durability="none")  # type: ignore[arg-type]


@asynchronous
async def test_a_log_may_be_closed_or_abandoned_at_any_moment(embedded: Embedded) -> None:
    """A connection that is closed under a query of another thread takes the whole process down."""
    rng = seeded()

    async def use(log: EmbeddedLog) -> None:
        await log.start()
        await log.create_topics([NewTopic("a", 1), NewTopic("c", 1, {"cleanup.policy": "compact"})])
        membership = log.membership(GROUP)
        await membership.join({"t_0": 1}, "", {})
        session = log.session(GROUP, "t_0")
        await session.init()

        async def write() -> None:
            while True:
                await log.commit([Commit(session, {at("a"): [batch("x")], at("c"): [batch("x")]}, {})])

        async def look() -> None:
            while True:
                await log.fetch({at("a"): 0}, max_bytes=1 << 20, max_wait=1)
                await membership.confirm()

        async def clean() -> None:
            while True:
                await log.tidy()

        await asyncio.gather(write(), look(), look(), clean())

    for _ in range(25):
        logs = [EmbeddedLog(embedded.folder, durability="fast") for _ in range(2)]
        uses = [asyncio.create_task(use(log)) for log in logs]
        await asyncio.wait(uses, timeout=rng.random() * 0.1)
        for log in logs:
            if rng.random() < 0.5:
                log.abandon()
            else:
                await log.close()
        for task in uses:
            task.cancel()
        for ended in await asyncio.gather(*uses, return_exceptions=True):
            assert isinstance(ended, LogUnavailable | asyncio.CancelledError), ended
