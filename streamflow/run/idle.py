"""Is there anything left to do? Decided from the log alone, so one worker and a supervisor of many decide alike.

Idle means: every topic that comes from outside is committed to the end it had when the question was first asked, and
every repartition topic to its end. Reading both takes several steps, and work may move on meanwhile. But offsets
only grow: two equal readings in a row saw one and the same moment between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from streamflow.log.contract import Log
from streamflow.plan import Plan
from streamflow.record import TopicPartition
from streamflow.topology import Source

PAUSE = 0.03  # seconds between two readings


@dataclass(frozen=True)
class Reading:
    """The committed offset of every input, and the ends of the repartition topics."""

    committed: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]


class Idle:
    """Watches the inputs of one plan; ``left`` and ``total`` are records (offsets) from outside."""

    def __init__(self, plan: Plan, log: Log) -> None:
        self.total = self.left = 0
        self._group = plan.app_id
        self._log = log
        internal = {topic.name for topic in plan.internal_topics}
        inputs = {topic for sub in plan.subtopologies for topic in sub.inputs}
        every = [TopicPartition(topic, p) for topic in sorted(inputs) for p in range(plan.partitions[topic])]
        self._outside = [tp for tp in every if tp.topic not in internal]
        self._inside = [tp for tp in every if tp.topic in internal]
        self._latest = _read_from_the_end(plan)
        self._targets: dict[TopicPartition, int] = {}
        self._begun: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Note the ends as they are now; call it once, before the workers run."""
        bounds = await self._log.offsets(self._outside)
        committed = await self._log.committed(self._group, self._outside)
        for tp, each in bounds.items():
            # Where nothing is committed and reading begins at the end, there is nothing to wait for.
            begun = committed.get(tp, each.end if tp.topic in self._latest else each.start)
            if begun < each.end:
                self._targets[tp], self._begun[tp] = each.end, begun
        self.total = self.left = sum(end - self._begun[tp] for tp, end in self._targets.items())

    async def wait(self, tell: Callable[[int, int], object] = lambda total, left: None) -> None:
        """Until idle; ``tell(total, left)`` is called after each reading."""
        before: Reading | None = None
        while True:
            now = await self._read()
            tell(self.total, self.left)
            drained = not self.left and all(now.committed[tp] >= end for tp, end in now.ends.items())
            if drained and now == before:
                return
            before = now
            await asyncio.sleep(PAUSE)

    async def _read(self) -> Reading:
        bounds = await self._log.offsets(self._inside)
        found = await self._log.committed(self._group, self._outside + self._inside)
        committed = {tp: each.start for tp, each in bounds.items()} | self._begun | found
        self.left = sum(max(0, end - committed[tp]) for tp, end in self._targets.items())
        return Reading(committed, {tp: each.end for tp, each in bounds.items()})


def _read_from_the_end(plan: Plan) -> set[str]:
    """The topics of which a new group reads only what comes from now on."""
    return {
        topic
        for sub in plan.subtopologies
        for step in sub.steps
        if isinstance(step.meaning, Source) and step.meaning.offset_reset == "latest"
        for topic in sub.topics[step.name]
    }
