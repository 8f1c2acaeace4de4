"""One seed: some processes on one log, everything that can go wrong, and what must be true in the end.

For `TROUBLE` virtual seconds processes crash at any point, hang, are stopped,
restarted and joined by others, clocks jump, the log and the stores fail and the
power is cut, while input arrives. Then the trouble ends, and whoever is there must
finish the work.
"""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamflow.log.batch import RawRecord, encode
from streamflow.log.embedded import EmbeddedLog
from streamflow.log.partitioner import partition_of
from streamflow.record import TopicPartition
from streamflow.runtime.worker import Pace
from streamflow.topic import NewTopic

from .disk import Directory, Disk, image
from .faults import Crash, Faults, SimRunner
from .loop import Deadlock, SimLoop
from .power import cut_power, wal_bytes
from .process import Life, Process, SimClock
from .reading import read_all
from .script import APP, EXTERNAL, INPUTS, NUMBER, PARTITIONS, PLAN, TEXT
from .tuning import tuned
from .verdict import Evidence, judge, judge_stores

SHARED_MEMORY = Path("/dev/shm")
TROUBLE = 4.0
PATIENCE = 90.0
PROCESSES = 4

Row = tuple[str, int | None, int]
"""Key, value, timestamp."""


@dataclass(frozen=True)
class Options:
    """How rough a run is; what is None is drawn from the seed."""

    records: int = 160
    rate: float | None = None
    crash_at: int | None = None
    processes: int | None = None
    calm: bool = False
    fast: bool | None = None


@dataclass
class Result:
    """What became of a run."""

    seed: int
    violations: list[str]
    happened: Counter[str]
    passed: Counter[str]
    errors: Counter[str]
    points: int
    turns: int
    seconds: float


class World:
    """One run."""

    def __init__(self, seed: int, options: Options, folder: Path) -> None:
        self.rng = random.Random(seed)
        rng = self.rng
        self.seed = seed
        self.options = options
        self.folder = folder
        self.loop = SimLoop(rng, shuffled=rng.random() < 0.8)  # type: ignore[abstract]
        self.clock = SimClock(self.loop)
        rate = options.rate if options.rate is not None else rng.choice((0.0, 0.002, 0.005, 0.02))
        self.faults = Faults(rng, rate=0.0 if options.calm else rate, crash_at=options.crash_at)
        self.fast = options.fast if options.fast is not None else rng.random() < 0.25
        self.pace = Pace(
            commit_interval=rng.choice((0.02, 0.05, 0.2)),
            write_behind=rng.choice((0.02, 0.2, 1.0)),
        )
        self.evidence = Evidence(compacted=rng.random() < 0.25)
        self.violations: list[str] = []
        self.processes = [self._process(number) for number in range(PROCESSES)]
        self.bystander = Life(self.loop, Faults(rng, rate=0.0), lambda _: None)
        self.log = self._observer()
        self.written = 0
        self.wal_before = 0
        self.restarts: set[int] = set()

    def _process(self, number: int) -> Process:
        clock = SimClock(self.loop)
        disk = Disk(number, APP, self._watch)
        return Process(number, self.loop, self.rng, self.faults, disk, clock)

    def _watch(self, directory: Directory) -> None:
        self.evidence.images.append(image(directory))

    def _observer(self) -> EmbeddedLog:
        """The log as somebody sees it to whom nothing happens."""
        runner = SimRunner(self.bystander, self.bystander._faults, self.rng)
        return EmbeddedLog(
            self.folder,
            clock=self.clock,
            runner=runner,
            durability="fast",
            entropy=self.rng.randbytes,
            housekeeping_interval=3600.0,
        )

    # --- the run

    def run(self) -> Result:
        try:
            self.violations += self.loop.run_until_complete(self._run())
        except Deadlock as error:
            self.violations.append(f"deadlock: {error}")
        except Crash as error:
            raise AssertionError(f"seed {self.seed}: a crash at {error} came out of its process") from error
        finally:
            self.log.abandon()
            for process in self.processes:
                process.tell(self.faults.happened)
                for life in process.lives:
                    life.bury()
            self._forget()
        for process in self.processes:
            self.violations += [f"a worker died of {error}" for error in process.unexpected()]
        self.violations += self.loop.unhandled
        return Result(
            seed=self.seed,
            violations=self.violations,
            happened=self.faults.happened,
            passed=self.faults.passed,
            errors=Counter(f"{type(e).__name__}: {e}" for process in self.processes for e in process.errors),
            points=self.faults.points,
            turns=self.loop.turns,
            seconds=self.loop.now,
        )

    def _forget(self) -> None:
        """Let go of everything here and now: coroutines that are dropped half way make others that nobody awaits."""
        self.loop.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            for process in self.processes:
                for life in process.lives:
                    life.forget()
            gc.collect()

    async def _run(self) -> list[str]:
        await self.log.start()
        await self.log.create_topics([NewTopic(name, PARTITIONS) for name in EXTERNAL])
        await self.log.create_topics(PLAN.internal_topics)
        await self._write_profiles()
        await self._write(self.options.records // 3)
        self.wal_before = wal_bytes(self.folder)
        for process in self.processes[: self.options.processes or self.rng.randint(1, 3)]:
            self._start(process)
        if self.options.calm or self.options.crash_at is not None:
            await self._write(self.options.records)
        else:
            await self._trouble()
        await self._heal()
        if await self._finish():
            await self._stop()
        if not self.fast:  # else what lies there may be of a life that the log has lost, and nobody has looked since
            for process in self.processes:
                self.evidence.images += map(image, process.disk.directories.values())
        return await judge(self.log, self.evidence)

    def _start(self, process: Process) -> None:
        if not process.running:
            process.start(self.folder, self.pace, self.fast)

    # --- input

    async def _write_profiles(self) -> None:
        """A table with updates and deletes, all of it older than any order."""
        rng = self.rng
        rows = [(f"k{rng.randrange(8)}", None if rng.random() < 0.2 else rng.randrange(1, 900), n) for n in range(30)]
        await self._append("profiles", rows)

    async def _write(self, upto: int) -> None:
        """Orders whose times go on, some of them late, a few too late."""
        rng = self.rng
        upto = min(upto, self.options.records)
        rows: list[Row] = []
        for uid in range(self.written, upto):
            late = rng.choice((0, 0, 0, 4_000, 9_000, 20_000))
            rows.append((f"k{rng.randrange(8)}", uid, max(1_000, 100_000 + uid * 2_000 - late)))
        self.written = max(self.written, upto)
        await self._append("orders", rows)

    async def _append(self, topic: str, rows: Sequence[Row]) -> None:
        for partition in range(PARTITIONS):
            chosen: list[RawRecord] = [
                (TEXT.serialize(key), NUMBER.serialize(value) if value is not None else None, time, [])
                for key, value, time in rows
                if partition_of(key.encode(), PARTITIONS) == partition
            ]
            if chosen:
                batches = encode(chosen, target_bytes=self.rng.choice((100, 400, 100_000)))
                await self.log.append({TopicPartition(topic, partition): batches})

    # --- trouble

    async def _trouble(self) -> None:
        rng = self.rng
        end = self.loop.now + TROUBLE
        while self.loop.now < end:
            await asyncio.sleep(rng.random() * 0.2)
            await self._write(self.written + rng.randrange(6))
            self._revive(0.25)
            if rng.random() < 0.35:
                await self._misfortune()
            if rng.random() < 0.2:
                await self._glimpse()
            if self.evidence.compacted and rng.random() < 0.3:
                self.faults.note("compaction")
                rng.choice(self.processes).tidy()

    def _revive(self, chance: float) -> None:
        for process in self.processes:
            if not process.running and process.lives and self.rng.random() < chance:
                self.faults.note("restart")
                self._start(process)

    async def _misfortune(self) -> None:
        rng = self.rng
        living = [process for process in self.processes if process.running]
        what = rng.choice(("join", "kill", "kill", "stop", "hang", "stall", "stall", "stall", "clock", "power"))
        if what == "join":
            self._start(rng.choice(self.processes))
        elif what == "clock":
            process = rng.choice(self.processes)
            process.clock.wrong_by_ms = rng.choice((-3_600_000, -5_000, 0, 5_000, 3_600_000))
        elif what == "power":
            await self._power_cut()
        elif living:
            life = rng.choice(living).life
            assert life is not None
            if what == "kill":
                life.die()
            elif what == "stall":  # while somebody is there to take over
                life.stalls = True
                self._start(rng.choice(self.processes))
            elif what == "hang":
                life.stop_for(rng.choice((0.1, 0.5, 1.0, 2.5, 4.0)))
            elif life.worker is not None:
                life.worker.stop()
        self.faults.note(what)

    async def _power_cut(self) -> None:
        """All of this machine's processes die at once; what was not synced is gone."""
        rng = self.rng
        for process in self.processes:
            if process.life is not None:
                process.life.die()
            process.disk.power_cut(lambda: rng.choice((0, 0, 1, 3)))
        if self.fast:  # what the log is about to lose is what stores may reflect until now
            self.violations += await judge_stores(self.log, self.evidence)
            self.evidence.images.clear()
        with cut_power(self.folder, rng.choice((0, 1, 3, 10, 30)) if self.fast else 0, self.wal_before):
            self.log.abandon()
            for process in self.processes:
                for life in process.lives:
                    life.bury()
        self.log = self._observer()
        await self.log.start()

    async def _glimpse(self) -> None:
        """What queries and readers see meanwhile: committed states, and records that stay."""
        for process in self.processes:
            self.evidence.images += process.views()
        for partition in range(0 if self.fast else PARTITIONS):
            for topic in ("passed", "regrouped"):
                self.evidence.glimpses.append((topic, partition, await read_all(self.log, topic, partition)))

    # --- the end

    async def _heal(self) -> None:
        """No more faults, all input there, everybody goes on, and one process at least."""
        self.faults.rate = 0.0
        await self._write(self.options.records)
        for process in self.processes:
            if process.life is not None:
                process.life.go_on()
        if not any(process.running for process in self.processes):
            self._start(self.rng.choice(self.processes))

    async def _finish(self) -> bool:
        """Wait until all input is committed; a worker that fails now is started again, as a supervisor would."""
        deadline = self.loop.now + PATIENCE
        inputs = [TopicPartition(topic, partition) for topic in INPUTS for partition in range(PARTITIONS)]
        while True:
            await asyncio.sleep(0.1)
            self._revive(1.0)
            # In this order: what was committed before still covers the ends that are asked for after it.
            committed = await self.log.committed(APP, inputs)
            ends = await self.log.offsets(inputs)
            if all(committed.get(at, 0) >= end.end for at, end in ends.items()):
                return True
            if self.loop.now > deadline:
                self.violations.append(f"not finished after {PATIENCE:.0f} s: committed {committed}, ends {ends}")
                return False

    async def _stop(self) -> None:
        """An orderly end, so that what the stores hold can be compared."""
        for process in self.processes:
            if process.life is not None and process.life.worker is not None:
                process.life.worker.stop()
            elif process.life is not None:
                process.life.die()
        deadline = self.loop.now + PATIENCE
        while any(process.running for process in self.processes):
            await asyncio.sleep(0.1)
            if self.loop.now > deadline:
                self.violations.append("a worker does not stop")
                return


def run(seed: int, options: Options = Options()) -> Result:
    """One seed. The same seed is the same run."""
    where = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="streamflow-sim-", dir=where))
    try:
        world = World(seed, options, folder / "log")
        with tuned(world.rng):
            return world.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
