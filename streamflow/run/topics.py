"""Topics that come into being while workers run: a pattern matches one more, or one has more partitions.

What is planned then is another plan, so the worker commits, closes and begins anew with that; the group lets members
of different plans share the tasks that each of them can run. Whether state allows it is told when the new plan is
prepared: a changelog has as many partitions as it began with.
"""

from __future__ import annotations

import asyncio

from streamflow.errors import LogUnavailable
from streamflow.log.contract import Log
from streamflow.plan import Plan, SubTopology, plan
from streamflow.topology import Topology

EVERY = 5.0  # seconds between two looks


async def news(topology: Topology, planned: Plan, log: Log) -> str:
    """Wait until the topics that there are want another plan; gives what is new, as a person would say it.

    Raises `StreamflowError` for topics that cannot be planned for.
    """
    known: dict[str, int] = {}
    while True:
        await asyncio.sleep(EVERY)
        try:
            counts = {name: info.partitions for name, info in (await log.topics()).items()}
        except LogUnavailable:
            continue  # the worker tells
        read = {topic for sub in planned.subtopologies for topics in sub.topics.values() for topic in topics}
        # One that was deleted is missed by whoever reads it.
        if counts == known or not read - {topic.name for topic in planned.internal_topics} <= counts.keys():
            continue
        known = counts
        if said := _difference(planned, plan(topology, planned.app_id, counts)):
            return said


def _difference(old: Plan, new: Plan) -> str:
    before, now = _read(old), _read(new)
    internal = {topic.name for topic in new.internal_topics}
    if come := sorted(now.keys() - before.keys() - internal):
        return f"there {'is' if len(come) == 1 else 'are'} {', '.join(map(repr, come))} to read now"
    for topic, partitions in now.items():
        if topic in before and before[topic] != partitions and topic not in internal:
            return f"topic {topic!r} has {partitions} partitions, it had {before[topic]}"
    return ""


def _read(planned: Plan) -> dict[str, int]:
    """The topics that are read, and how many partitions each has."""
    return {topic: planned.partitions[topic] for sub in planned.subtopologies for topic in _topics(sub)}


def _topics(sub: SubTopology) -> list[str]:
    return [topic for topics in sub.topics.values() for topic in topics]
