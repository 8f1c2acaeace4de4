"""Members of a group that behave like workers: they hold what they may, let go of what they must, and come back when lost."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka.conn import create_conn

from streamflow.errors import LogUnavailable
from streamflow.log.contract import Assignment
from streamflow.log.kafka.coordinator import Connection
from streamflow.log.kafka.membership import KafkaMembership

SESSION = 6.0
DEADLINE = 20.0


class Plain:
    """Connections without any security."""

    def __init__(self, bootstrap: str) -> None:
        self._brokers = [(host, int(port)) for host, _, port in (one.rpartition(":") for one in bootstrap.split(","))]

    def brokers(self) -> Sequence[tuple[str, int]]:
        return self._brokers

    async def dial(self, host: str, port: int, *, client_id: str, request_timeout: float) -> Connection:
        return await create_conn(host, port, client_id=client_id, request_timeout_ms=int(request_timeout * 1000))


class Keeper:
    """One member and what it runs. ``closing`` is how long it takes to close a task."""

    def __init__(
        self, bootstrap: str, group: str, tasks: Mapping[str, int], session: float = SESSION, closing: float = 0.0
    ) -> None:
        self.membership = KafkaMembership(Plain(bootstrap), group, session)
        self.tasks = dict(tasks)
        self.closing = closing
        self.holds: set[str] = set()
        self.lost = 0
        self.closed = 0
        self.hears: Callable[[str, Any], object] = lambda what, value: None
        self._work: asyncio.Task[None] | None = None

    @property
    def meant(self) -> frozenset[str]:
        return self.membership.assignment().tasks

    async def start(self) -> None:
        self._work = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        await self._join()
        while True:
            seen = self.membership.assignment()
            try:
                again = not await self._follow(seen)
                await self.membership.changed(seen, 0.2 if again else 1.0)
            except LogUnavailable as error:
                self.hears("trouble", str(error))
                await asyncio.sleep(0.1)

    async def _join(self) -> None:
        while True:
            try:
                await self.membership.join(self.tasks, f"http://{self.membership.member_id}", {})
            except LogUnavailable as error:
                self.hears("trouble", str(error))
                await asyncio.sleep(0.1)
            else:
                self.hears("joined", self.membership.member_id)
                return

    async def _follow(self, assignment: Assignment) -> bool:
        if assignment.lost:
            self.lost += 1
            self.holds.clear()
            self.hears("lost", self.lost)
            await self._join()
            return False
        if gone := self.holds - assignment.free:
            await asyncio.sleep(self.closing)
            self.closed += len(gone)
            self.holds -= gone
            await self.membership.release(frozenset(gone))
            self.hears("holds", sorted(self.holds))
        if wanted := assignment.free - self.holds:
            had = await self.membership.claim(frozenset(wanted))
            if had:
                self.holds |= had
                self.hears("holds", sorted(self.holds))
            return had == wanted
        return True

    async def leave(self) -> None:
        """An orderly end."""
        await self._stop()
        self.holds.clear()
        await self.membership.leave()

    async def kill(self) -> None:
        """The end of a killed process: its connections break, and nothing else is said."""
        await self._stop()
        self.holds.clear()
        self.membership.abandon()

    async def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
            self._work = None


class Child:
    """A keeper in a process of its own, that can be stopped and killed."""

    def __init__(self, bootstrap: str, group: str, tasks: Mapping[str, int], session: float = SESSION) -> None:
        told = json.dumps([bootstrap, group, dict(tasks), session])
        self.process = subprocess.Popen([sys.executable, "-m", __name__, told], stdout=subprocess.PIPE, text=True)
        self.heard: list[tuple[str, Any]] = []
        self.holds: set[str] = set()
        self._reader = asyncio.get_running_loop().create_task(asyncio.to_thread(self._read))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            what, value = json.loads(line)
            self.heard.append((what, value))
            if what == "holds":
                self.holds = set(value)

    def count(self, what: str) -> int:
        return sum(1 for word, _ in self.heard if word == what)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        await asyncio.to_thread(self.process.wait)
        await self._reader


async def until(state: Callable[[], bool], what: str, deadline: float = DEADLINE) -> float:
    """Wait for a state; gives the seconds it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not state():
        assert loop.time() - begun < deadline, f"not within {deadline} s: {what}"
        await asyncio.sleep(0.01)
    return loop.time() - begun


def settled(keepers: Sequence[Keeper], tasks: Mapping[str, int]) -> bool:
    """All are in one generation, and every task has exactly one holder, the one it is meant for."""
    generations = {keeper.membership.assignment().generation for keeper in keepers}
    if len(generations) != 1 or 0 in generations:
        return False
    held = sorted(task for keeper in keepers for task in keeper.holds)
    return held == sorted(tasks) and all(keeper.holds == keeper.meant for keeper in keepers)


async def _child(bootstrap: str, group: str, tasks: dict[str, int], session: float) -> None:
    keeper = Keeper(bootstrap, group, tasks, session)
    keeper.hears = lambda what, value: print(json.dumps([what, value]), flush=True)
    await keeper.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_child(*json.loads(sys.argv[1])))
