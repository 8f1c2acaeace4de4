"""A store that a processor of the user's fills from all partitions of a topic, in every worker.

It is a task that nobody commits: it has no output, and what it keeps follows from the topic alone. So it begins
with an empty store whenever a worker starts, and its processor is asked about every record again. At no time,
also not after a crash, is there a row that did not pass through the processor.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from streamflow.clock import Clock
from streamflow.errors import (
    LogUnavailable,
    OffsetOutOfRange,
    StoreCorrupt,
    StoreStalled,
    StoreUnavailable,
    StreamflowError,
)
from streamflow.log.contract import Log, Offsets
from streamflow.plan import Plan, SubTopology
from streamflow.record import TopicPartition
from streamflow.runtime.recovery import Place
from streamflow.runtime.refusal import ask
from streamflow.runtime.rules import Rules
from streamflow.runtime.stores import OpenStore
from streamflow.runtime.task import Task
from streamflow.settings import Policy
from streamflow.state.meta import Meta
from streamflow.state.store import Store

logger = logging.getLogger("streamflow.global")

FETCH_BYTES = 1 << 20
FETCH_WAIT = 0.5
AGAIN = 0.2  # seconds until the log or the disk is asked again
SLICE = 1_000  # records between two turns of the loop
FLUSH_ROWS = 5_000  # changed rows that wait in memory at most, before they go to the disk


class GlobalStore:
    """See the module. ``wake`` is called when it is whole, and when it has failed."""

    def __init__(
        self, sub: SubTopology, plan: Plan, log: Log, clock: Clock, open_store: OpenStore, rules: Rules,
        wake: Callable[[], None],
    ) -> None:  # fmt: skip
        (self._spec,) = sub.stores
        self.failure: BaseException | None = None
        self.whole = False
        self._sub = sub
        self._plan = plan
        self._log = log
        self._clock = clock
        self._open_store = open_store
        self._rules = _without_letters(rules)
        self._wake = wake
        self._place: Place | None = None
        self._task: Task | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._following: asyncio.Task[None] | None = None

    @property
    def store(self) -> Store:
        """The store. Raises `LogUnavailable` while it is being filled anew."""
        if self._place is None or not self.whole:
            raise LogUnavailable(f"the global store '{self._spec.name}' is being filled anew")
        return self._place.stores[self._spec.name]

    @property
    def left(self) -> int:
        """How many records of the topic are still to be read, as far as known."""
        inputs = self._task.inputs.values() if self._task is not None else ()
        return sum(max(0, source.end - source.position) for source in inputs)

    @property
    def position(self) -> int:
        """How far it is, all partitions together."""
        return sum(self._task.positions().values()) if self._task is not None else -1

    @property
    def dropped(self) -> int:
        """How many records its steps have dropped since it was begun."""
        return sum(self._task.drops.values()) if self._task is not None else 0

    def begin(self) -> None:
        """Begin to read; does nothing if that was done."""
        if self._following is None:
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def read_on(self, wait: float) -> None:
        """Open it if need be, and process what one fetch brings. Raises `RecordError` for a record that it refuses."""
        task = self._task or await self._open()
        self._keep(task)  # nothing more is read before a disk that was full has taken what there is
        dry = {tp: source.fetched for tp, source in task.inputs.items() if not source.has_next}
        if dry:
            for tp, got in (await self._log.fetch(dry, max_bytes=FETCH_BYTES, max_wait=wait)).items():
                task.add(tp, got)
        while task.process(SLICE):
            self._keep(task)
            await asyncio.sleep(0)
        self._keep(task)
        if not self.whole and all(at >= self._ends[tp] for tp, at in task.positions().items()):
            self.whole = True
            self._wake()

    async def close(self) -> None:
        """End, and close the store."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        self.shut()

    def shut(self) -> None:
        """Close the store as it is; it is begun anew when it is read on."""
        task, self._task = self._task, None
        place, self._place = self._place, None
        self.whole = False
        if task is not None:
            task.forget()
        if place is not None:
            place.shut()

    async def _follow(self) -> None:
        while True:
            try:
                await self.read_on(FETCH_WAIT)
            except (LogUnavailable, StoreStalled, StoreUnavailable) as error:
                logger.info("global store '%s' waits: %s", self._spec.name, error)
                if self._task is not None and self._task.over:  # it came while a record was processed
                    self.shut()
                await asyncio.sleep(AGAIN)
            except (OffsetOutOfRange, StoreCorrupt) as error:
                logger.warning("global store '%s' is filled anew: %s", self._spec.name, error)
                self.shut()
                await asyncio.sleep(AGAIN)
            except Exception as error:  # the worker raises it: what is asked here must not be answered without it
                self.failure = error
                self._wake()
                return

    async def _open(self) -> Task:
        self.shut()
        place = Place(self._sub, 0, self._log.session(self._plan.app_id, f"{self._sub.name}_0"))
        place.undo = [] if self._rules.takes_back else None
        wanted = list(_AllPartitions.partitions(self._sub, 0, self._plan.partitions))
        bounds = await self._log.offsets(wanted)
        place.stores[self._spec.name] = self._open_store(place, self._spec, "", Offsets(0, 0))
        self._place = place
        task = _AllPartitions(
            self._sub, 0, self._plan.partitions, place.stores, self._rules, self._clock, {}, place.undo
        )
        for tp, source in task.inputs.items():
            source.start(bounds[tp].start, bounds[tp].end)
        self._ends = {tp: bounds[tp].end for tp in wanted}
        self._task = task
        return task

    def _keep(self, task: Task) -> None:
        """What was put is there for those who ask, and on disk before there is much of it."""
        if task.services.follows_stream_time or task.services.next_by_wall_clock() is not None:
            raise StreamflowError(
                f"the processor of global store '{self._spec.name}' has called schedule; what a global store keeps "
                f"follows from its topic alone, so nothing is called by the clock there"
            )
        store = task.stores[self._spec.name]
        if store.dirty:
            store.commit(
                Meta(app_id=self._plan.app_id, store=self._spec.name, changelog="", partition=0, position=self.position)
            )
        if store.behind[0] >= FLUSH_ROWS:
            store.flush(self._clock.now_ms())


class _AllPartitions(Task):
    """A task over every partition of its topic."""

    @staticmethod
    def partitions(sub: SubTopology, partition: int, partitions: Mapping[str, int]) -> Iterator[TopicPartition]:
        return (TopicPartition(topic, each) for topic in sorted(sub.inputs) for each in range(partitions[topic]))


def _without_letters(rules: Rules) -> Rules:
    """The rules of a task without output: a record that should be kept as a dead letter stops the worker, for every
    worker reads it, each time it starts."""

    def but(policy: Policy) -> Policy:
        def answer(context: Any, error: Exception) -> Any:
            found = ask(policy, context, error)
            return "skip" if found == "skip" else "fail"

        return answer if callable(policy) or policy == "dead_letter" else policy

    return replace(
        rules, on_deserialize_error=but(rules.on_deserialize_error), on_process_error=but(rules.on_process_error)
    )
