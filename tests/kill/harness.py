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
TABLES = ["visits", "finals", "newest"]
"""Sessions, windows that come out once they are closed, and a foreign-key join: not one record for each order."""
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
    visits: dict[tuple[str, int, int], int] = field(default_factory=dict[tuple[str, int, int], int])
    finals: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    newest: dict[str, int] = field(default_factory=dict[str, int])
    times: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    latest: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def total(self) -> list[int]:
        """How far each output is."""
        counted = [each.total() for each in (self.counts, self.regions, self.seconds)]
        return [len(self.passed), len(self.joined), len(self.met) + self.waiting(), *counted]

    def behind(self) -> str:
        """What the tables still lack; empty if nothing."""
        if sum(self.visits.values()) != len(self.passed):
            return f"visits: {sum(self.visits.values())} of {len(self.passed)}"
        last = {user: n for (_, user), n in self.last_passed.items()}
        if self.newest != last:
            return f"newest: {sum(self.newest.get(user) == n for user, n in last.items())} of {len(last)}"
        missing = self.windows().keys() - self.finals.keys()
        partition_of_user = {user: partition for partition, user in self.last_passed}
        if closed := [one for one in missing if one[1] + 100 <= self.latest[partition_of_user[one[0]]]]:
            return f"finals: {len(closed)} closed windows are not there, such as {closed[0]}"
        return ""

    def windows(self) -> Counter[tuple[str, int]]:
        """The orders of each user and tenth of a second."""
        return Counter((user, at - at % 100) for user, times in self.times.items() for at in times)

    def end(self) -> None:
        """What can be told only when everything is there."""
        sessions: dict[tuple[str, int, int], int] = {}
        for user, times in self.times.items():
            start, before, count = times[0], times[0], 0
            for at in times:
                if at - before > 200:
                    sessions[user, start, before] = count
                    start, count = at, 0
                before, count = at, count + 1
            sessions[user, start, before] = count
        if sessions != self.visits:
            raise Violation(f"visits: {sorted(sessions.items() ^ self.visits.items())[:3]}")
        windows = self.windows()
        if wrong := [(at, count, windows[at]) for at, count in self.finals.items() if count != windows[at]]:
            raise Violation(f"finals: {wrong[0]}")

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
            if not all(name in known for name in (*OUTPUTS, *TABLES)):
                await asyncio.sleep(wait)
                return
            self.positions = {TopicPartition(t, p): 0 for t in (*OUTPUTS, *TABLES) for p in range(PARTITIONS)}
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
            self.times[order["user"]].append(record.timestamp)
            self.latest[tp.partition] = max(self.latest[tp.partition], record.timestamp)
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
        elif tp.topic == "visits":
            end, start = (int.from_bytes(record.key[at : at + 8 or None], "big") for at in (-16, -8))
            at = record.key[:-16].decode(), start, end
            if record.value is None:
                del self.visits[at]
            else:
                self.visits[at] = int.from_bytes(record.value, "big")
        elif tp.topic == "finals":
            window = record.key[:-8].decode(), int.from_bytes(record.key[-8:], "big")
            self.once(window in self.finals, tp, record)
            self.finals[window] = int.from_bytes(record.value, "big")
        elif tp.topic == "newest":
            user, (n, town) = record.key.decode(), record.value.decode().split(" ", 1)
            if int(n) <= self.newest.get(user, -1) or town != f"town of {user}":
                raise Violation(f"newest of {user}: {n} {town} after {self.newest.get(user)}")
            self.newest[user] = int(n)
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

    def __init__(self, folder: Path, broker: str, workers: int, passed: Callable[[], int]) -> None:
        self.folder = folder
        self.broker = broker
        self.passed = passed  # how many orders are through
        self.produced = 0  # and of how many
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
        return self.all_said(number)[-2000:]

    def all_said(self, number: int) -> str:
        """What a worker printed, and those that it took the place of."""
        return (self.folder / f"worker-{number}.txt").read_text()

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
    strike: Callable[[Crew, int], Awaitable[None]] | None = None,
) -> dict[str, Any]:
    """Kill ``kills`` times while orders come in; raises `Violation`. Gives the figures.

    ``broker`` is the log, an embedded one of the run's own if not given; ``pause`` the least and the most seconds
    between two kills, ``orders`` how many come at once; it goes on while ``more()``.
    ``strike(crew, number)`` is what befalls a worker in place of a kill; it counts itself in ``crew.kills``.
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
        await log.create_topics([NewTopic(topic, PARTITIONS, kept) for topic in ("orders", "users", *OUTPUTS, *TABLES)])
        rows: dict[TopicPartition, list[Any]] = defaultdict(list)
        for user in USERS:
            place = TopicPartition("users", partition_of(user.encode(), PARTITIONS))
            rows[place].append((user.encode(), f"town of {user}".encode(), START - 1000, []))
        await log.append({tp: encode(of_partition) for tp, of_partition in rows.items()})
        reader = Reader(log)
        crew = Crew(folder, url, workers, lambda: len(reader.passed))
        try:
            produced = 0
            next_kill = begun + 2.0
            striking: asyncio.Task[None] | None = None
            while crew.kills < kills or more():
                if time.monotonic() - begun > deadline:
                    raise Violation(f"only {crew.kills} kills in {deadline} s: {reader.total()} of {produced}")
                await patiently(log, order_batches(rng, produced, orders))
                produced += orders
                crew.produced = produced
                await reader.read(0.02)
                if striking is not None and striking.done():
                    striking.result()
                    striking = None
                    next_kill = time.monotonic() + rng.uniform(*pause)
                if striking is None and time.monotonic() >= next_kill:
                    number = rng.randrange(workers)
                    if strike is None:
                        crew.kill(number)
                        next_kill = time.monotonic() + rng.uniform(*pause)
                    else:
                        striking = asyncio.create_task(strike(crew, number))
            while min(reader.total()) < produced or reader.behind():
                if time.monotonic() - begun > deadline:
                    said = "\n".join(crew.said(n) for n in range(workers))
                    lacks = f"{reader.total()} of {produced}; {reader.behind()}"
                    raise Violation(f"not finished after {deadline} s: {lacks}\n{said}")
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
    reader.end()
    return {"seed": seed, "kills": crew.kills, "orders": produced, "seconds": round(time.monotonic() - begun, 1)}


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    print(asyncio.run(run(wanted, int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time()), deadline=20.0 * wanted)))
