"""Real Kafka brokers for tests: fetched from Maven Central once, started on free ports, gone when the test is.

    python -m tests.kafka.broker 9092      starts one for a person to play with

The jars lie in ``.kafka/<version>`` of the checkout. KRaft: every node is broker and controller, its data is in the
folder that is given. A broker that outlives its test would keep the machine busy, so each is also told to end with
the process that started it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

VERSION = os.environ.get("STREAMFLOW_KAFKA_VERSION", "4.1.1")
CACHE = Path(__file__).parents[2] / ".kafka"
STARTED = 60.0  # seconds

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>streamflow</groupId><artifactId>brokers</artifactId><version>1</version><dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version>
</dependency></dependencies></project>"""

_PROPERTIES = """
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
log.message.timestamp.after.max.ms=9223372036854775807
"""


def missing() -> str:
    """Why no broker can be started here; empty when one can."""
    if shutil.which("java") is None:
        return "Java is missing: install a JRE of version 17 or later (apt install openjdk-17-jre-headless)"
    if not (CACHE / VERSION).is_dir() and shutil.which("mvn") is None:
        return "Maven is missing: install it (apt install maven), it fetches Kafka's jars once"
    return ""


def jars(version: str = VERSION) -> Path:
    """The folder with Kafka's jars, fetched if need be."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = CACHE / version
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as work:
                (Path(work) / "pom.xml").write_text(_POM.format(version=version))
                fetch = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
                subprocess.run(fetch, cwd=work, check=True, stdout=subprocess.DEVNULL, timeout=600)
                (Path(work) / "jars").rename(folder)
        return folder


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass
class Node:
    """One broker: its number in the cluster, where it listens, its process while it runs."""

    id: int
    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "log"

    def start(self) -> None:
        """Start the process; `wait` tells when it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                _java("kafka.Kafka", str(self.folder / "server.properties")),
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
                preexec_fn=_end_with_parent,
            )

    def wait(self) -> None:
        """Until it listens."""
        until = time.monotonic() + STARTED
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
                return
            except OSError:
                assert self.process is not None and self.process.poll() is None, self.log.read_text()[-3000:]
                assert time.monotonic() < until, f"no broker within {STARTED} s: {self.log.read_text()[-3000:]}"
                time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT, for a broker that hangs."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Cluster:
    """So many nodes, with their data below ``folder``."""

    def __init__(self, folder: Path, count: int = 1, port: int | None = None, settings: str = "") -> None:
        ports = free_ports(2 * count)
        if port is not None:
            ports[0] = port
        copies = min(3, count)
        voters = ",".join(f"{n + 1}@127.0.0.1:{ports[count + n]}" for n in range(count))
        self.nodes: list[Node] = []
        for n in range(count):
            node = Node(n + 1, ports[n], folder / f"node{n + 1}")
            node.folder.mkdir(parents=True)
            (node.folder / "server.properties").write_text(
                f"{_PROPERTIES}node.id={node.id}\ncontroller.quorum.voters={voters}\nlog.dirs={node.folder / 'data'}\n"
                f"listeners=PLAINTEXT://127.0.0.1:{ports[n]},CONTROLLER://127.0.0.1:{ports[count + n]}\n"
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{ports[n]}\n"
                f"offsets.topic.replication.factor={copies}\ntransaction.state.log.replication.factor={copies}\n"
                f"transaction.state.log.min.isr={min(2, copies)}\ndefault.replication.factor={copies}\n"
                f"min.insync.replicas={min(2, copies)}\n{settings}"
            )
            self.nodes.append(node)

    @property
    def bootstrap(self) -> str:
        """``host:port,...`` of all nodes."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> Cluster:
        """Format the storage and start every node."""
        for node in self.nodes:
            told = ["format", "-t", "c3RyZWFtZmxvdy10ZXN0cw", "-c", str(node.folder / "server.properties")]
            formatted = subprocess.run(_java("kafka.tools.StorageTool", *told), capture_output=True, text=True)
            assert formatted.returncode == 0, formatted.stdout + formatted.stderr
            node.start()
        for node in self.nodes:
            node.wait()
        return self

    def stop(self) -> None:
        """End every node, however."""
        for node in self.nodes:
            node.kill()


def _java(main: str, *arguments: str) -> Sequence[str]:
    memory = ["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return ["java", *memory, "-cp", f"{jars()}/*", main, *arguments]


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main() -> None:
    """Run one broker until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9092
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder), port=port, settings="auto.create.topics.enable=true\n").start()
        print(f"Kafka {VERSION} on {cluster.bootstrap}; Ctrl-C ends it")
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
