"""Calls of a task that are under way (`operators/map_async.py`): started in the loop, delivered in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from streamflow.record import TopicPartition
from streamflow.runtime.context import Context


class Answer(Protocol):
    """What has been started: an `asyncio.Future`, in part."""

    def done(self) -> bool: ...

    def result(self) -> Any: ...

    def cancel(self) -> bool: ...


@dataclass(frozen=True)
class Call:
    """One call: of which record and step, what to do with its result, and with an error."""

    step: str
    on_error: str
    record: Any
    at: TopicPartition
    deliver: Callable[[Any], None]
    answer: Answer


class Calls:
    """Those of all steps of a task; each step's are delivered in the order in which they were started.

    ``run`` starts a coroutine; ``wake`` is called when one has ended.
    """

    def __init__(self, context: Context) -> None:
        self.run: Callable[[Coroutine[Any, Any, Any]], Answer] = self._in_loop
        self.wake: Callable[[], None] = lambda: None
        self._context = context
        self._steps: list[tuple[deque[Call], int]] = []

    def step(
        self, name: str, most: int, on_error: str
    ) -> Callable[[Coroutine[Any, Any, Any], Callable[[Any], None]], None]:
        """How a step starts its calls, at most ``most`` at once."""
        pending: deque[Call] = deque()
        self._steps.append((pending, most))
        context = self._context

        def start(call: Coroutine[Any, Any, Any], deliver: Callable[[Any], None]) -> None:
            at = TopicPartition(context.topic, context.partition)
            pending.append(Call(name, on_error, context.record, at, deliver, self.run(call)))

        return start

    @property
    def full(self) -> bool:
        """A step has as many calls under way as it may."""
        return any(len(pending) >= most for pending, most in self._steps)

    @property
    def pending(self) -> bool:
        """There are calls that are not delivered."""
        return any(pending for pending, _ in self._steps)

    def ended(self) -> Iterator[Call]:
        """Take away the calls that can be delivered now. What is delivered may start others."""
        for pending, _ in self._steps:
            while pending and pending[0].answer.done():
                yield pending.popleft()

    async def next_end(self, patience: float | None) -> bool:
        """Wait until the first call of some step has ended; False if none did in time."""
        first: list[Any] = [pending[0].answer for pending, _ in self._steps if pending]
        if any(answer.done() for answer in first):
            return True
        done, _ = await asyncio.wait(first, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    def cancel(self) -> None:
        """Nobody waits for them any more."""
        for pending, _ in self._steps:
            for call in pending:
                call.answer.cancel()
            pending.clear()

    def _in_loop(self, call: Coroutine[Any, Any, Any]) -> Answer:
        task = asyncio.get_running_loop().create_task(call)
        task.add_done_callback(lambda _: self.wake())
        return task
