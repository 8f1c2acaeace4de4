"""One run: a task, three processes, and everything that can go wrong between any two steps.

A seed is a run. For `FAULTY_STEPS` steps processes are killed, expelled while
they go on (zombies), the task is moved, transactions expire, requests are lost,
answered into the void or delivered late, leaders grow old and the power fails.
Then the faults end, and everything must be processed by the one owner there is.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .checks import Snapshots, output_violations, state_violations
from .data import CHANGELOGS, FILTERED, INPUTS, KEYS
from .disk import Base
from .embedded import EmbeddedLog, EmbeddedSession
from .group import Group
from .kafka import Broker
from .kafka_session import GenerationSession, KafkaSession, V2Session
from .wire import IDLE, LOCAL, Retry, Steps, Timeout, WireError
from .worker import Worker

FAULTY_STEPS = 500
PATIENCE = 3000
PROCESSES = 3
NAP = 8
RETRY_NAP = 3


class MetaWorker(Worker):
    """Inputs in the changelog (the recommended design)."""


class GroupWorker(Worker):
    """Inputs in the group's offsets alone."""

    meta_positions = False


class ForgettingLogWorker(Worker):
    """On a log that may lose its newest commits in a power cut."""

    knows_commits = True


@dataclass(frozen=True)
class Variant:
    """One way to run the protocol."""

    worker: type[Worker] = MetaWorker
    session: type[KafkaSession] | type[EmbeddedSession] = KafkaSession
    log: type[Broker] | type[EmbeddedLog] = Broker
    per_worker_id: bool = False
    verifies: bool = True
    old_leaders: bool = False
    fast: bool = False
    records: int = 26
    base: type[Base] = Base
    group: type[Group] = Group


VARIANTS = {
    "incl": Variant(old_leaders=True),
    "incl, transactions v2": Variant(session=V2Session, old_leaders=True),
    "group offsets": Variant(worker=GroupWorker),
    "group offsets, transactions v2": Variant(worker=GroupWorker, session=V2Session),
    "group offsets, no verification": Variant(worker=GroupWorker, verifies=False),
    "447": Variant(worker=GroupWorker, session=GenerationSession, per_worker_id=True),
    "embedded": Variant(session=EmbeddedSession, log=EmbeddedLog, records=60),
    "embedded, fast": Variant(
        worker=ForgettingLogWorker, session=EmbeddedSession, log=EmbeddedLog, fast=True, records=60
    ),
}


class Process:
    """A disk, and the program that runs on it if it is alive."""

    def __init__(self, number: int, disk: dict[str, Base]) -> None:
        self.number = number
        self.disk = disk
        self.member = ""
        self.worker: Worker | None = None
        self.program: Steps[None] | None = None
        self.answer: Any = None
        self.error: WireError | None = None
        self.asleep_until = 0


class World:
    """One seed's run of one variant."""

    def __init__(self, seed: int, variant: Variant) -> None:
        self.rng = random.Random(seed)
        self.variant = variant
        self.roughness = self.rng.choice((0.015, 0.03, 0.05))  # the share of steps that are a misfortune
        self.wire_faults = self.rng.choice((0.02, 0.06, 0.12))  # of requests: 1/4 lost, 1/4 unanswered, 1/2 late
        self.stats: Counter[str] = Counter()
        self.snapshots = Snapshots()
        self.violations: list[str] = []
        self.now = 0
        self.faulty = True
        self.late: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.log: Any = self._make_log()
        self.group = variant.group(self.rng)
        self.log.generation = lambda: self.group.generation
        self.inputs = self._load_inputs()
        self.processes = [Process(n, self._disk()) for n in range(PROCESSES)]
        self.start(self.processes[0])

    def _make_log(self) -> Any:
        if issubclass(self.variant.log, Broker):
            v2 = issubclass(self.variant.session, KafkaSession) and self.variant.session.v2
            return self.variant.log(self.rng, verifies=self.variant.verifies, v2=v2)
        return self.variant.log(self.rng, fast=self.variant.fast)

    def _load_inputs(self) -> dict[str, list[tuple[str, int]]]:
        inputs: dict[str, list[tuple[str, int]]] = {source: [] for source in INPUTS}
        for uid in range(self.variant.records):
            key = FILTERED if self.rng.random() < 0.15 else self.rng.choice(KEYS[:-1])
            inputs[self.rng.choice(INPUTS)].append((key, uid))
        for source, records in inputs.items():
            self.log.load_input(source, records)
        return inputs

    def _disk(self) -> dict[str, Base]:
        return {changelog: self.variant.base(changelog, self.snapshots.watch) for changelog in CHANGELOGS}

    # --- processes ------------------------------------------------------------------------------------------------

    def start(self, process: Process) -> None:
        """A new life of a process on its old disk."""
        self.stats["starts"] += 1
        process.member = f"{process.number}.{self.stats['starts']}"
        process.worker = self.variant.worker(
            process.member,
            self.log,
            self._session(process),
            self.group,
            process.disk,
            self.rng,
            self.snapshots.watch,
        )
        process.program = process.worker.run()
        process.answer = process.error = None
        process.asleep_until = 0

    def _session(self, process: Process) -> Any:
        if issubclass(self.variant.session, KafkaSession):
            return self.variant.session(self.log, f"worker-{process.number}" if self.variant.per_worker_id else "task")
        return self.variant.session(self.log)

    def kill(self, process: Process) -> None:
        process.program = process.worker = None
        self.stats["kills"] += 1

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes if process.program is not None]

    def advance(self, process: Process) -> None:
        """One step of a process: resume it with its answer, carry out what it asks."""
        program = process.program
        assert program is not None
        answer, error = process.answer, process.error
        process.answer = process.error = None
        step = program.send(answer) if error is None else program.throw(error)
        if step is IDLE:
            process.asleep_until = self.now + NAP
        elif step is LOCAL:
            if self.faulty and self.rng.random() < self.roughness:
                self.kill(process)  # between two local writes, where it hurts most
        else:
            try:
                process.answer = self.deliver(*step)
            except WireError as failure:
                process.error = failure
                process.asleep_until = self.now + RETRY_NAP * isinstance(failure, Retry)
                self.stats[type(failure).__name__] += 1

    def deliver(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """One request over the wire."""
        x = self.rng.random() if self.faulty else 1.0
        if x >= self.wire_faults:
            return function(*args)
        if x >= self.wire_faults / 4:
            if x >= self.wire_faults / 2 and not issubclass(self.variant.log, EmbeddedLog):
                self.late.append((function, args))
            else:
                self.unseen(function, args)
        raise Timeout

    def unseen(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Do what was asked; nobody gets the answer."""
        with suppress(WireError):
            function(*args)

    # --- what happens ---------------------------------------------------------------------------------------------

    def run(self) -> World:
        for _ in range(FAULTY_STEPS):
            self.step()
        self.heal()
        for _ in range(PATIENCE):
            self.step()
            if self.finished:
                break
        else:
            self.violations.append("a partition was left without a working owner")
        self.log.settle()
        self.check()
        return self

    def step(self) -> None:
        self.now += 1
        self.log.now = self.now
        r = self.rng.random()
        if self.faulty and r < self.roughness:
            self.fault(r * 0.06 / self.roughness)
            return
        if not self.faulty and self.now % 50 == 0:
            self.log.expire(older_than=100)
        if self.rng.random() < 0.3 and self.log.busy:
            self.log.work()
        elif self.late and self.rng.random() < 0.06:
            self.stats["late requests"] += 1
            self.unseen(*self.late.pop(self.rng.randrange(len(self.late))))
        else:
            awake = [process for process in self.alive if process.asleep_until <= self.now]
            if awake:
                self.advance(self.rng.choice(awake))
            elif self.log.busy:
                self.log.work()
            elif self.alive:
                self.advance(min(self.alive, key=lambda process: process.asleep_until))

    def fault(self, r: float) -> None:
        """At most one misfortune; ``r`` below 0.06 says which (the shares are relative to each other)."""
        if r < 0.012:
            if self.alive:
                self.kill(self.rng.choice(self.alive))
        elif r < 0.026:
            dead = [process for process in self.processes if process.program is None]
            if dead:
                self.start(self.rng.choice(dead))
        elif r < 0.036:
            if self.group.members:
                member = self.rng.choice(self.group.members)
                self.stats["zombies"] += any(process.member == member for process in self.alive)
                self.group.expel(member)
        elif r < 0.044:
            self.stats["moves"] += 1
            self.group.move()
        elif r < 0.047:
            self.stats["expired"] += self.log.expire()
        elif r < 0.051:
            if self.variant.old_leaders:
                self.stats["old leaders"] += 1
                self.log.grow_old()
            elif self.variant.fast:
                self.power_cut()
        elif r < 0.054:
            self.power_cut()
        elif self.alive:
            self.stats["hangs"] += 1
            self.rng.choice(self.alive).asleep_until = self.now + self.rng.randrange(150)

    def power_cut(self) -> None:
        """One machine loses power, and with it what its stores had not synced; an embedded log is on that machine."""
        self.stats["power cuts"] += 1
        embedded = isinstance(self.log, EmbeddedLog)
        if embedded:
            self.violations += self.snapshots.violations(self.log)
            self.log.power_cut(self.rng.randrange(4))
        for process in self.processes if embedded else [self.rng.choice(self.processes)]:
            if process.program is not None:
                self.kill(process)
            for base in process.disk.values():
                base.power_cut(self.rng.randrange(4))

    # --- the end --------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """The faults end: the dead are expelled, a living one is there, and that is all the help there is."""
        self.faulty = False
        self.log.heal()
        if not self.alive:
            self.start(self.rng.choice(self.processes))
        living = {process.member for process in self.alive}
        for member in [member for member in self.group.members if member not in living]:
            self.group.expel(member)
        self.late = [(function, args) for function, args in self.late if function.__name__ != "join"]

    @property
    def finished(self) -> bool:
        """All inputs are committed by the owner, and everybody else has let go."""
        owners = [process for process in self.alive if process.worker is not None and process.worker.owns]
        if len(owners) != 1 or owners[0].member != self.group.owner or self.late or self.log.busy:
            return False
        worker = owners[0].worker
        assert worker is not None
        return all(worker.inputs.get(source) == self.log.end_of_input(source) for source in INPUTS)

    def check(self) -> None:
        if isinstance(self.log, Broker):
            self.stats["new producer ids"] += self.log.rolled_over
            self.stats["settled ends"] += self.log.settled
        self.violations += output_violations(self.log, self.inputs)
        self.violations += state_violations(self.log, self.inputs)
        self.violations += self.snapshots.violations(self.log)
        if any(times > 1 for times in self.group.strays.values()):
            self.violations.append("a worker that is no owner keeps fencing the owner")


def run(seed: int, variant: Variant) -> World:
    """One run. ``.violations`` is what went wrong, ``.stats`` which faults there were."""
    return World(seed, variant).run()
