"""A hand-written stream-table join that only accepts table rows that are not too old."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamflow import App
from streamflow.processor import Processor, ProcessorContext, Record


class Pair(NamedTuple):
    value: float
    row: int | None


OLDEST_MS = 1_000


class JoinIfFresh(Processor[str, float, str, Pair]):
    def init(self, context: ProcessorContext[str, Pair]) -> None:
        self.context = context
        self.table: Any = context.store("table-store")

    def process(self, record: Record[str, float]) -> None:
        row: tuple[int, int] | None = self.table.get_with_timestamp(record.key)
        fresh = row is not None and record.timestamp - row[1] <= OLDEST_MS
        self.context.forward(record.replace(value=Pair(record.value, row[0] if row is not None and fresh else None)))


def build() -> App:
    app = App("custom-join")
    app.table("inputTopicForTable", key=str, value=int, store="table-store")
    stream = app.stream("inputTopicForStream", key=str, value=float)
    stream.process_values(JoinIfFresh, stores=["table-store"], value=Pair).to("outputTopic")
    return app


app = build()
