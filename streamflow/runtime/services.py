"""What processors ask of their task: the time, stores, punctuations, a commit, to be told of the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol

from streamflow.clock import Clock
from streamflow.operators.contract import StreamTime
from streamflow.runtime.calls import Calls
from streamflow.runtime.context import Context
from streamflow.state.store import Store

logger = logging.getLogger("streamflow.worker")

StreamTimes = Callable[[str, str], StreamTime]
"""``(step, name) -> time``, kept with the commit"""


Find = Callable[[Any], tuple[Any, int] | None]
"""``key -> (value, timestamp) or None``"""


class Tables(Protocol):
    """Tables that every worker has whole (`global_tables.py`)."""

    def rows(self, store: str) -> Find:
        """How to find a row of one."""
        ...

    def view(self, store: str) -> Any:
        """One to look into; None if there is none of this name."""
        ...


class NoTables:
    """Where there are none."""

    def rows(self, store: str) -> Find:
        raise KeyError(store)

    def view(self, store: str) -> Any:
        return None


NO_TABLES = NoTables()


class Scheduled:
    """One punctuation. ``next`` is when it is due, in the time it follows."""

    def __init__(self, step: str, every: int, f: Callable[[int], object], due: StreamTime) -> None:
        self.step = step
        self.f = f
        self.cancelled = False
        self._every = every
        self._due = due

    @property
    def next(self) -> int:
        """When it is due."""
        return self._due.now

    def passed(self, now: int) -> None:
        """It is called now: however many intervals have passed, the next call is at a multiple of the interval."""
        due = self._due.now
        self._due.now = due + ((now - due) // self._every + 1) * self._every

    def cancel(self) -> None:
        """No more calls."""
        self.cancelled = True


class Services:
    """See the module. ``timed`` says that a processor is there, so that the task keeps its stream time, ``now``."""

    def __init__(
        self, task: str, stores: Mapping[str, Store], context: Context, clock: Clock, times: StreamTimes,
        global_view: Callable[[str], Any], *, flushes: bool = False,
    ) -> None:  # fmt: skip
        self.task = task
        self.timed = False
        self.commit_wanted = False
        self.global_view = global_view
        self._stores = stores
        self._context = context
        self._clock = clock
        self._times = times
        self._now: StreamTime | None = None
        self._stream: list[Scheduled] = []
        self._wall: list[Scheduled] = []
        self._closers: list[Callable[[], object]] = []
        self.under_way = Calls(context)
        self.silent: list[tuple[str, StreamTime, Callable[[int], object]]] = []
        """Steps that hold something back, with their times, where that is to come out while the input is silent."""
        self._flushes = flushes

    @property
    def now(self) -> StreamTime:
        """The greatest timestamp that the task has processed."""
        if self._now is None:
            self._now = self._times("", "task")
        return self._now

    def wall_clock(self) -> int:
        """Milliseconds since 1970."""
        return self._clock.now_ms()

    def handle(self, name: str) -> Any:
        """A store with keys and values as objects; a put without a timestamp has that of the record in hand."""
        context = self._context
        return self._stores[name].handle(key_raw=False, value_raw=False, now=lambda: context.timestamp)

    def closing(self, f: Callable[[], object]) -> None:
        """Call this when the task ends. Whoever has something to close is a processor."""
        self.timed = True
        self._closers.append(f)

    def when_silent(self, step: str, time: StreamTime, close: Callable[[int], object]) -> None:
        """See `streamflow.operators.contract.Services`."""
        if self._flushes:
            self.silent.append((step, time, close))

    def calls(
        self, step: str, most: int, on_error: str
    ) -> Callable[[Coroutine[Any, Any, Any], Callable[[Any], None]], None]:
        """See `streamflow.operators.contract.Services`."""
        self.timed = True
        return self.under_way.step(step, most, on_error)

    def schedule(
        self, step: str, every: int, f: Callable[[int], object], *, by_wall_clock: bool, lasting: bool
    ) -> Scheduled:
        """See `ProcessorContext.schedule`; ``lasting`` says that its next time outlives a restart."""
        self.timed = True
        kept = self._wall if by_wall_clock else self._stream
        if by_wall_clock:
            due = StreamTime(self.wall_clock() + every)
        else:
            due = self._times(step, f"punctuation-{len(self._stream)}") if lasting else StreamTime()
            due.now = max(due.now, 0)
        found = Scheduled(step, every, f, due)
        kept.append(found)
        return found

    def due_by_stream_time(self) -> Iterator[Scheduled]:
        """The punctuations to call now."""
        return self._due(self._stream, self.now.now)

    def due_by_wall_clock(self) -> Iterator[Scheduled]:
        """The punctuations to call now."""
        return self._due(self._wall, self.wall_clock())

    @property
    def follows_stream_time(self) -> bool:
        """There are punctuations by stream time."""
        return bool(self._stream)

    def next_by_wall_clock(self) -> int | None:
        """When the next punctuation by the wall clock is due, None if there is none."""
        return min((each.next for each in self._wall if not each.cancelled), default=None)

    def _due(self, all_of_them: list[Scheduled], now: int) -> Iterator[Scheduled]:
        for each in list(all_of_them):
            if each.cancelled:
                all_of_them.remove(each)
            elif each.next <= now:
                each.passed(now)
                yield each

    def close(self) -> None:
        """The task has ended: tell the processors, whatever they answer."""
        self.under_way.cancel()
        closers, self._closers = self._closers, []
        for close in closers:
            try:
                close()
            except Exception as error:
                logger.warning("task %s: a processor's close raised %s: %s", self.task, type(error).__name__, error)
