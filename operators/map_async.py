"""Values that a service gives: many calls at once, their results in the order of the records.

Each record starts a call; results go on as soon as those before them have. A
commit waits for the calls in flight, so a result is in the same commit as its
record's position, and what a crash interrupts is called again: the service has
to bear that.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope

OnError = Literal["fail", "skip", "dead_letter"]


@dataclass(frozen=True)
class MapAsync(Passing):
    """Each record with what ``await f(value)`` gives as its value. At most ``concurrency`` calls of a task are under way;
    one that takes longer than ``timeout`` seconds has failed."""

    f: Function
    concurrency: int
    timeout: float | None
    on_error: OnError

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    def build(self, emit: Emit, scope: Scope) -> Emit:
        start = scope.services.calls(scope.step, self.concurrency, self.on_error)
        fn, takes_key, timeout = self.f.fn, self.f.takes_key, self.timeout

        def process(key: Any, value: Any, timestamp: int) -> None:
            call = fn(key, value) if takes_key else fn(value)
            if timeout is not None:
                call = within(call, timeout)
            start(call, partial(_deliver, emit, key, timestamp))

        return process


async def within(call: Coroutine[Any, Any, Any], seconds: float) -> Any:
    """What the call gives, in time."""
    import asyncio  # a third of what importing streamflow costs, and only workers wait

    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:g} s") from error


def _deliver(emit: Emit, key: Any, timestamp: int, value: Any) -> None:
    emit(key, value, timestamp)
