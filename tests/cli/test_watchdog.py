"""A worker that hangs is ended, says where it hangs, and loses nothing."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from streamflow import App
from streamflow.errors import ConfigError
from tests.cli.shell import Shell, until

SCRIPT = """
import asyncio, time
from pathlib import Path
from streamflow import App

app = App("hangs", watchdog="1s")

def slow(value):
    if not Path("mended").exists():
        time.sleep(3600)
    return value.upper()

async def never(value):
    if not Path("mended").exists():
        await asyncio.Event().wait()
    return value.upper()

app.stream("lines", value=str).{step}.to("shouted")
"""
STEPS = ["map_values(slow, value=str)", "map_async(never, value=str, timeout=None)"]
LOOP, WORK = STEPS


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def hang(shell: Shell, step: str) -> None:
    shell.write("app.py", SCRIPT.format(step=step))
    for topic in ("lines", "shouted"):
        shell.good("topics", "create", topic, "--partitions", "1")
    shell.good("produce", "lines", text="one\ntwo\n")


def shouted(shell: Shell) -> list[str]:
    return shell.good("consume", "shouted", "--from-beginning", "--until-end", "--format", "raw").split()


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (LOOP, ["stood still for 1 s", "app.py", "in slow", "time.sleep(3600)"]),
        (WORK, ["no progress for 1 s", "lines partition 0 is committed up to 0", "ends at 2"]),
    ],
)
def test_a_worker_that_hangs_is_ended_with_a_word_where(shell: Shell, step: str, says: list[str]) -> None:
    hang(shell, step)
    with shell.started("run", "app.py", "--no-http") as running:
        assert running.ends() == -signal.SIGABRT
    for words in says:
        assert words in running.err


@pytest.mark.parametrize("step", STEPS)
def test_what_hung_is_done_by_the_worker_that_is_started_in_its_place(shell: Shell, step: str) -> None:
    hang(shell, step)
    with shell.started("run", "app.py", "--no-http", "--workers", "2") as running:
        running.says("was killed by SIGABRT; starting it again")
        shell.write("mended", "")
        until(lambda: shouted(shell) == ["ONE", "TWO"], lambda: running.err)


def test_a_worker_without_work_or_stopped_for_longer_than_its_watchdog_goes_on(shell: Shell) -> None:
    hang(shell, STEPS[0])
    shell.write("mended", "")
    with shell.started("run", "app.py", "--no-http") as running:
        until(lambda: shouted(shell) == ["ONE", "TWO"], lambda: running.err)
        running.send(signal.SIGSTOP)
        shell.good("produce", "lines", text="three\n")
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(3)
        running.send(signal.SIGCONT)
        until(lambda: shouted(shell) == ["ONE", "TWO", "THREE"], lambda: running.err)
        assert running.process.poll() is None


def test_a_watchdog_is_a_time_or_none() -> None:
    assert App("a", watchdog=None).settings.watchdog_ms is None
    assert App("a").settings.watchdog_ms == 300_000
    with pytest.raises(ConfigError, match="watchdog is '0s'; it must be at least 1 ms"):
        App("a", watchdog="0s")
