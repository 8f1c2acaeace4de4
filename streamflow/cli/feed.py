"""Reading what is to be produced: whole blocks of lines, as they come.

A thread reads while the last block is being written, so a slow pipe costs no latency (each line is written as it
comes) and a fast one fills the next block meanwhile: the block size finds itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

R = TypeVar("R")

READ_BYTES = 1 << 18
WAITING_BYTES = 4 << 20


class _Reader(threading.Thread):
    """Reads files one after the other; each ends with the end of a line."""

    def __init__(self, paths: Sequence[str], arrived: Callable[[], object]) -> None:
        super().__init__(daemon=True)  # a read that never returns must not keep the process alive
        self.paths = paths
        self.failure: OSError | None = None
        self.over = False
        self._arrived = arrived
        self._parts: list[bytes] = []
        self._waiting = 0
        self._room = threading.Condition()

    def run(self) -> None:
        try:
            for path in self.paths:
                self._read(path)
        except OSError as error:
            self.failure = error
        self.over = True
        self._arrived()

    def _read(self, path: str) -> None:
        descriptor = 0 if path == "-" else os.open(path, os.O_RDONLY)
        last = b"\n"
        while part := os.read(descriptor, READ_BYTES):
            last = part[-1:]
            self._put(part)
        if last != b"\n":
            self._put(b"\n")
        if descriptor:
            os.close(descriptor)

    def _put(self, part: bytes) -> None:
        with self._room:
            while self._waiting >= WAITING_BYTES:
                self._room.wait()
            self._parts.append(part)
            self._waiting += len(part)
        self._arrived()

    def take(self) -> bytes:
        """Everything that was read and not taken yet."""
        with self._room:
            parts, self._parts, self._waiting = self._parts, [], 0
            self._room.notify()
        return b"".join(parts)


async def blocks(paths: Sequence[str]) -> AsyncIterator[bytes]:
    """The files' bytes in blocks of whole lines, each block ending with a newline; ``-`` is stdin. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    reader = _Reader(paths, lambda: loop.call_soon_threadsafe(arrived.set))
    reader.start()
    rest = b""
    while True:
        await arrived.wait()
        arrived.clear()
        over = reader.over  # looked at first: what came before it is then in what we take
        block, newline, rest = (rest + reader.take()).rpartition(b"\n")
        if newline:
            yield (block + newline).replace(b"\r\n", b"\n")
        if over:
            if reader.failure is not None:
                raise reader.failure
            return
