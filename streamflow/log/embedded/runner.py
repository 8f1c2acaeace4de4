"""Where blocking work is done: SQLite and file locks never run on the event loop.

A `Runner` is the only door to it, so a simulation can pass one that runs inline
and injects faults around each call. Whatever takes a file lock gives it back
inside the same call: a lock is never held across an await.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any] | None"]


class Runner(Protocol):
    """Runs one blocking function after the other and answers with its result or its exception."""

    async def call(self, fn: Callable[..., T], *args: Any) -> T: ...


class ThreadRunner:
    """A thread of its own, started with the first call. Calls run in the order in which they were made.

    >>> import asyncio
    >>> async def main() -> int:
    ...     runner = ThreadRunner("doc")
    ...     try:
    ...         return await runner.call(max, 1, 2)
    ...     finally:
    ...         runner.stop()
    >>> asyncio.run(main())
    2
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = False

    async def call(self, fn: Callable[..., T], *args: Any) -> T:
        if self._stopped:
            return fn(*args)  # the files are closed, and so is all that `fn` can find out
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._start()
        self._jobs.put((fn, args, future))
        return await future

    def stop(self, last: Callable[[], object] | None = None) -> None:
        """End the thread after what is queued, and after ``last``. Does not wait for it."""
        if last is not None:
            self._start()
            self._jobs.put((last, (), None))
        self._stopped = True
        self._jobs.put(None)

    def join(self) -> None:
        """Wait for the end, after `stop`."""
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: a worker that must go does not wait for a disk that hangs.
            self._thread = threading.Thread(target=self._run, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()

    @staticmethod
    def _run(jobs: SimpleQueue[_Job | None]) -> None:
        while (job := jobs.get()) is not None:
            fn, args, future = job
            answer: Any = None
            error: BaseException | None = None
            try:
                answer = fn(*args)
            except BaseException as raised:
                error = raised
            if future is not None:
                _answer(future, answer, error)


def _answer(future: asyncio.Future[Any], answer: Any, error: BaseException | None) -> None:
    def settle() -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile; nobody waits
        future.get_loop().call_soon_threadsafe(settle)
