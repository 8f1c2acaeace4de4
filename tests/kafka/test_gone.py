"""A cluster that is gone for a while: its workers wait, say so once, and go on; a stop ends them all the same.

`make outage` leaves it away for two minutes each time.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.log.contract import Log
from streamflow.log.open import open_log
from streamflow.record import TopicPartition
from streamflow.run.signals import INTERRUPTED
from streamflow.topic import NewTopic
from tests.kill import harness

from .broker import Cluster, Node, missing
from .watching import Watching, within

AWAY = float(os.environ.get("STREAMFLOW_OUTAGE", "10"))  # longer than a commit may take, and than a session
LINES = 10  # that a worker may say about it: the group, a commit in doubt, each broker, and that each is there again
OVER = "again, after"  # so many seconds
WORKERS = 2
ENDS = 10.0  # seconds until a worker that was told to stop is gone


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if why := missing():
        pytest.skip(f"TESTS AGAINST KAFKA ARE SKIPPED. {why}")
    cluster = Cluster(tmp_path / "broker")
    yield cluster
    cluster.stop()


async def gone(node: Node, how: str) -> None:
    """For a while there is no broker, or one that takes requests and answers none."""
    if how == "hangs":
        node.signal(signal.SIGSTOP)
    else:
        node.kill()
    await asyncio.sleep(AWAY)
    if how == "hangs":
        node.signal(signal.SIGCONT)
    else:
        node.start()
        await asyncio.to_thread(node.wait)


@pytest.mark.parametrize("how", ["hangs", "stops"])
def test_workers_wait_for_a_cluster_that_is_gone_say_so_once_and_go_on(cluster: Cluster, how: str) -> None:
    seed = int(os.environ.get("STREAMFLOW_SEED", random.randrange(1 << 31)))
    print(f"again with STREAMFLOW_SEED={seed}")
    [node] = cluster.start().nodes
    said: dict[int, str] = {}

    async def strike(crew: harness.Crew, number: int) -> None:
        async with Watching(url, WORKERS) as group:
            assert await within(120.0, group.all_owned) is not None, group.seen
        before = {n: len(crew.all_said(n)) for n in range(WORKERS)}
        await gone(node, how)
        async with Watching(url, WORKERS) as group:
            assert await within(120.0, group.all_owned) is not None, group.seen

        async def all_told() -> bool:
            said.update({n: crew.all_said(n)[before[n] :] for n in before})
            return all(OVER in lines for lines in said.values())

        assert await within(60.0, all_told) is not None, f"nobody was told that it is over: {said}"
        crew.kills += 1

    url = f"kafka://{cluster.bootstrap}?session_timeout=6s"
    figures = asyncio.run(
        harness.run(1, seed, WORKERS, 240.0 + 3 * AWAY, broker=url, pause=(1.0, 2.0), orders=20, strike=strike)
    )
    print(figures)
    for number, lines in said.items():
        print(number, lines)
        about = [line for line in lines.splitlines() if "trying again" in line or "unknown" in line or OVER in line]
        assert len(about) <= LINES, f"worker {number} said it {len(about)} times: {lines}"
        [(line, times)] = Counter(about).most_common(1)
        assert times <= 2, f"worker {number} said {times} times: {line}"


class Worker:
    """One worker process."""

    def __init__(self, folder: Path, url: str) -> None:
        self._output = folder / "output.txt"
        self._begun = self._output.stat().st_size if self._output.exists() else 0
        command = [sys.executable, "-m", "streamflow", "run", str(harness.APP), "--broker", url, "--no-http"]
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--state-dir", str(folder / "state")], stdout=output, stderr=output, cwd=folder
            )

    def said(self) -> str:
        return self._output.read_text()[self._begun :]

    async def says(self, words: str) -> None:
        """Until it does, from now on."""
        known = len(self.said())
        async with asyncio.timeout(60):
            while words not in self.said()[known:]:
                assert self.process.poll() is None, self.said()
                await asyncio.sleep(0.05)

    async def ends(self) -> float:
        """After how many seconds it has ended, once it is told to."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        while self.process.poll() is None and time.monotonic() - begun < 2 * ENDS:
            await asyncio.sleep(0.05)
        return time.monotonic() - begun


def test_workers_start_before_their_cluster_and_a_stop_ends_them_without_it(cluster: Cluster, tmp_path: Path) -> None:
    [node] = cluster.start().nodes
    url = f"kafka://{cluster.bootstrap}?session_timeout=6s"
    passed = [TopicPartition("passed", p) for p in range(harness.PARTITIONS)]
    rng = random.Random(1)

    async def one(log: Log, how: str) -> float:
        """One worker: it starts without a broker, works with it, loses it, and is told to stop."""
        node.kill()
        worker = Worker(tmp_path, url)
        try:
            await worker.says("waiting for the log")
            node.start()
            await asyncio.to_thread(node.wait)
            before = sum(bounds.end for bounds in (await harness.again(lambda: log.offsets(passed))).values())
            await harness.patiently(log, harness.order_batches(rng, before, 100))
            async with asyncio.timeout(60):
                while sum(bounds.end for bounds in (await log.offsets(passed)).values()) <= before:
                    await asyncio.sleep(0.1)
            if how == "hangs":
                await harness.patiently(log, harness.order_batches(rng, before + 100, 100))
                node.signal(signal.SIGSTOP)  # there is something to commit
            else:
                node.kill()
            took = await worker.ends()
            assert took < ENDS, f"{how}: it took {took:.1f} s: {worker.said()}"
            assert worker.process.returncode in (0, INTERRUPTED), worker.said()
            return took
        finally:
            worker.process.kill()
            worker.process.wait()

    async def whole() -> list[float]:
        log = open_log(url)
        await log.start()
        try:
            topics = ("orders", "users", *harness.OUTPUTS, *harness.TABLES)
            kept = {"retention.ms": "-1"}
            await log.create_topics([NewTopic(topic, harness.PARTITIONS, kept) for topic in topics])
            return [await one(log, how) for how in ("hangs", "stops")]
        finally:
            await log.close()

    print("ended after", asyncio.run(whole()), "s")
