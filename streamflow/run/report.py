"""What a person sees of a run: one line per fact, a bar while a long job is under way, an error once.

Everything goes to stderr: stdout belongs to the script. A worker under a supervisor says the same things as lines of
JSON up a socket, and the supervisor shows them.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from typing import Any, Literal, Protocol

import msgspec

Job = Literal["restoring", "processing"]
PATIENCE = 1.0  # seconds before a job gets a bar


class Report(Protocol):
    """Where a worker says what it does."""

    def fact(self, label: str, text: str) -> None:
        """Something worth one line at the start."""
        ...

    def warn(self, text: str) -> None:
        """Something that should be mended but stops nothing."""
        ...

    def failed(self, text: str, code: int) -> None:
        """Why the run ends, and the exit code it ends with."""
        ...

    def progress(self, job: Job, total: int, left: int) -> None:
        """How far a job is, in records; ``left`` 0 ends it."""
        ...

    def member(self, id: str) -> None:
        """Who this worker is in its group, for the one who would bury it."""
        ...

    def close(self) -> None:
        """Nothing more is said."""
        ...


class Terminal:
    """Says it to the person at the terminal; bars only where there is one."""

    def __init__(self) -> None:
        self._bars = _Bars() if sys.stderr.isatty() else None

    def fact(self, label: str, text: str) -> None:
        self._line(f"{label:<10}{text}")

    def warn(self, text: str) -> None:
        self._line(f"warning: {text}")

    def failed(self, text: str, code: int) -> None:
        self.close()
        self._line(f"streamflow: {text}")

    def progress(self, job: Job, total: int, left: int) -> None:
        if self._bars is not None:
            self._bars.update(job, total, left)

    def member(self, id: str) -> None:
        pass

    def close(self) -> None:
        if self._bars is not None:
            self._bars.close()
        self._line("")

    def _line(self, text: str) -> None:
        try:
            sys.stderr.write(text and text + "\n")
            sys.stderr.flush()
        except OSError:
            # Whoever read this has gone; a worker goes on without. What is still buffered must not complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class _Bars:
    """A bar for a job that takes more than a second; rich is imported for it and not before."""

    def __init__(self) -> None:
        self._begun: dict[Job, float] = {}
        self._shown: Any = None
        self._tasks: dict[Job, Any] = {}

    def update(self, job: Job, total: int, left: int) -> None:
        if not left:
            self._begun.pop(job, None)
            if job in self._tasks:
                self._shown.remove_task(self._tasks.pop(job))
            return
        if job not in self._tasks:
            if time.monotonic() - self._begun.setdefault(job, time.monotonic()) < PATIENCE:
                return
            self._tasks[job] = self._display().add_task(job, total=total)
        self._shown.update(self._tasks[job], total=total, completed=total - left)

    def close(self) -> None:
        if self._shown is not None:
            self._shown.stop()
            self._shown = None
            self._tasks.clear()

    def _display(self) -> Any:
        if self._shown is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
            from rich.text import Text

            class Left(ProgressColumn):
                def render(self, task: Task) -> Text:
                    rate = f", {task.speed:,.0f}/s" if task.speed else ""
                    return Text(f"{task.remaining or 0:,.0f} records left{rate}")

            self._shown = Progress(
                TextColumn("{task.description:<10}"),
                BarColumn(),
                Left(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._shown.start()
        return self._shown


class Upstream:
    """Says it to the supervisor: lines of JSON, ``[word, arguments...]``. A supervisor that is gone hears nothing."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._told = 0.0

    def fact(self, label: str, text: str) -> None:
        self._say("fact", label, text)

    def warn(self, text: str) -> None:
        self._say("warn", text)

    def failed(self, text: str, code: int) -> None:
        self._say("failed", text, code)

    def progress(self, job: Job, total: int, left: int) -> None:
        now = time.monotonic()
        if not left or now - self._told > 0.2:
            self._told = now
            self._say("progress", job, total, left)

    def member(self, id: str) -> None:
        self._say("member", id)

    def close(self) -> None:
        pass

    def _say(self, *words: object) -> None:
        with suppress(OSError):  # the thread that watches the channel stops this worker
            self._channel.sendall(msgspec.json.encode(words) + b"\n")
