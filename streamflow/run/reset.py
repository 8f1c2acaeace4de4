"""Rewind and replay: set an application back to an earlier place in its inputs, its state forgotten.

The order is what makes an interrupted reset harmless:

    1  a marker topic       from here on no worker starts, until a reset has come to its end
    2  the group's offsets  of the inputs
    3  internal topics      changelogs and repartition topics; they are made anew, empty, by the next start
    4  local state          of this machine; elsewhere it is recognised as of another life and made anew
    5  the marker goes

Tables are read from their beginning whatever place is chosen: their rows are forgotten with the state.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamflow.errors import LogError, StateError
from streamflow.log.contract import Log, Offsets
from streamflow.operators.table_source import TableSource
from streamflow.plan import Plan
from streamflow.record import TopicPartition
from streamflow.runtime.prepare import under_reset
from streamflow.topic import NewTopic
from streamflow.topology import Source


@dataclass(frozen=True)
class Place:
    """Where to go on: at either end, at an offset, or at the first record of a time (milliseconds since the epoch)."""

    kind: Literal["earliest", "latest", "offset", "time"]
    at: int = 0


@dataclass(frozen=True)
class Proposal:
    """What a reset would do: each input's committed offset now and then, topics and a folder to delete."""

    offsets: Mapping[TopicPartition, tuple[int | None, int]]
    topics: tuple[str, ...]
    state: Path


async def propose(planned: Plan, log: Log, place: Place, state_dir: str | Path) -> Proposal:
    """Look at the log and say what a reset to ``place`` would do; changes nothing."""
    internal = {topic.name for topic in planned.internal_topics}
    known = await log.topics()
    inputs = {topic for sub in planned.subtopologies for topic in sub.inputs} - internal
    every = [TopicPartition(name, p) for name in sorted(inputs & known.keys()) for p in range(known[name].partitions)]
    bounds = await log.offsets(every)
    now = await log.committed(planned.app_id, every)
    tables = _tables(planned)
    offsets = {
        tp: (now.get(tp), bounds[tp].start if tp.topic in tables else await _found(log, tp, place, bounds[tp]))
        for tp in every
    }
    return Proposal(offsets, tuple(sorted(internal & known.keys())), Path(state_dir) / planned.app_id)


async def carry_out(planned: Plan, log: Log, proposal: Proposal) -> None:
    """Do it. Raises `LogError` when the application still has workers; a repeated call finishes an interrupted one."""
    workers = await log.membership(planned.app_id).members()
    if workers:
        raise LogError(f"{planned.app_id!r} has {len(workers)} running workers; stop them before it is reset")
    marker = under_reset(planned.app_id)
    await log.create_topics([NewTopic(marker, 1)])
    await log.set_committed(planned.app_id, {tp: then for tp, (_, then) in proposal.offsets.items()})
    for topic in proposal.topics:
        await log.delete_topic(topic)
    if proposal.state.exists():
        try:
            shutil.rmtree(proposal.state)
        except OSError as error:
            raise StateError(
                f"{proposal.state} cannot be removed ({error.strerror}); the reset is not complete"
            ) from error
    await log.delete_topic(marker)


async def _found(log: Log, tp: TopicPartition, place: Place, bounds: Offsets) -> int:
    if place.kind == "earliest":
        return bounds.start
    if place.kind == "latest":
        return bounds.end
    if place.kind == "offset":
        return min(max(place.at, bounds.start), bounds.end)
    return await log.offset_at(tp, place.at)


def _tables(planned: Plan) -> frozenset[str]:
    """The topics that are read as tables."""
    return frozenset(
        topic
        for sub in planned.subtopologies
        for step in sub.steps
        if isinstance(step.meaning, Source)
        and any(step.name in other.parents and isinstance(other.meaning, TableSource) for other in sub.steps)
        for topic in sub.topics[step.name]
    )
