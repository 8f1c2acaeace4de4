"""Word count written as a processor with its own store inside a DSL topology."""

from __future__ import annotations

from typing import Any

from streamflow import App
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record

COUNTS = "WordCountsStore"


class CountWords(Processor[bytes, str, str, int]):
    def init(self, context: ProcessorContext[str, int]) -> None:
        self.context = context
        self.counts: Any = context.store(COUNTS)

    def process(self, record: Record[bytes, str]) -> None:
        count: int = (self.counts.get(record.value) or 0) + 1
        self.counts.put(record.value, count)
        self.context.forward(Record(record.value, count, record.timestamp, record.headers))


def build() -> App:
    app = App("words-in-a-store")
    app.add_store(KeyValueStore(COUNTS, key=str, value=int))
    app.stream("inputTopic", value=str).process(CountWords, stores=[COUNTS], key=str, value=int).to("outputTopic")
    return app


app = build()
