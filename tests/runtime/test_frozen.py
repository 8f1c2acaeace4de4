"""A worker that is stopped (SIGSTOP) and continued: a zombie beyond the session timeout, and nothing within it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import PARTITIONS, World, run

CHILD = Path(__file__).with_name("child.py")
KEYS = [f"k{n}" for n in range(40)]


class Child:
    """A worker's process, and what it told last."""

    def __init__(self, folder: Path, state: str, session_timeout: float) -> None:
        self.out, self.err = folder / f"{state}.out", folder / f"{state}.err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            command = [sys.executable, str(CHILD), str(folder), state, str(session_timeout)]
            self.process = subprocess.Popen(command, stdout=out, stderr=err)

    @property
    def told(self) -> dict[str, str]:
        lines = self.out.read_text().split("\n")[:-1]
        return dict(part.partition("=")[::2] for part in lines[-1].split()) if lines else {}

    @property
    def tasks(self) -> set[str]:
        return set(self.told.get("tasks", "").split(",")) - {""}

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def freeze(self, lock: Path) -> None:
        """Stop it, but not while it holds the log's write lock: then nobody could write, and that is another story."""
        with open(lock, "rb+") as file:
            while True:
                self.signal(signal.SIGSTOP)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    self.signal(signal.SIGCONT)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            child.signal(signal.SIGCONT)
        child.process.kill()
        child.process.wait()


async def counted(world: World, expected: Counter[str]) -> bool:
    seen = Counter[str]()
    for record in await world.read("counts"):
        key = record.key.decode()
        seen[key] += 1
        assert int.from_bytes(record.value, "big") == seen[key], f"{key} lost or doubled"
    assert all(seen[key] <= expected[key] for key in seen)
    return seen == expected


def test_a_zombie_is_fenced_doubles_nothing_and_joins_again(tmp_path: Path, children: list[Child]) -> None:
    async def story(world: World) -> None:
        expected = Counter[str]()

        async def write(times: int) -> None:
            for _ in range(times):
                await world.write("in", [(key, "v") for key in KEYS])
                expected.update(KEYS)

        await write(1)
        one, two = Child(tmp_path, "one", 1.0), Child(tmp_path, "two", 1.0)
        children.extend((one, two))
        await world.until(lambda: len(one.tasks) == len(two.tasks) == PARTITIONS // 2, "the tasks to be shared")
        await world.until(lambda: counted(world, expected))
        before = one.told["member"]
        # In the middle of work: records are on their way to it, and it has some that it has not committed.
        writing = asyncio.get_running_loop().create_task(write(30))
        await asyncio.sleep(0)
        one.freeze(tmp_path / "log" / "write.lock")
        await writing
        await world.until(lambda: len(two.tasks) == PARTITIONS, "the other to take over")
        await world.until(lambda: counted(world, expected))
        one.signal(signal.SIGCONT)
        await write(5)
        await world.until(lambda: one.told["member"] != before and len(one.tasks) == PARTITIONS // 2, "it to be back")
        await write(5)
        await world.until(lambda: counted(world, expected))
        assert "put out of its group" in one.err.read_text()

    run(tmp_path, story)


def test_a_stop_shorter_than_the_session_timeout_changes_nothing(tmp_path: Path, children: list[Child]) -> None:
    async def story(world: World) -> None:
        expected = Counter(KEYS)
        await world.write("in", [(key, "v") for key in KEYS])
        one, two = Child(tmp_path, "one", 30.0), Child(tmp_path, "two", 30.0)
        children.extend((one, two))
        await world.until(lambda: len(one.tasks) == len(two.tasks) == PARTITIONS // 2, "the tasks to be shared")
        await world.until(lambda: counted(world, expected))
        before = one.told, two.told
        one.freeze(tmp_path / "log" / "write.lock")
        mine = {int(task.rpartition("_")[2]) for task in two.tasks}
        await world.write("in", [(key, "v") for key in KEYS])

        async def done_by_the_other() -> bool:
            written = [record for record in await world.read("counts") if record.value[-1] == 2]
            return len(written) > 0 and len(mine) == PARTITIONS // 2

        await world.until(done_by_the_other, "the other one to go on alone with its own")
        assert two.told == before[1]
        one.signal(signal.SIGCONT)
        expected.update(KEYS)
        await world.until(lambda: counted(world, expected))
        assert (one.told, two.told) == before

    run(tmp_path, story)
