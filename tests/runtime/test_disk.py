"""Disks that are full or read-only, and store files that are damaged, under a running worker.

Full and read-only disks are small ones of our own, mounted for the test; where that is not allowed the tests are
skipped, and say so.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamflow.errors import StateError
from streamflow.runtime.worker import Pace
from streamflow.state.budget import Budget

from .test_worker import counted, lines
from .world import PARTITIONS, World, run, word_count

EAGER = Pace(commit_interval=0.02, write_behind=0.0)


def much(count: int, first: int = 0) -> list[tuple[str, str]]:
    """Some 50 KB of state for every hundred, so that no write finds room in a page that is there already."""
    return [(f"k{n}", f"{n}-{'x' * 500} a") for n in range(first, first + count)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """``small_disk(name, size)``: a folder with a disk of its own."""
    mounted: list[Path] = []

    def mount(name: str, size: str) -> Path:
        path = tmp_path / name
        path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True)
        if done.returncode:
            pytest.skip(f"NOT TESTED: a small disk cannot be mounted here ({done.stderr.decode().strip()})")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=False)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk never became full")


def test_a_full_disk_under_the_state_pauses_and_names_the_path_and_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    disk = small_disk("state", "48m")

    async def story(world: World) -> None:
        rows = much(400)
        await world.write("lines", rows[:100])
        cell = await world.start(word_count(), pace=EAGER)
        await world.until_counted(counted(*rows[:100]))
        filler = fill(disk)
        await world.write("lines", rows[100:200])
        await world.until(lambda: any(str(disk) in text and "full" in text for text in caplog.messages), "the warning")
        # Three refusals and the store is opened anew, which a full disk does not allow: the task waits.
        await world.until(lambda: any("cannot recover yet" in text for text in caplog.messages), "a task that waits")
        await world.write("lines", rows[200:300])
        filler.unlink()
        await world.until_counted(counted(*rows[:300]))
        await world.until(lambda: len(cell.tasks) == 2 * PARTITIONS)
        assert cell.worker.stats.stores_rebuilt == 0
        await cell.stop()
        await world.start(word_count(), pace=EAGER)
        await world.write("lines", rows[300:])
        await world.until_counted(counted(*rows))

    with caplog.at_level(logging.WARNING):
        run(tmp_path, story)


def test_a_disk_that_stays_full_ends_the_worker_with_the_path(
    tmp_path: Path, small_disk: Callable[[str, str], Path]
) -> None:
    disk = small_disk("state", "48m")

    async def story(world: World) -> None:
        rows = much(100)
        await world.write("lines", rows[:50])
        cell = await world.start(word_count(), pace=Pace(commit_interval=0.02, write_behind=0.0, patience=0.5))
        await world.until_counted(counted(*rows[:50]))
        filler = fill(disk)
        await world.write("lines", rows[50:])
        error = await cell.failure()
        world.cells.remove(cell)
        assert isinstance(error, StateError)
        assert str(disk) in str(error) and "full" in str(error) and "gave up after 0.5 s" in str(error)
        filler.unlink()
        await world.start(word_count(), pace=EAGER)
        await world.until_counted(counted(*rows))

    run(tmp_path, story)


def test_a_full_disk_under_the_log_pauses_with_the_path_and_nothing_is_lost(
    tmp_path: Path, small_disk: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    disk = small_disk("log", "24m")

    async def story(world: World) -> None:
        rows = much(400)
        await world.write("lines", rows[:100])
        await world.start(word_count())
        await world.until_counted(counted(*rows[:100]))
        await world.write("lines", rows[100:])
        filler = fill(disk)
        await world.until(lambda: any(str(disk) in text and "full" in text for text in caplog.messages), "the warning")
        filler.unlink()
        await world.until_counted(counted(*rows))

    with caplog.at_level(logging.WARNING):
        run(tmp_path, story)


def test_a_state_directory_that_becomes_read_only_ends_the_worker_with_the_path(
    tmp_path: Path, small_disk: Callable[[str, str], Path]
) -> None:
    disk = small_disk("state", "48m")

    async def story(world: World) -> None:
        rows = lines(200)
        await world.write("lines", rows[:100])
        first = await world.start(word_count())
        await world.until_counted(counted(*rows[:100]))
        await first.stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        try:
            second = await world.start(word_count())
            error = await second.failure()
            world.cells.remove(second)
        finally:
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert isinstance(error, StateError)
        assert str(disk) in str(error)
        await world.write("lines", rows[100:])
        await world.start(word_count())
        await world.until_counted(counted(*rows))

    run(tmp_path, story)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for at in range(len(data) // 4, len(data), max(1, len(data) // 8)):
        data[at] ^= 0xFF
    file.write_bytes(bytes(data))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("harm", [flip, cut, empty, Path.unlink, folder], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("kind", ["*.sst", "MANIFEST-*", "CURRENT", "*.log"])
def test_damaged_files_of_a_store_are_rebuilt_or_refused_and_never_believed(
    tmp_path: Path, kind: str, harm: Callable[[Path], None]
) -> None:
    async def story(world: World) -> None:
        rows = lines(60)
        await world.write("lines", rows)
        first = await world.start(word_count())
        await world.until_counted(counted(*rows))
        await first.stop()
        files = list((tmp_path / "state" / "wc").glob(f"*/n/{kind}"))
        assert files
        for file in files:
            harm(file)
        second = await world.start(word_count())
        await world.write("lines", rows)
        try:
            await world.until_counted(counted(*rows, *rows))
        except AssertionError as refused:  # then the path must be told, and nothing wrong have been written
            assert isinstance(refused.__cause__, StateError), refused
            assert str(tmp_path / "state") in str(refused)
            world.cells.remove(second)

    run(tmp_path, story)


def test_files_that_are_damaged_while_in_use_never_lead_to_a_wrong_answer(tmp_path: Path) -> None:
    """Rows that were read before stay in memory; the first that is read from a damaged block has the store rebuilt."""

    async def story(world: World) -> None:
        rows = [(f"k{n}", f"w{n}") for n in range(2_000)]
        await world.write("lines", rows)
        cell = await world.start(word_count(), pace=EAGER)
        await world.until_counted(counted(*rows))
        await cell.stop()
        cell.stores._budget = Budget(1 << 20)
        again = await world.start(word_count(), pace=EAGER)
        await world.until(lambda: len(again.tasks) == 2 * PARTITIONS)
        for file in (tmp_path / "state" / "wc").glob("*/n/*.sst"):
            flip(file)
        await world.write("lines", rows)
        await world.until_counted(counted(*rows, *rows))
        assert again.worker.stats.stores_rebuilt >= 1

    run(tmp_path, story)
