"""Recovery: the one way into running. Start, every assignment, and after every doubt.

    R1  session.init     older owners are fenced, the last transaction is decided
    R2  ends             of the changelogs, asked after R1: nobody else writes them any more
    R3  restore          each store from its own position until its position reaches the end
    R4  inputs           from the newest meta record; the group's offsets are only a cross-check
    R5  start            a fresh task over the same stores; a table whose own topic is its changelog is read up to there

The order is the proof: after R1 what R2 to R4 read is the whole committed history of this task, and state and
input positions come out of one and the same commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from streamflow.clock import Clock
from streamflow.errors import StateError, StoreCorrupt, StreamflowError
from streamflow.log.batch import records
from streamflow.log.contract import Fetched, Log, Offsets, Session
from streamflow.plan import Plan, SubTopology, task_name
from streamflow.record import TopicPartition
from streamflow.runtime import fingerprint, read_back
from streamflow.runtime.commit import Ledger, flat
from streamflow.runtime.services import NO_TABLES, Tables
from streamflow.runtime.stores import OpenStore
from streamflow.runtime.task import Rules, Task
from streamflow.state.keys import META_KEY
from streamflow.state.meta import Meta, decode
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store
from streamflow.topic import TopicInfo
from streamflow.topology import Source

logger = logging.getLogger("streamflow.recovery")

RESTORE_BYTES = 4 << 20
SLICE = 5_000  # changelog records between two turns of the loop; some 10 ms


@dataclass
class Progress:
    """How far a restore is, for those who look: changelog records (positions) in all and still to come."""

    total: int = 0
    left: int = 0
    started: float = 0.0
    restored: int = 0


@dataclass
class Place:
    """What stays when a task is made anew: where it runs, its session, its open stores.

    ``damaged`` says of stores that turned out not to be readable while in use why they must not be opened again.
    """

    sub: SubTopology
    partition: int
    session: Session
    stores: dict[str, Store] = field(default_factory=dict[str, Store])
    undo: list[object] | None = None
    damaged: dict[str, str] = field(default_factory=dict[str, str])
    progress: Progress = field(default_factory=Progress)
    tables: Tables = NO_TABLES

    @property
    def name(self) -> str:
        """The task's name."""
        return task_name(self.sub, self.partition)

    def changelogs(self) -> dict[str, TopicPartition]:
        """Store name -> its changelog partition."""
        return {name: TopicPartition(topic, self.partition) for name, topic in self.sub.changelogs.items()}

    def reused(self) -> dict[str, TopicPartition]:
        """Store name -> the input partition that serves as its changelog."""
        return {name: TopicPartition(topic, self.partition) for name, topic in self.sub.reused.items()}

    def close(self, now_ms: int) -> None:
        """Write down what is committed, as far as the disk lets us, for the changelog has it too; close every store."""
        for store in self.stores.values():
            try:
                store.flush(now_ms)
            except StateError as error:
                logger.warning("%s: store %s was not written down: %s", self.name, store.spec.name, error)
        self.shut()

    def shut(self) -> None:
        """Close every store as it is. It is opened anew, and looked at anew, by the next recovery."""
        for store in self.stores.values():
            try:
                store.close()
            except StateError as error:
                logger.warning("%s: store %s was not closed well: %s", self.name, store.spec.name, error)
        self.stores.clear()

    def damage(self, error: StoreCorrupt) -> None:
        """Shut everything; what the error speaks of (all, if it does not say) must not be opened again as it is."""
        spoken_of = [name for name, store in self.stores.items() if store.path and store.path in str(error)]
        self.damaged.update(dict.fromkeys(spoken_of or self.stores, str(error)))
        self.shut()


async def recover(
    place: Place, plan: Plan, group: str, log: Log, rules: Rules, clock: Clock, open_store: OpenStore
) -> tuple[Task, Ledger]:
    """R1 to R5. Raises `LogError` when the log cannot be had (ask again) and `StreamflowError` when it must stop."""
    await place.session.init()  # R1
    changelogs = place.changelogs()
    ends = await open_stores(place, group, log, open_store)  # R2
    topics = await log.topics()
    for store in place.stores.values():
        store.drop()
    if (newest := await log.last_commit(group, place.name)) is not None:
        for name in changelogs:
            place.stores[name].vouch(*newest)
    await _restore(place, {tp: ends[tp] for tp in changelogs.values()}, log, clock)  # R3
    meta = _newest(place)
    fingerprint.refuse_change(place.sub, meta)
    if meta is not None:
        for name in changelogs:
            place.stores[name].adopt(meta)
    inputs = await _inputs(place, plan, meta, group, log)  # R4
    await read_back.begin(place, inputs, group, log, open_store)
    times = meta.stream_times if meta else {}
    partitions = {name: topic.partitions for name, topic in topics.items()}
    task = Task(place.sub, place.partition, partitions, place.stores, rules, clock, times, place.undo, place.tables)
    await read_back.up_to(place, task, inputs, log)
    input_ends = await log.offsets(list(task.inputs))
    for tp, source in task.inputs.items():  # R5
        source.start(inputs[tp], input_ends[tp].end)
    return task, Ledger(
        session=place.session,
        meta=meta or _first(place, plan, topics),
        keeper=min(changelogs, default=None),
        incarnations={name: topics[tp.topic].id for name, tp in (changelogs | place.reused()).items()},
        committed=task.positions(),
        fingerprint=fingerprint.written(place.sub),
    )


async def open_stores(place: Place, group: str, log: Log, open_store: OpenStore) -> dict[TopicPartition, Offsets]:
    """Open the stores that are not open yet; gives what there is of each changelog, asked before."""
    topics = await log.topics()
    reused = {name: tp for name, tp in place.reused().items() if tp.partition < topics[tp.topic].partitions}
    changelogs = place.changelogs() | reused
    ends = await log.offsets(list(changelogs.values()))
    for spec in place.sub.stores:
        if spec.name not in place.stores:
            changelog = changelogs.get(spec.name)
            incarnation = topics[changelog.topic].id if changelog else ""
            offsets = ends[changelog] if changelog else Offsets(0, 0)
            place.stores[spec.name] = await _opened(place, spec, incarnation, offsets, group, log, open_store)
            await asyncio.sleep(0)  # RocksDB takes tens of milliseconds: heartbeats must get through between two
    await _look_ahead(place, ends, log)
    return ends


async def absorb(store: Store, got: Fetched, since: int) -> AsyncIterator[int]:
    """Put fetched changelog records from a position on into a store; gives the rows of each slice.

    Between two slices the loop turns, so that a long restore holds up neither other tasks nor heartbeats.
    """
    found = [record for batch in got.batches for record in records(batch) if record.offset >= since]
    for first in range(0, len(found), SLICE):
        rest = first + SLICE >= len(found)
        yield store.restore(found[first : first + SLICE], got.next_offset if rest else found[first + SLICE].offset)
        if not rest:
            await asyncio.sleep(0)
    if not found:
        yield store.restore([], got.next_offset)


async def _opened(
    place: Place, spec: StoreSpec, incarnation: str, offsets: Offsets, group: str, log: Log, open_store: OpenStore
) -> Store:
    """Open a store; one that knows a commit which the log does not know is of another life and is made anew."""
    store = open_store(place, spec, incarnation, offsets, place.damaged.get(spec.name))
    place.damaged.pop(spec.name, None)
    witness = store.witness
    try:
        fingerprint.refuse_change(place.sub, store.meta)
        if not log.loses_commits or spec.name not in {**place.sub.changelogs, **place.sub.reused}:
            return store
        if witness is None and (spec.name in place.sub.changelogs or not store.position):
            return store
        if witness is not None and await log.commit_id(group, place.name, witness[0]) == witness[1]:
            return store
    except BaseException:
        store.close()  # nobody else knows yet that it is open
        raise
    store.close()
    known = "it tells no commit" if witness is None else f"its commit {witness[0]} is not in the log"
    return open_store(place, spec, incarnation, offsets, known)


async def _look_ahead(place: Place, ends: Mapping[TopicPartition, Offsets], log: Log) -> None:
    """See that the script can read what the changelogs hold before anything of it is put into a store.

    The meta record of the newest commit is the last record of a changelog. Where it is not to be found so, the
    same question is asked after the restore.
    """
    last = {
        tp: ends[tp].end - 1
        for name, tp in place.changelogs().items()
        if place.stores[name].position < ends[tp].end and ends[tp].start < ends[tp].end
    }
    if not last:
        return
    for got in (await log.fetch(last, max_bytes=RESTORE_BYTES, max_wait=0.0)).values():
        newest = [record for batch in got.batches[-1:] for record in records(batch) if record.key == META_KEY]
        if newest:
            fingerprint.refuse_change(place.sub, decode(newest[-1].value))


async def _restore(place: Place, ends: Mapping[TopicPartition, Offsets], log: Log, clock: Clock) -> None:
    """R3. Positions are compared, never record offsets: a changelog has gaps."""
    stores = {tp: place.stores[name] for name, tp in place.changelogs().items()}
    progress = place.progress = Progress(started=clock.monotonic())
    behind = {tp: store for tp, store in stores.items() if store.position < ends[tp].end}
    progress.total = progress.left = sum(ends[tp].end - store.position for tp, store in behind.items())
    while behind:
        positions = {tp: max(store.position, ends[tp].start) for tp, store in behind.items()}
        fetched = await log.fetch(positions, max_bytes=RESTORE_BYTES, max_wait=1.0)
        for tp, got in fetched.items():
            store = stores[tp]
            async for rows in absorb(store, got, positions[tp]):
                progress.restored += rows
            if store.position >= ends[tp].end:
                behind.pop(tp, None)
        progress.left = sum(max(0, ends[tp].end - store.position) for tp, store in behind.items())


def _newest(place: Place) -> Meta | None:
    """The newest commit that any store of the task knows of."""
    metas = [store.meta for name in place.sub.changelogs if (store := place.stores[name]).meta is not None]
    return max((meta for meta in metas if meta), key=lambda meta: meta.commit_seq, default=None)


def _first(place: Place, plan: Plan, topics: Mapping[str, TopicInfo]) -> Meta | None:
    """The meta record of a task before its first commit; None for one without logged stores."""
    keeper = min(place.sub.changelogs, default=None)
    if keeper is None:
        return None
    changelog = place.sub.changelogs[keeper]
    return Meta(
        app_id=plan.app_id,
        store=keeper,
        changelog=changelog,
        partition=place.partition,
        incarnation=topics[changelog].id,
    )


async def _inputs(place: Place, plan: Plan, meta: Meta | None, group: str, log: Log) -> dict[TopicPartition, int]:
    """R4. The meta record is in the same transaction as the state, so it is right where the two differ."""
    wanted = list(Task.partitions(place.sub, place.partition, plan.partitions))
    of_meta = flat(meta.inputs) if meta else {}
    of_group = await log.committed(group, wanted)
    bounds = await log.offsets(wanted)
    inputs: dict[TopicPartition, int] = {}
    for tp in wanted:
        position = of_meta.get(tp, of_group.get(tp))
        inputs[tp] = _checked(position, bounds[tp], tp, place.sub)
        if tp in of_meta and of_group.get(tp, of_meta[tp]) != of_meta[tp]:
            if of_group[tp] > of_meta[tp]:
                raise StreamflowError(
                    f"task {place.name}: the group's offset of {tp.topic!r} partition {tp.partition} is "
                    f"{of_group[tp]}, ahead of the state's {of_meta[tp]}; run `streamflow reset` to begin anew from a known place"
                )
            logger.warning("%s: %s: the group's %d is behind the state's %d", place.name, tp, of_group[tp], of_meta[tp])
    return inputs


def _checked(position: int | None, bounds: Offsets, tp: TopicPartition, sub: SubTopology) -> int:
    """A position to begin at; the reset policy decides only where there is none yet."""
    if position is None:
        policy = next(
            step.meaning.offset_reset
            for step in sub.steps
            if isinstance(step.meaning, Source) and tp.topic in sub.topics[step.name]
        )
        if policy == "fail":
            raise StreamflowError(
                f"{tp.topic!r} partition {tp.partition} has no committed offset and offset_reset is 'fail'; "
                "run `streamflow reset` to choose where to begin"
            )
        return bounds.start if policy == "earliest" else bounds.end
    if not bounds.start <= position <= bounds.end:
        raise StreamflowError(
            f"{tp.topic!r} partition {tp.partition}: the next offset is {position}, but the log holds "
            f"{bounds.start} to {bounds.end}; run `streamflow reset --to-earliest` to go on with what is left"
        )
    return position
