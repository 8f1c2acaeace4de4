"""The command line as a person has it: real processes in a folder of their own, and states that are waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from streamflow.cli import main

T = TypeVar("T")

DEADLINE = 30.0
COMMAND = [sys.executable, "-m", "streamflow"]

WORD_COUNT = """
from streamflow import App

app = App("word-count")
counts = (
    app.stream("lines", value=str)
    .flat_map_values(str.split, value=str)
    .group_by(lambda word: word, key=str)
    .count(name="word-counts")
)
counts.to_stream().to("counts")
"""


def as_from_a_terminal() -> None:
    """Tests that run in the background of a shell inherit that Ctrl-C means nothing; a person's command does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Running:
    """A command that was started; its output goes to files, so that it can be looked at while it runs."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self._folder = folder

    @property
    def out(self) -> str:
        return (self._folder / "stdout").read_text()

    @property
    def err(self) -> str:
        return (self._folder / "stderr").read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self) -> int:
        return self.process.wait(DEADLINE)

    def says(self, text: str, times: int = 1) -> str:
        """Wait until stderr has the text so many times; gives stderr."""
        until(lambda: self.err.count(text) >= times, lambda: f"{text!r} in stderr: {self.err}")
        return self.err

    def children(self) -> list[int]:
        """The processes it started, in the order it started them."""
        listed = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return sorted(int(pid) for path in listed for pid in path.read_text().split())


class Shell:
    """Commands in one folder; the environment has no setting of streamflow but those that are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def __call__(
        self, *arguments: str, text: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; ``text`` is stdin."""
        return self._done([*COMMAND, *arguments], text.encode() if isinstance(text, str) else text, env)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python itself."""
        return self._done([sys.executable, *arguments], b"", None)

    def _done(self, command: list[str], text: bytes, env: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            cwd=self.folder,
            env=self._environment(env),
            timeout=DEADLINE,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def good(self, *arguments: str, text: str | bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """The same, for a command that must exit 0; gives its stdout."""
        done = self(*arguments, text=text, env=env)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def started(self, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
        """Start it, and kill what is left of it at the end."""
        self._count += 1
        folder = self.folder / f"command-{self._count}"
        folder.mkdir()
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            process = subprocess.Popen(
                [*COMMAND, *arguments], cwd=self.folder, env=self._environment(env), stdout=out, stderr=err,
                stdin=subprocess.DEVNULL, preexec_fn=as_from_a_terminal,
            )  # fmt: skip
        running = Running(process, folder)
        try:
            yield running
        finally:
            for pid in [*running.children(), process.pid] if process.poll() is None else []:
                os.kill(pid, signal.SIGKILL)
            process.wait(DEADLINE)

    def _environment(self, given: Mapping[str, str] | None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMFLOW_")}
        return {**kept, "NO_COLOR": "1", **(given or {})}


def call(*arguments: str) -> int:
    """A command in this process, and its exit code: the same code, without the time a process takes to start."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def until(found: Callable[[], T], what: Callable[[], str]) -> T:
    """Ask until the answer is true; gives it. Fails with ``what`` was waited for when the deadline has passed."""
    latest = time.monotonic() + DEADLINE
    while not (answer := found()):
        if time.monotonic() > latest:
            raise AssertionError(f"waited {DEADLINE} s for {what()}")
        time.sleep(0.02)  # between two questions; what is waited for is the answer
    return answer


def gone(pid: int) -> bool:
    """No such process, or only its remains."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"
