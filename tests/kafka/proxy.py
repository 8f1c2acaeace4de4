"""A proxy between clients and one broker, which knows the protocol well enough to break it where it hurts.

Requests and answers are length-prefixed; a request begins with ``int16 api | int16 version | int32 number``, an answer
with the number of its request. A fault is armed for the next request or answer of one kind (of one process, if it
is named), happens once, and is counted when it has happened.

    delay   the frame goes on later                    deaf    from here on no answer comes through
    cut     half of the frame, then the end            dead    from here on nothing does, and nobody hangs up
    freeze  the process is stopped (SIGSTOP) with the frame delivered, or with it still on the way (`late`)
    lie     the broker did what it was asked; its answer says something else
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

PRODUCE, FIND, INIT, ADD_PARTITIONS, ADD_OFFSETS, END, OFFSETS = 0, 10, 22, 24, 25, 26, 28
NAMES = {PRODUCE: "Produce", FIND: "FindCoordinator", INIT: "InitProducerId", ADD_PARTITIONS: "AddPartitionsToTxn",
         ADD_OFFSETS: "AddOffsetsToTxn", END: "EndTxn", OFFSETS: "TxnOffsetCommit"}  # fmt: skip
STEPS = [(api, way) for api in (INIT, PRODUCE, OFFSETS, END) for way in ("request", "answer")]
"""What a commit asks, and when: before the broker has seen it, and after the broker has done it."""


@dataclass
class Fault:
    """What is to happen to the next frame of its kind."""

    kind: str
    api: int
    way: str
    seconds: float = 0.0
    late: bool = False
    code: int = 0
    pid: int | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def __str__(self) -> str:
        late = ", which is late" if self.late else ""
        return f"{self.kind} at the {self.way} of {NAMES[self.api]}{late}"


class Proxy:
    """Listens on ``port`` and passes on to ``target``, both of this machine."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.happened: Counter[str] = Counter()
        self._armed: list[Fault] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> Proxy:
        """Listen."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", self.port), self._loop).result(
            5
        )
        return self

    def stop(self) -> None:
        """Hang up everywhere."""

        async def end() -> None:
            serving = asyncio.all_tasks() - {asyncio.current_task()}
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def arm(self, fault: Fault) -> Fault:
        """Let it happen to the next frame that fits."""
        with self._lock:
            self._armed.append(fault)
        return fault

    def disarm(self, fault: Fault) -> bool:
        """Do not; False if it has begun already."""
        with self._lock:
            if fault not in self._armed:
                return False
            self._armed.remove(fault)
            return True

    def _due(self, link: _Link, api: int, way: str) -> Fault | None:
        with self._lock:
            for fault in self._armed:
                if (fault.api, fault.way) == (api, way) and link.is_of(fault.pid):
                    self._armed.remove(fault)
                    return fault
        return None

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            broker, to_broker = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            to_client.transport.abort()
            return
        port = to_client.get_extra_info("peername")[1]
        link = _Link(self, port, to_client, to_broker)
        ways = [asyncio.ensure_future(link.requests(client)), asyncio.ensure_future(link.answers(broker))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the end of all; the server would complain about it
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            link.hang_up()


class _Link:
    """One connection."""

    def __init__(
        self, proxy: Proxy, port: int, to_client: asyncio.StreamWriter, to_broker: asyncio.StreamWriter
    ) -> None:
        self._proxy, self._port = proxy, port
        self._of: dict[int, bool] = {}
        self._to = {"request": to_broker, "answer": to_client}
        self._asked: dict[int, tuple[int, int]] = {}
        self._silent = {"request": False, "answer": False}

    def is_of(self, pid: int | None) -> bool:
        """Whether this is a connection of the process; of any, if none is named."""
        if pid is None:
            return True
        if pid not in self._of:
            self._of[pid] = connected(pid, self._port, self._proxy.port)
        return self._of[pid]

    def hang_up(self) -> None:
        for writer in self._to.values():
            writer.transport.abort()

    async def requests(self, reader: asyncio.StreamReader) -> None:
        await self._pass(reader, "request")

    async def answers(self, reader: asyncio.StreamReader) -> None:
        await self._pass(reader, "answer")

    async def _pass(self, reader: asyncio.StreamReader, way: str) -> None:
        try:
            while True:
                head = await reader.readexactly(4)
                frame = await reader.readexactly(int.from_bytes(head, "big"))
                if way == "request":
                    api, version, number = struct.unpack_from(">hhi", frame)
                    self._asked[number] = api, version
                else:
                    api, version = self._asked.pop(int.from_bytes(frame[:4], "big"), (-1, -1))
                fault = self._proxy._due(self, api, way) if self._proxy._armed else None
                if fault is not None:
                    frame = await self._suffer(fault, frame, version)
                    head = len(frame).to_bytes(4, "big")
                if frame and not self._silent[way]:
                    self._to[way].write(head + frame)
                    await self._to[way].drain()
        except (asyncio.IncompleteReadError, OSError):
            return

    async def _suffer(self, fault: Fault, frame: bytes, version: int) -> bytes:
        """What becomes of the frame. Raises `OSError` for a connection that ends here."""
        proxy = self._proxy
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.kind == "cut":
            self._to[fault.way].write(len(frame).to_bytes(4, "big") + frame[: len(frame) // 2])
            await self._to[fault.way].drain()
        elif fault.kind in ("deaf", "dead"):
            self._silent = {"request": fault.kind == "dead", "answer": True}
        elif fault.kind == "freeze":
            assert fault.pid is not None
            if not fault.late and not self._silent[fault.way]:
                self._to[fault.way].write(len(frame).to_bytes(4, "big") + frame)
                await self._to[fault.way].drain()
            await asyncio.to_thread(freeze, fault.pid, fault.seconds)
        elif fault.kind == "lie":
            frame = lied(frame, fault.api, version, fault.code)
        proxy.happened[str(fault)] += 1
        fault.done.set()
        if fault.kind == "cut":
            self.hang_up()
            raise OSError("cut")
        if fault.kind == "freeze" and not fault.late:
            return b""  # it went before
        return frame


def freeze(pid: int, seconds: float) -> None:
    """Stop a process for a while."""
    try:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def connected(pid: int, port: int, to: int) -> bool:
    """Whether a process has a connection from ``port`` to ``to`` of this machine."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[2].endswith(f":{to:04X}")}
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") in inodes for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def lied(frame: bytes, api: int, version: int, code: int) -> bytes:
    """An answer with its (first) error code replaced.

    Source: Kafka's documentation, "Protocol": Produce v3 and v12, InitProducerId v0, AddPartitionsToTxn v0,
    FindCoordinator v1, AddOffsetsToTxn v0, EndTxn v0 and v5, TxnOffsetCommit v3 and v5.
    """
    flexible = (api, version) in ((PRODUCE, 12), (END, 5), (OFFSETS, 3), (OFFSETS, 5))
    at = 5 if flexible else 4
    if api in (END, INIT, ADD_OFFSETS, FIND):
        at += 4
    else:
        at += 0 if api == PRODUCE else 4
        if flexible:
            at += 1 + (1 + frame[at + 1] - 1) + 1 + 4  # counts and lengths are one byte here
        else:
            at += 4 + 2 + int.from_bytes(frame[at + 4 : at + 6], "big") + 4 + 4
    return frame[:at] + code.to_bytes(2, "big", signed=True) + frame[at + 2 :]
