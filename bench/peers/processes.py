"""A worker of each peer as a process, and what the system says of it. Linux only: read from ``/proc``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from bench.lasting import cpu_seconds, peak_memory
from tests.kafka.broker import free_ports, jars

ROOT = Path(__file__).parents[2]
PEERS = ("streamflow", "kafka streams")
ENDS_WITHIN = 60.0  # seconds


@dataclass(frozen=True)
class Job:
    """What a worker is to do."""

    peer: str
    workload: str
    app: str
    bootstrap: str
    home: Path
    source: str = "orders"

    @property
    def out(self) -> str:
        """Where the results go."""
        return f"{self.app}-out"


class Running:
    """A process that does a job until it is stopped."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.said = job.home / f"{job.app}.log"
        self._port = free_ports(1)[0]
        environment = os.environ | {
            "WORKLOAD": job.workload, "APP_ID": job.app, "BOOTSTRAP": job.bootstrap, "IN_TOPIC": job.source,
            "OUT_TOPIC": job.out, "STATE_DIR": str(self.state), "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0",
        }  # fmt: skip
        with self.said.open("wb") as said:
            self._process = subprocess.Popen(self._command(), env=environment, cwd=ROOT, stdout=said, stderr=said)
        self.pid = self._process.pid

    @property
    def state(self) -> Path:
        """The folder of its stores."""
        return self.job.home / f"{self.job.app}-state"

    def _command(self) -> list[str]:
        if self.job.peer == "kafka streams":
            return ["java", "-Xmx2g", "-cp", f"{streams_jars()}/*:{self.job.home}", "Streams"]
        options = ["--broker", f"kafka://{self.job.bootstrap}", "--state-dir", str(self.state)]
        return [
            *(sys.executable, "-m", "streamflow", "run", "bench/peers/ours.py", *options),
            *("--http", f"127.0.0.1:{self._port}"),
        ]

    @property
    def cpu(self) -> float:
        """Seconds, user and system, of all its threads."""
        if self._process.poll() is not None:
            raise SystemExit(f"{self.job.peer} ended by itself:\n{self.said.read_text()[-3000:]}")
        return cpu_seconds(self.pid)

    @property
    def peak(self) -> float:
        """MB."""
        return peak_memory(self.pid)

    def whole(self, tasks: int) -> bool:
        """Whether the stores of so many tasks are restored."""
        if self.job.peer == "kafka streams":
            return self.said.read_text().count("restore ends") >= tasks
        try:
            return (
                sum(line.startswith("streamflow_task_running{") for line in self._metrics() if line.endswith("1.0"))
                >= tasks
            )
        except OSError:
            return False  # it does not answer yet

    def _metrics(self) -> list[str]:
        with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            return list(answer.read().decode().splitlines())

    def commit_latency(self) -> dict[str, float]:
        """Milliseconds. Kafka Streams tells mean and maximum when it ends, and no quantiles."""
        if self.job.peer == "kafka streams":
            told = [line.split() for line in self.said.read_text().splitlines() if line.startswith("commit-latency-")]
            return {f"commit {name.rpartition('-')[2]} ms": round(float(value), 1) for name, value in told}
        quantiles = {"0.5": "p50", "0.99": "p99"}
        found = [line.split('"') for line in self._metrics() if line.startswith("streamflow_newest_commits_seconds{")]
        return {
            f"commit {quantiles[name]} ms": round(1000 * float(value.lstrip("} ")), 1)
            for _, name, value in found
            if name in quantiles
        }

    def stop(self) -> None:
        """As an operator would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def streams_jars() -> Path:
    """Kafka Streams and what it needs."""
    return jars(artifacts=("kafka-streams", "kafka-streams-test-utils"), name="streams")


def compile_streams(folder: Path) -> None:
    """The Java program, into a folder."""
    source = Path(__file__).with_name("Streams.java")
    subprocess.run(["javac", "-cp", f"{streams_jars()}/*", "-d", str(folder), str(source)], check=True)
