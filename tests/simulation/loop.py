"""An event loop without time: it runs what is ready in a seeded order and jumps to the next timer.

The same seed gives the same order of callbacks, so a run can be had again. A
loop in which nothing is ready and nothing is due has come to a stop for ever,
and says so (`Deadlock`).

Callbacks belong to whoever made them (`OWNER`, inherited by tasks as any context
variable is). Before each one its owner is asked: a dead process's callbacks are
thrown away, those of a stopped one wait until it goes on.

Threads, sockets and signals are absent: what asks for them fails.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Owner(Protocol):
    """Whose callbacks these are."""

    dead: bool

    def turn(self) -> bool:
        """Asked before each callback: may it run now? Whoever says no takes care of it (`park`), unless dead."""
        ...

    def park(self, handle: Handle) -> None: ...


OWNER: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("owner", default=None)


class Deadlock(Exception):
    """Nothing is ready and no timer is set, but the run is not over."""


class Handle:
    """A callback to be run, now or at ``when``."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "when")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: contextvars.Context | None, when: float
    ) -> None:
        self.callback: Callable[..., Any] | None = callback
        self.args = args
        self.context = contextvars.copy_context() if context is None else context
        self.is_cancelled = False
        self.when = when

    def cancel(self) -> None:
        self.is_cancelled = True
        self.callback = None

    def cancelled(self) -> bool:
        return self.is_cancelled


class SimLoop(asyncio.AbstractEventLoop):
    """``shuffled`` False keeps asyncio's own order: first come, first served."""

    def __init__(self, rng: random.Random, *, shuffled: bool = True) -> None:
        self.now = 0.0
        self.turns = 0
        self.unhandled: list[str] = []
        self._rng = rng
        self._shuffled = shuffled
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._made = 0
        self._closed = False

    # --- running

    def run_until_complete(self, future: Any) -> Any:
        """Run until ``future`` is done; gives its result. `Deadlock` when it never will be."""
        main: asyncio.Future[Any] = asyncio.ensure_future(future, loop=self)
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            while not main.done():
                self._step()
        finally:
            events._set_running_loop(before)
        return main.result()

    def _step(self) -> None:
        """One callback."""
        timers = self._timers
        if not self._ready:
            while timers and timers[0][2].is_cancelled:
                heapq.heappop(timers)
            if not timers:
                raise Deadlock(f"nothing is left to do at {self.now:.3f} s")
            self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            self._ready.append(heapq.heappop(timers)[2])
        handle = self._next()
        if handle.is_cancelled:
            return
        owner = handle.context.get(OWNER)
        if owner is not None:
            if owner.dead:
                return
            if not owner.turn():
                if not owner.dead:
                    owner.park(handle)
                return
        self.turns += 1
        callback = handle.callback
        assert callback is not None
        try:
            handle.context.run(callback, *handle.args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self.call_exception_handler({"message": f"callback {callback!r} failed", "exception": error})

    def _next(self) -> Handle:
        ready = self._ready
        if self._shuffled and len(ready) > 1:
            ready.rotate(-self._rng.randrange(len(ready)))
        return ready.popleft()

    def resume(self, handles: list[Handle]) -> None:
        """Parked callbacks may run again."""
        self._ready.extend(handles)

    # --- what asyncio asks of a loop

    def time(self) -> float:
        return self.now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context, self.now)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context, when)
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        owner = OWNER.get() if context is None else context.get(OWNER)
        if owner is not None:
            owner.tasks.append(task)  # type: ignore[attr-defined]
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What asyncio would log. Tasks of dead processes are forgotten half way; that is no news."""
        if "was destroyed but it is pending" not in context["message"]:
            self.unhandled.append(f"{context['message']}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._ready.clear()
        self._timers.clear()
