"""`streamflow status --watch` goes on telling what is now."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli.status import Row
from streamflow.cli.watch import until_interrupted
from streamflow.errors import LogUnavailable
from tests.cli.shell import COMMAND, DEADLINE, WORD_COUNT, Shell, as_from_a_terminal, until


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.write("app.py", WORD_COUNT)
    shell.good("produce", "lines", "--partitions", "2", text="a b a\n")
    shell.good("run", "app.py", "--until-idle")
    return shell


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def test_each_second_as_json_a_worker_that_comes_shows_with_its_rate_and_one_that_goes_is_gone(shell: Shell) -> None:
    with shell.started("status", "app.py", "--watch", "--format", "json") as watching:
        until(lambda: any(row["state"] == "UNASSIGNED" for row in rows(watching.out)), lambda: watching.err)
        with shell.started("run", "app.py", "--http", "127.0.0.1:0") as running:

            def processed() -> bool:
                shell.good("produce", "lines", text="a b c d\n" * 200)
                return any(row["state"] == "RUNNING" and row["rate"] for row in rows(watching.out))

            until(processed, lambda: f"{watching.out[-500:]} {running.err}")
            running.send(signal.SIGTERM)
            assert running.ends() == 0
        told = len(rows(watching.out))
        until(lambda: any(row["worker"] is None for row in rows(watching.out)[told:]), lambda: watching.out[-500:])
        watching.send(signal.SIGINT)
        assert watching.ends() == 130


def test_a_log_that_is_away_for_a_moment_breaks_no_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    looks = iter(
        [Row("a_0", "w", "RUNNING", 1, "", [], 5), LogUnavailable("gone"), Row("a_0", "w", "RUNNING", 0, "", [], 6)]
    )

    async def look() -> list[Row]:
        try:
            found = next(looks)
        except StopIteration:
            raise asyncio.CancelledError from None
        if isinstance(found, LogUnavailable):
            raise found
        return [found]

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(until_interrupted("app", look, "json"))
    told = capsys.readouterr()
    assert [row["lag"] for row in rows(told.out)] == [1, 0]
    assert told.err == "gone; trying again\n"


def test_a_table_for_a_person_is_drawn_again_and_again_on_a_terminal(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    watching = subprocess.Popen(
        [*COMMAND, "status", "app.py", "--watch"], stdout=theirs, cwd=shell.folder, preexec_fn=as_from_a_terminal
    )
    os.close(theirs)
    drawn = b""
    try:
        deadline = time.monotonic() + DEADLINE
        while drawn.count(b"word-count: 0 workers") < 2:
            ready, _, _ = select.select([ours], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, drawn
            drawn += os.read(ours, 1 << 16)
        assert b"UNASSIGNED" in drawn
        watching.send_signal(signal.SIGINT)
        assert watching.wait(DEADLINE) == 130
    finally:
        watching.kill()
        watching.wait()
        os.close(ours)
