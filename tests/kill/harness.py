"""Real workers, killed with `kill -9` at random moments, and a reader who watches what they commit all the while.

Run by hand for longer: ``python -m tests.kill.harness KILLS [SEED]``.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from streamflow.errors import LogUnavailable
from streamflow.log.batch import encode, records
from streamflow.log.contract import Log
from streamflow.log.open import open_log
from streamflow.log.partitioner import partition_of
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic

T = TypeVar("T")

APP = Path(__file__).with_name("app.py")
PARTITIONS = 8
USERS = [f"user-{n}" for n in range(300)]
REGIONS = ["north", "south", "east", "west", "centre"]
OUTPUTS = ["passed", "counts", "joined", "regions", "seconds", "met"]
START = 1_700_000_000_000


class Violation(AssertionError):
    """Something was lost, doubled, out of order or wrong."""


@dataclass
class Reader:
    """Reads every output while the workers are killed, and complains at once (checkers C1, C2, C5, C7)."""

    log: Log
    positions: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    passed: dict[int, int] = field(default_factory=dict[int, int])
    last_passed: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])
    joined: set[int] = field(default_factory=set[int])
    met: set[int] = field(default_factory=set[int])
    counts: Counter[str] = field(default_factory=Counter[str])
    regions: Counter[str] = field(default_factory=Counter[str])
    seconds: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])

    def total(self) -> list[int]:
        """How far each output is."""
        counted = [each.total() for each in (self.counts, self.regions, self.seconds)]
        return [len(self.passed), len(self.joined), len(self.met) + self.waiting(), *counted]

    def waiting(self) -> int:
        """How many orders meet nobody and wait for a newer one of their partition to come out."""
        newest: dict[int, int] = {}
        for (partition, _), n in self.last_passed.items():
            newest[partition] = max(n, newest.get(partition, -1))
        return sum(n % 2 == 1 and n not in self.met for n in newest.values())

    async def read(self, wait: float) -> None:
        """Whatever is there now."""
        if not self.positions:
            known = await self.log.topics()
            if not all(name in known for name in OUTPUTS):
                await asyncio.sleep(wait)
                return
            self.positions = {TopicPartition(t, p): 0 for t in OUTPUTS for p in range(PARTITIONS)}
        try:
            found = await self.log.fetch(self.positions, max_bytes=1 << 22, max_wait=wait)
        except LogUnavailable:
            return
        for tp, fetched in found.items():
            for batch in fetched.batches:
                for record in records(batch):
                    if record.offset >= self.positions[tp]:
                        self.check(tp, record)
            self.positions[tp] = fetched.next_offset

    def check(self, tp: TopicPartition, record: Any) -> None:
        """One committed output record."""
        if tp.topic == "passed":
            order = msgspec.json.decode(record.value)
            self.once(order["n"] in self.passed, tp, record)
            self.passed[order["n"]] = record.timestamp
            before = self.last_passed.get((tp.partition, order["user"]), -1)
            if order["n"] <= before:
                raise Violation(f"order {order['n']} of {order['user']} came after {before}")
            self.last_passed[tp.partition, order["user"]] = order["n"]
        elif tp.topic == "joined":
            n, town = record.value.decode().split(" ", 1)
            self.once(int(n) in self.joined, tp, record)
            self.joined.add(int(n))
            if town != f"town of {record.key.decode()}":
                raise Violation(f"order {n} was joined with {town!r}, its user is {record.key!r}")
        elif tp.topic == "met":
            n, other = record.value.decode().split(" ", 1)
            self.once(int(n) in self.met, tp, record)
            self.met.add(int(n))
            if other != (n if int(n) % 2 == 0 else "None"):
                raise Violation(f"order {n} met {other}; even ones meet themselves, odd ones nobody")
        elif tp.topic == "seconds":
            start = int.from_bytes(record.key[-8:], "big")
            self.next_count(self.seconds, (record.key[:-8].decode(), start), tp, record)
        else:
            self.next_count(self.counts if tp.topic == "counts" else self.regions, record.key.decode(), tp, record)

    def once(self, again: bool, tp: TopicPartition, record: Any) -> None:
        """C1: nothing twice."""
        if again:
            raise Violation(f"{tp} offset {record.offset}: {record.value!r} was written twice")

    def next_count(self, seen: Counter[Any], key: Any, tp: TopicPartition, record: Any) -> None:
        """C2: the counts of a key are 1, 2, 3, ... without a gap."""
        count = int.from_bytes(record.value, "big")
        if count != seen[key] + 1:
            raise Violation(f"{tp} offset {record.offset}: {key!r} is {count} after {seen[key]}")
        seen[key] = count


class Crew:
    """Worker processes over one log and one state directory."""

    def __init__(self, folder: Path, broker: str, workers: int) -> None:
        self.folder = folder
        self.broker = broker
        self.begun: dict[int, int] = {}  # how much a worker's file held when its present life began
        self.workers: list[subprocess.Popen[bytes]] = [self.start(n) for n in range(workers)]
        self.kills = 0

    def start(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "streamflow", "run", str(APP), "--broker", self.broker]
        command += ["--state-dir", str(self.folder / "state"), "--no-http"]
        with open(self.folder / f"worker-{number}.txt", "ab") as output:
            self.begun[number] = output.tell()
            return subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder)

    def kill(self, number: int) -> None:
        """`kill -9` one worker and start another in its place."""
        worker = self.workers[number]
        if worker.poll() is not None:
            raise Violation(f"worker {number} ended by itself with {worker.returncode}: {self.said(number)}")
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        self.kills += 1
        self.workers[number] = self.start(number)

    def said(self, number: int) -> str:
        """The end of what a worker printed."""
        return (self.folder / f"worker-{number}.txt").read_text()[-2000:]

    def is_up(self, number: int) -> bool:
        """It has said its first word, and listens to signals since before."""
        return (self.folder / f"worker-{number}.txt").stat().st_size > self.begun[number]

    def stop(self) -> list[int]:
        """Stop all in an orderly way, those that were started just now too; gives their exit codes."""
        for number, worker in enumerate(self.workers):
            deadline = time.monotonic() + 30
            while worker.poll() is None and not self.is_up(number) and time.monotonic() < deadline:
                threading.Event().wait(0.02)
            worker.send_signal(signal.SIGTERM)
        return [worker.wait(timeout=30) for worker in self.workers]

    def abandon(self) -> None:
        """Whatever still runs, ends."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


def order_batches(rng: random.Random, first: int, count: int) -> dict[TopicPartition, list[bytes]]:
    """``count`` orders by number, as batches."""
    rows: dict[TopicPartition, list[Any]] = defaultdict(list)
    for n in range(first, first + count):
        user, region = rng.choice(USERS), rng.choice(REGIONS)
        value = msgspec.json.encode({"n": n, "user": user, "region": region})
        key = user.encode()
        rows[TopicPartition("orders", partition_of(key, PARTITIONS))].append((key, value, START + n, []))
    return {tp: encode(of_partition) for tp, of_partition in rows.items()}


async def patiently(log: Log, batches: dict[TopicPartition, list[bytes]]) -> None:
    """Append a partition at a time; one that nobody takes just now is appended once, when somebody does.

    What got no answer may have been written, so it is not sent again before its partition's end tells.
    """
    for tp, mine in batches.items():
        end = (await again(lambda tp=tp: log.offsets([tp])))[tp].end
        while True:
            try:
                await log.append({tp: mine})
                break
            except LogUnavailable:
                if (await again(lambda tp=tp: log.offsets([tp])))[tp].end > end:
                    break


async def again(work: Callable[[], Awaitable[T]]) -> T:
    """Until the log can be had."""
    while True:
        try:
            return await work()
        except LogUnavailable:
            await asyncio.sleep(0.1)


async def run(
    kills: int,
    seed: int,
    workers: int = 3,
    deadline: float = 300.0,
    *,
    broker: str | None = None,
    pause: tuple[float, float] = (0.15, 1.0),
    orders: int = 200,
    more: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Kill ``kills`` times while orders come in; raises `Violation`. Gives the figures.

    ``broker`` is the log, an embedded one of the run's own if not given; ``pause`` the least and the most seconds
    between two kills, ``orders`` how many come at once; it goes on while ``more()``.
    """
    rng = random.Random(seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = broker or f"embedded://{folder}/log"
        log = open_log(url)
        await log.start()
        # The orders are of years ago, and Kafka would forget them for that.
        kept = {"retention.ms": "-1"}
        await log.create_topics([NewTopic(topic, PARTITIONS, kept) for topic in ("orders", "users", *OUTPUTS)])
        rows: dict[TopicPartition, list[Any]] = defaultdict(list)
        for user in USERS:
            place = TopicPartition("users", partition_of(user.encode(), PARTITIONS))
            rows[place].append((user.encode(), f"town of {user}".encode(), START - 1000, []))
        await log.append({tp: encode(of_partition) for tp, of_partition in rows.items()})
        reader = Reader(log)
        crew = Crew(folder, url, workers)
        try:
            produced = 0
            next_kill = begun + 2.0
            while crew.kills < kills or more():
                if time.monotonic() - begun > deadline:
                    raise Violation(f"only {crew.kills} kills in {deadline} s: {reader.total()} of {produced}")
                await patiently(log, order_batches(rng, produced, orders))
                produced += orders
                await reader.read(0.02)
                if time.monotonic() >= next_kill:
                    crew.kill(rng.randrange(workers))
                    next_kill = time.monotonic() + rng.uniform(*pause)
            while min(reader.total()) < produced:
                if time.monotonic() - begun > deadline:
                    said = "\n".join(crew.said(n) for n in range(workers))
                    raise Violation(f"not finished after {deadline} s: {reader.total()} of {produced}\n{said}")
                await reader.read(0.2)
            codes = crew.stop()
            if codes != [0] * workers:
                raise Violation(f"exit codes {codes}: {[crew.said(n) for n in range(workers)]}")
            await reader.read(0.2)
        finally:
            crew.abandon()
            await log.close()
    if reader.total() != [produced] * len(OUTPUTS) or sorted(reader.passed) != list(range(produced)):
        raise Violation(f"expected {produced} of each, found {reader.total()}")
    return {"seed": seed, "kills": crew.kills, "orders": produced, "seconds": round(time.monotonic() - begun, 1)}


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    print(asyncio.run(run(wanted, int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time()), deadline=20.0 * wanted)))
