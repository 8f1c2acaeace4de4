"""What the tests of this folder share: an application, records in, records out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from streamflow import App, Record
from streamflow.testing import TopologyTestDriver

Declare = Callable[[App], object]


class World(TopologyTestDriver):
    """A driver with two short words."""

    def feed(self, topic: str, *rows: tuple[Any, ...]) -> World:
        """Rows of ``(key, value)``, ``(key, value, timestamp)`` or longer; without a timestamp they are at 0."""
        source = self.input_topic(topic)
        for key, value, *rest in rows:
            source.pipe(key, value, *(rest or [0]))
        return self

    def out(self, topic: str = "out", **types: Any) -> list[tuple[Any, Any, int]]:
        """``(key, value, timestamp)`` of what a topic got since the driver was made."""
        return [(r.key, r.value, r.timestamp) for r in self.records(topic, **types)]

    def records(self, topic: str = "out", **types: Any) -> list[Record[Any, Any]]:
        return self.output_topic(topic, **types).read_records()


@contextmanager
def world(declare: Declare, *, settings: dict[str, Any] | None = None, **options: Any) -> Iterator[World]:
    """A driver over the application that ``declare`` declares."""
    app = App("app", **(settings or {}))
    declare(app)
    with World(app, **options) as driver:
        yield driver


def answer(declare: Declare, *rows: tuple[Any, ...], **options: Any) -> tuple[list[tuple[Any, Any, int]], int]:
    """What topic ``out`` got when topic ``in`` got these rows, and how many records were dropped."""
    with world(declare, **options) as driver:
        driver.feed("in", *rows)
        return driver.out(), driver.dropped_records
