"""Expires rows of an aggregated table: a processor in front of the aggregation emits a deletion mark, and the
aggregator answers null for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamflow import App
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record

SEEN = "test-table-purge-store"
LONGEST_MS = 60_000


@dataclass
class Event:
    value: str | int | None
    deleted: bool = False


@dataclass
class Values:
    values: list[str] = field(default_factory=list[str])


def is_there(value: object) -> bool:
    return value is not None


class Expire(Processor[str, str, str, Event]):
    """Passes rows on, and says that they are deleted when nothing was heard of them for a minute."""

    def init(self, context: ProcessorContext[str, Event]) -> None:
        self.context = context
        self.seen: Any = context.store(SEEN)
        context.schedule("5s", "stream_time", self.purge)

    def process(self, record: Record[str, str]) -> None:
        self.seen.put(record.key, record.timestamp if is_there(record.value) else None)
        self.context.forward(Record(record.key, Event(record.value), record.timestamp))

    def purge(self, timestamp: int) -> None:
        rows: list[tuple[str, int]] = list(self.seen.all())
        for key, seen in rows:
            if seen < timestamp - LONGEST_MS:
                self.context.forward(Record(key, Event(seen, deleted=True), 0))
                self.seen.delete(key)


def collect(total: Values, event: Event) -> Values | None:
    return None if event.deleted else Values([*total.values, str(event.value)])


def joined(left: str, right: Values | None) -> str:
    return left if right is None else f"{left} {right.values[-1]}"


def build() -> App:
    app = App("table-ttl")
    app.add_store(KeyValueStore(SEEN, key=str, value=int))
    rows = app.stream("input-topic-for-table", key=str, value=str)
    events = rows.process(Expire, stores=[SEEN], key=str, value=Event)
    table = events.group_by_key().aggregate(Values, collect, value=Values, store="eventstore")
    app.stream("input-topic-for-stream", key=str, value=str).left_join(table, joined).to("output-topic")
    return app


app = build()
