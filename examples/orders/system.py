"""All services of the order system, each a process: start them, kill them, tell when they have done everything."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from examples.orders import goods
from streamflow.log.contract import Log
from streamflow.log.open import open_log
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic

ROOT = Path(__file__).parents[2]
STREAMFLOW = [sys.executable, "-m", "streamflow"]
TOPICS = ("customers", "stock", "orders", "verdicts", "decisions", "stock-moves", "payments", "emails")
READS = {
    "details": ("orders",),
    "fraud": ("orders",),
    "inventory": ("orders", "decisions", "inventory-by-product-repartition"),
    "payment": ("orders", "decisions"),
    "decide": ("orders", "verdicts", "decide-by-id-repartition"),
    "mail": ("decisions", "payments"),
    "view": ("orders", "verdicts", "decisions", "payments", "emails", "view-by-id-repartition"),
}
"""The services that run on streamflow, and the streams that each reads."""
PARTITIONS = 4
HOME = ROOT / ".cache" / "orders"


class System:
    """The services over one log. ``port`` is where people come; the view answers on the next one."""

    def __init__(self, home: Path, broker: str, port: int) -> None:
        self.home, self.broker, self.port = home, broker, port
        self.url, self.view = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.names = (*READS, "rest")

    def command(self, name: str, http: bool = False) -> list[str]:
        if name == "rest":
            return [sys.executable, "-m", "examples.orders.rest", "--view", self.view, "--port", str(self.port)]
        answers = ["--http", self.view.removeprefix("http://")] if http or name == "view" else ["--no-http"]
        command = [*STREAMFLOW, "run", f"examples/orders/{name}.py", "--broker", self.broker, *answers]
        return [*command, "--state-dir", str(self.home / "state"), "--create-topics"]

    def start(self, name: str, http: bool = False, **environment: str) -> None:
        """``http``: let it answer where the view does, which is away."""
        with (self.home / f"{name}.log").open("ab") as said:
            self.running[name] = subprocess.Popen(
                self.command(name, http),
                cwd=ROOT,
                stdout=said,
                stderr=said,
                env=os.environ | environment,
                process_group=0,  # Ctrl-C is for whoever started the system, which then stops its services in order
            )

    def kill(self, name: str) -> None:
        """``kill -9``. Raises `RuntimeError` for one that had ended by itself."""
        process = self.running.pop(name)
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended by itself with {process.returncode}:\n{self.said(name)}")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def said(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text()[-2000:]

    def stop(self) -> dict[str, int]:
        """Stop all in an orderly way; their exit codes."""
        for process in self.running.values():
            process.terminate()
        codes = {name: process.wait(timeout=60) for name, process in self.running.items()}
        self.running.clear()
        return codes

    def abandon(self) -> None:
        """Whatever still runs, ends."""
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()

    def feed(self, topic: str, rows: Mapping[str, object]) -> None:
        """Rows into a topic through ``streamflow produce``."""
        lines = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in rows.items())
        kind = "int" if topic == "stock" else "json"
        options = ["--broker", self.broker, "--format", "json", "--key", "str", "--value", kind]
        subprocess.run([*STREAMFLOW, "produce", topic, *options], input=lines, text=True, check=True, cwd=ROOT)

    def begin(self, customers: int, stock: int) -> None:
        """The topics, the rows that the tables begin with, and all services."""
        self.home.mkdir(parents=True)
        asyncio.run(self.create())
        self.feed("customers", goods.customers(customers))
        self.feed("stock", goods.stock(stock))
        for name in self.names:
            self.start(name)

    async def create(self) -> None:
        log = open_log(self.broker)
        await log.start()
        try:
            await log.create_topics([NewTopic(name, PARTITIONS, {"retention.ms": "-1"}) for name in TOPICS])
        finally:
            await log.close()

    async def waiting(self, log: Log) -> int:
        """How many records the services have not processed yet."""
        there = await log.topics()
        behind = 0
        for name, topics in READS.items():
            if missing := [topic for topic in topics if topic not in there]:
                return len(missing)
            places = [TopicPartition(topic, n) for topic in topics for n in range(there[topic].partitions)]
            ends, done = await log.offsets(places), await log.committed(name, places)
            behind += sum(max(0, ends[at].end - done.get(at, ends[at].start)) for at in places)
        return behind


def main() -> None:
    parser = argparse.ArgumentParser(prog="make shop", description="the order system, to play with in a browser")
    parser.add_argument("--home", type=Path, default=ROOT / ".cache" / "shop", help="emptied first")
    parser.add_argument(
        "--broker", help="a log to run it on, such as kafka://localhost:9092; one of its own if not given"
    )
    parser.add_argument("--port", type=int, default=8080)
    asked = parser.parse_args()
    home: Path = asked.home.absolute()
    shutil.rmtree(home, ignore_errors=True)
    system = System(home, asked.broker or f"embedded://{home / 'log'}", asked.port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        system.begin(customers=20, stock=50)
        print(f"{system.url} takes orders, {system.view} shows the view; Ctrl-C ends it", flush=True)
        while not (ended := [name for name, process in system.running.items() if process.poll() is not None]):
            time.sleep(0.5)
        print("\n".join(f"{name} ended:\n{system.said(name)}" for name in ended), file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        system.stop()
    finally:
        system.abandon()


if __name__ == "__main__":
    main()
