"""Several workers as processes of their own, watched: killed ones come back, a failed one ends all, once and clearly.

Workers are started, not forked: each has its own interpreter, log and loop, as one that is started by hand in a second
terminal. They run in process groups of their own, so Ctrl-C reaches only the supervisor, which passes it on. A socket
to each carries what it has to say, and tells it when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from streamflow.errors import StreamflowError
from streamflow.log.open import is_embedded, open_log
from streamflow.run.changes import changed
from streamflow.run.report import Report
from streamflow.run.signals import LONGEST, Signals
from streamflow.settings import Settings

if TYPE_CHECKING:
    from streamflow.app import App
    from streamflow.run import Options

BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY = 10.0  # seconds; a worker that lived so long begins its count of deaths anew
BURIAL = 5.0  # seconds
DEATHS = 10  # so many quick deaths in a row are no accident

Command = Callable[[int, int], Sequence[str]]
"""``(number of the worker, its end of the socket) -> what to execute``."""

Bury = Callable[[str], Awaitable[None]]
"""Takes a dead worker out of its group, by the id it told."""


@dataclass
class Child:
    """One worker: its number, its process while there is one, what it said last of a long job, and its name in the
    group."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    stopping: bool = False
    member: str = ""
    jobs: dict[Any, tuple[int, int]] = field(default_factory=dict[Any, tuple[int, int]])


class Supervisor:
    """Keeps ``workers`` processes running until `stop`, a failure, or their own orderly ends.

    ``bury`` is called when one was killed: its group would otherwise wait until its session is over.
    """

    def __init__(self, command: Command, workers: int, report: Report, bury: Bury | None = None) -> None:
        self.code = 0
        self._command = command
        self._report = report
        self._bury = bury
        self._burials: set[asyncio.Task[None]] = set()
        self._children = [Child(number) for number in range(workers)]
        self._told: set[tuple[str, str]] = set()
        self._stopping = asyncio.Event()
        self._change = asyncio.Event()
        self._reloads = False

    async def run(self) -> int:
        """Start all and see them through; gives the exit code."""
        await asyncio.gather(*(self._keep(child) for child in self._children))
        await asyncio.gather(*self._burials)
        return self.code

    def stop(self) -> None:
        """Ask every worker for an orderly end."""
        self._stopping.set()
        self._change.set()
        for child in self._children:
            self._end(child)

    def kill(self) -> None:
        """End every worker at once. Safe in a signal handler."""
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                child.process.kill()

    async def reload(self, folder: Path) -> None:
        """Start all anew whenever a source file changes; a failed worker waits for that instead of ending all."""
        self._reloads = True
        while True:
            name = await changed(folder)
            self._report.fact("reload", f"{name} changed")
            self._change.set()
            self._change = asyncio.Event()
            for child in self._children:
                self._end(child)

    def _end(self, child: Child) -> None:
        child.stopping = True
        if child.process is not None and child.process.poll() is None:
            child.process.terminate()

    async def _keep(self, child: Child) -> None:
        """One worker's lives."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            change, child.stopping, begun = self._change, False, loop.time()
            code = await self._live(child)
            if code != 0:
                self._bury_later(child)
            if self._stopping.is_set():
                if code > 0:
                    self.code = self.code or code
                return
            if change.is_set():
                continue
            if code == 0:
                return  # somebody told this one to stop, and it did
            if code > 0:
                if not self._reloads:
                    self._fail(code)
                    return
                self._report.warn("waiting for a change of the script")
                await change.wait()
                continue
            child.deaths = child.deaths + 1 if loop.time() - begun < STEADY else 1
            killed = f"worker {child.number} was killed by {_signal_name(-code)}"
            if child.deaths >= DEATHS:
                self._say_failed(f"{killed}, {child.deaths} times in a row soon after its start", 1)
                self._fail(1)
                return
            self._report.warn(f"{killed}; starting it again")
            await self._rest(BACKOFF[min(child.deaths, len(BACKOFF)) - 1])

    def _bury_later(self, child: Child) -> None:
        member, child.member = child.member, ""
        if self._bury is not None and member:
            burial = asyncio.get_running_loop().create_task(self._bury_now(self._bury, member))
            self._burials.add(burial)
            burial.add_done_callback(self._burials.discard)

    async def _bury_now(self, bury: Bury, member: str) -> None:
        """Best effort: without it the others wait for the session, and that is all."""
        try:
            async with asyncio.timeout(BURIAL):
                await bury(member)
        except (StreamflowError, TimeoutError) as error:
            self._report.warn(f"a killed worker stays in its group until its session is over: {error}")

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _fail(self, code: int) -> None:
        """The application failed in one worker; the others would fail the same way when they take its tasks over."""
        self.code = self.code or code
        self.stop()

    async def _live(self, child: Child) -> int:
        """Start the worker, listen to it, and give its exit code (negative: the signal that killed it)."""
        ours, theirs = socket.socketpair()
        with theirs:
            child.process = subprocess.Popen(
                self._command(child.number, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            while line := await reader.readline():
                self._hear(child, msgspec.json.decode(line))
            # Its end of the socket is closed, so it is gone or about to be.
            return await asyncio.to_thread(child.process.wait)
        finally:
            writer.close()
            for job in list(child.jobs):
                self._progress(child, job, 0, 0)

    def _hear(self, child: Child, said: list[Any]) -> None:
        word, *arguments = said
        if word == "progress":
            self._progress(child, *arguments)
        elif word == "member":
            child.member = arguments[0]
        elif word == "failed":
            self._say_failed(*arguments)
        elif word == "fact" and arguments[0] == "http":
            self._report.fact("http", f"{arguments[1]} (worker {child.number})")
        elif word == "fact":
            if (key := (arguments[0], arguments[1])) not in self._told:
                self._told.add(key)
                self._report.fact(*arguments)
        elif word == "warn" and child.number == 0:
            self._report.warn(*arguments)

    def _say_failed(self, text: str, code: int) -> None:
        """The first failure is the news; those of the workers that took over are its echo."""
        if not self.code:
            self._report.failed(text, code)
            if not self._reloads:
                self.code = code

    def _progress(self, child: Child, job: Any, total: int, left: int) -> None:
        """A job of all workers together."""
        child.jobs[job] = (total, left)
        every = [each.jobs[job] for each in self._children if job in each.jobs]
        self._report.progress(job, sum(total for total, _ in every), sum(left for _, left in every))
        if not left:
            del child.jobs[job]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def supervise(app: App, settings: Settings, options: Options, script: str, report: Report) -> int:
    """Run the script in ``options.workers`` processes; gives the exit code."""
    report.fact("workers", str(options.workers))
    return asyncio.run(_supervise(app, settings, options, script, report))


async def _supervise(app: App, settings: Settings, options: Options, script: str, report: Report) -> int:
    loop = asyncio.get_running_loop()
    if options.http_token is not None:
        os.environ["STREAMFLOW_HTTP_TOKEN"] = options.http_token  # for the workers; arguments can be seen by everybody

    async def bury(member: str) -> None:
        log = open_log(settings.broker)
        try:
            await log.start()
            await log.put_out(app.id, member)
        finally:
            await log.close()

    supervisor = Supervisor(
        lambda number, end: command(script, options, number, end),
        options.workers,
        report,
        None if is_embedded(settings.broker) else bury,  # there a lock tells
    )

    signals = Signals(
        lambda: loop.call_soon_threadsafe(supervisor.stop),
        say="stop      telling the workers to commit and close",
        before_end=supervisor.kill,
        longest=LONGEST + 0.5,  # the workers have their own
    )
    signals.install()
    helpers: list[asyncio.Task[None]] = []
    if options.until_idle:
        from streamflow.run.process import wait_until_idle

        helpers.append(loop.create_task(wait_until_idle(app, settings, options.orders(), report)))
        helpers[0].add_done_callback(lambda _: supervisor.stop())
    if options.reload:
        folder = Path(script.rpartition(":")[0] or script).resolve().parent
        helpers.append(loop.create_task(supervisor.reload(folder)))
    try:
        code = await supervisor.run()
    finally:
        signals.over()
        for helper in helpers:
            helper.cancel()
        ended = await asyncio.gather(*helpers, return_exceptions=True)
    if not code:  # a worker's own failure is the better message
        for error in ended:
            if isinstance(error, Exception):
                raise error
    return code


def command(script: str, options: Options, number: int, end: int) -> list[str]:
    """What a worker process executes: this program, with everything that was settled here."""
    host, at = options.orders(number).http or ("", 0)
    found = [*_interpreter(), "run", script, "--worker-index", str(number), "--lifeline", str(end)]
    found += ["--http", f"{host}:{at}"] if host else ["--no-http"]
    found += ["--workers", "1", "--log-level", options.log_level, "--log-format", options.log_format]
    found += [f"--{name}" for name, on in (("create-topics", options.create_topics), ("debug", options.debug)) if on]
    found += ["--http-open"] if options.http_open else []
    found += ["--fake-input", str(options.fake_input)] if options.fake_input and number == 0 else []
    found += ["--advertise", options.advertise] if options.advertise else []
    for name in ("broker", "state_dir", "commit_interval"):
        if name in options.changes:
            found += [f"--{name.replace('_', '-')}", str(options.changes[name])]
    return found


def _interpreter() -> list[str]:
    """This Python; its path must not begin with the current folder, where a file may have the name of a library."""
    import streamflow

    here = Path(streamflow.__file__).parents[1] == Path.cwd()
    return [sys.executable, *([] if here else ["-P"]), "-m", "streamflow"]
