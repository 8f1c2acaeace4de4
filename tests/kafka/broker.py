"""Real Kafka brokers for tests: fetched from Maven Central once, started on free ports, gone when the test is.

    python -m tests.kafka.broker 9092                  starts one for a person to play with
    python -m tests.kafka.broker -- COMMAND ...        runs a command with kafka://HOST:PORT behind it, then ends

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

VERSION = os.environ.get("STREAMFLOW_KAFKA_VERSION", "4.1.1")
OLDER = "3.9.1"
"""Of the line before: transactions of the first version."""
CACHE = Path(__file__).parents[2] / ".kafka"
STARTED = 60.0  # seconds

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>streamflow</groupId><artifactId>brokers</artifactId><version>1</version><dependencies>{dependencies}
</dependencies></project>"""
_DEPENDENCY = """<dependency><groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId>
<version>{version}</version></dependency>"""

_PROPERTIES = """
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
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


def missing(version: str = VERSION) -> str:
    """Why no broker can be started here; empty when one can."""
    if shutil.which("java") is None:
        return "Java is missing: install a JRE of version 17 or later (apt install openjdk-17-jre-headless)"
    if not (CACHE / version).is_dir() and shutil.which("mvn") is None:
        return "Maven is missing: install it (apt install maven), it fetches Kafka's jars once"
    return ""


def jars(version: str = VERSION, artifacts: Sequence[str] = ("kafka_2.13",), name: str = "") -> Path:
    """The folder with Kafka's jars, fetched if need be; others than the broker's lie under a ``name``."""
    CACHE.mkdir(exist_ok=True)
    name = f"{version}-{name}" if name else version
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = CACHE / name
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as work:
                wanted = "".join(_DEPENDENCY.format(artifact=artifact, version=version) for artifact in artifacts)
                (Path(work) / "pom.xml").write_text(_POM.format(dependencies=wanted))
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
    version: str = VERSION
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "log"

    def start(self) -> None:
        """Start the process; `wait` tells when it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                _java(self.version, "kafka.Kafka", str(self.folder / "server.properties")),
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
    """So many nodes, with their data below ``folder``. ``listener`` is the protocol they are spoken to in; ``scram`` has
    users with their passwords, and ``behind`` is the port of a proxy that a lonely node tells clients to use."""

    def __init__(
        self, folder: Path, count: int = 1, port: int | None = None, settings: str = "", version: str = VERSION,
        listener: str = "PLAINTEXT", scram: Mapping[str, str] | None = None, behind: int | None = None,
    ) -> None:  # fmt: skip
        self._scram = dict(scram or {})
        ports = free_ports(2 * count)
        if port is not None:
            ports[0] = port
        copies = min(3, count)
        voters = ",".join(f"{n + 1}@127.0.0.1:{ports[count + n]}" for n in range(count))
        self.nodes: list[Node] = []
        for n in range(count):
            node = Node(n + 1, ports[n], folder / f"node{n + 1}", version)
            told = ports[n] if behind is None else behind
            node.folder.mkdir(parents=True)
            (node.folder / "server.properties").write_text(
                f"{_PROPERTIES}node.id={node.id}\ncontroller.quorum.voters={voters}\nlog.dirs={node.folder / 'data'}\n"
                f"listeners={listener}://127.0.0.1:{ports[n]},CONTROLLER://127.0.0.1:{ports[count + n]}\n"
                f"advertised.listeners={listener}://127.0.0.1:{told}\ninter.broker.listener.name={listener}\n"
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
            for user, password in self._scram.items():
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                    told += ["-S", f"{mechanism}=[name={user},password={password}]"]
            tool = _java(node.version, "kafka.tools.StorageTool", *told)
            formatted = subprocess.run(tool, capture_output=True, text=True)
            assert formatted.returncode == 0, formatted.stdout + formatted.stderr
            node.start()
        for node in self.nodes:
            node.wait()
        return self

    def stop(self) -> None:
        """End every node, however."""
        for node in self.nodes:
            node.kill()


def _java(version: str, main: str, *arguments: str) -> Sequence[str]:
    memory = ["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return ["java", *memory, "-cp", f"{jars(version)}/*", main, *arguments]


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main() -> None:
    """Run one broker until Ctrl-C, or for a command."""
    if why := missing():
        raise SystemExit(why)
    words = sys.argv[1:]
    command = words[1:] if words[:1] == ["--"] else None
    port = int(words[0]) if words and command is None else None if command else 9092
    print(f"fetching Kafka {VERSION} (some 130 MB, once) and starting a broker", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = "auto.create.topics.enable=true\nlog.retention.ms=-1\n"
        cluster = Cluster(Path(folder), port=port, settings=settings).start()
        if command is not None:
            try:
                raise SystemExit(subprocess.run([*command, f"kafka://{cluster.bootstrap}"]).returncode)
            finally:
                cluster.stop()
        print(f"Kafka {VERSION} on {cluster.bootstrap}; Ctrl-C ends it")
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
