"""Punctuations by the wall clock in a real worker: they come while the input is silent, and are committed."""

from __future__ import annotations

from pathlib import Path

from streamflow import App
from streamflow.processor import Processor, ProcessorContext, Record

from .world import PARTITIONS, World, run


class Beating(Processor[str, str, str, str]):
    """Remembers what it saw, and says so every 20 ms."""

    def init(self, context: ProcessorContext[str, str]) -> None:
        self.context = context
        self.seen = 0
        context.schedule("20ms", "wall_clock", self.beat)

    def process(self, record: Record[str, str]) -> None:
        self.seen += 1

    def beat(self, timestamp: int) -> None:
        self.context.forward(Record("beat", str(self.seen), timestamp))


def test_the_clock_goes_on_while_the_input_is_silent(tmp_path: Path) -> None:
    app = App("beats", topic_partitions=PARTITIONS)
    app.stream("in", key=str, value=str).process(Beating, key=str, value=str).to("out")

    async def story(world: World) -> None:
        await world.write("in", [("a", "x"), ("a", "y")])
        await world.start(app)

        async def beaten() -> bool:
            records = [r for r in await world.read("out") if r.value == b"2"]
            times = [r.timestamp for r in records]
            assert times == sorted(set(times))
            return len(times) >= 5

        await world.until(beaten, "five beats after two records")

    run(tmp_path, story)
