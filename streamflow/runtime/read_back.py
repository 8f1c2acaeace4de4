"""Tables whose own topic serves as their changelog: what recovery does about them.

Nothing of such a table is written anywhere but on disk. It stands where its task has come to in the topic: the
position of a commit is that of its input, and what is missing is read from the topic again, up to there and no
further. It is read as the task reads it, for a time may be the user's, and what the task passes over (a null key, a
time that drops the record, bytes that cannot be read) is passed over again.

A compacted topic may have lost the row of a key that was changed behind the position. It is missing until that change
is processed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from streamflow.log.batch import records
from streamflow.log.contract import Log, Offsets
from streamflow.record import TopicPartition
from streamflow.runtime.stores import OpenStore
from streamflow.runtime.task import Task
from streamflow.state.store import Store

if TYPE_CHECKING:
    from streamflow.runtime.recovery import Place

BYTES = 4 << 20
SLICE = 5_000  # records between two turns of the loop


class Row(NamedTuple):
    """What a record says of a table."""

    key: bytes
    value: bytes | None
    timestamp: int


async def begin(
    place: Place, inputs: Mapping[TopicPartition, int], group: str, log: Log, open_store: OpenStore
) -> None:
    """Open anew, and empty, what has come further than its task: that task was begun anew behind it."""
    ahead = [name for name, tp in place.reused().items() if place.stores[name].reach > inputs.get(tp, 0)]
    if not ahead:
        return
    topics = await log.topics()
    for spec in place.sub.stores:
        if spec.name in ahead:
            store = place.stores.pop(spec.name)
            why = f"it reflects position {store.reach} of its topic, and its task begins before that"
            store.close()
            topic = place.sub.reused[spec.name]
            place.stores[spec.name] = open_store(place, spec, topics[topic].id, Offsets(0, 0), why)


async def up_to(place: Place, task: Task, inputs: Mapping[TopicPartition, int], log: Log) -> None:
    """Read every such table up to where its task goes on."""
    for name, tp in place.reused().items():
        if tp in inputs:
            await _read(place, place.stores[name], tp, inputs[tp], _reader(task, name, tp), log)


async def _read(
    place: Place, store: Store, tp: TopicPartition, end: int, rows: Callable[[Iterable[Any]], Iterator[Row]], log: Log
) -> None:
    bounds = (await log.offsets([tp]))[tp]
    position = max(store.position, bounds.start)
    progress = place.progress
    progress.total += max(0, end - position)
    progress.left += max(0, end - position)
    while position < end:
        got = (await log.fetch({tp: position}, max_bytes=BYTES, max_wait=1.0)).get(tp)
        if got is None:
            continue
        found = [record for batch in got.batches for record in records(batch) if position <= record.offset < end]
        after = min(got.next_offset, end)
        for first in range(0, len(found), SLICE):
            some = found[first : first + SLICE]
            progress.restored += store.restore(rows(some), some[-1].offset + 1)
            await asyncio.sleep(0)
        progress.left -= after - position
        position = after
    store.restore((), end)


def _reader(task: Task, store: str, tp: TopicPartition) -> Callable[[Iterable[Any]], Iterator[Row]]:
    """How the task reads the topic for this table."""
    source = task.inputs[tp]
    (table,) = (step for step in task.sub.steps if step.table and getattr(step.meaning, "store", None) == store)
    entry = next(entry for entry in source.entries if entry.step == table.parents[0])
    extract, spec = source.extract, task.stores[store].spec
    # The forms that the task reads: what it takes as bytes is kept as it came.
    through_key = _same if entry.key is None else _again(entry.key, spec.key.serialize)
    through_value = _same if entry.value is None else _again(entry.value, spec.value.serialize)

    def rows(found: Iterable[Any]) -> Iterator[Row]:
        for record in found:
            time = record.timestamp if extract is None else extract(record)
            if not isinstance(time, int) or time < 0:
                continue
            try:
                key, value = through_key(record.key), through_value(record.value)
            except Exception:  # the task could not read it either, and was told to go on
                continue
            if key is not None:
                yield Row(key, value, time)

    return rows


def _same(data: bytes | None) -> bytes | None:
    return data


def _again(
    read: Callable[[bytes | None], Any], write: Callable[[Any], bytes | None]
) -> Callable[[bytes | None], bytes | None]:
    def through(data: bytes | None) -> bytes | None:
        value = read(data)
        return None if value is None else write(value)

    return through
