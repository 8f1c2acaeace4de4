"""The Processor API: stores, forwarding, punctuations, and that all of it is in the record's own commit."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App
from streamflow.errors import RecordError, StreamflowError, TopologyError
from streamflow.processor import (
    KeyValueStore,
    Processor,
    ProcessorContext,
    Record,
    SessionStore,
    ValueTransformer,
    WindowStore,
)
from streamflow.record import Windowed
from streamflow.testing import TopologyTestDriver

STORES = ("memory", "rocksdb")


class Summing(Processor[str, int, str, int]):
    """Keeps a sum per key and forwards it."""

    def init(self, context: ProcessorContext[str, int]) -> None:
        self.context = context
        self.sums = context.store("sums")

    def process(self, record: Record[str, int]) -> None:
        total = (self.sums.get(record.key) or 0) + record.value
        self.sums.put(record.key, total)
        self.context.forward(record.replace(value=total))


def summing(**how: Any) -> App:
    app = App("app")
    app.add_store(KeyValueStore("sums", key=str, value=int, **how))
    numbers = app.stream("in", key=str, value=int)
    numbers.process(Summing, stores=["sums"], key=str, value=int, name="summing").to("out")
    return app


def rows(driver: TopologyTestDriver, topic: str = "out") -> list[tuple[Any, Any, int]]:
    return [(r.key, r.value, r.timestamp) for r in driver.output_topic(topic).read_records()]


@pytest.mark.parametrize("kind", ["rocksdb", "memory"])
@pytest.mark.parametrize("stores", STORES)
def test_a_processor_keeps_state_that_outlives_a_crash(stores: Any, kind: Any) -> None:
    with TopologyTestDriver(summing(kind=kind), stores=stores, partitions=3) as driver:
        numbers = driver.input_topic("in")
        numbers.pipe_many([("a", 1, 0), ("b", 5, 1), ("a", 2, 2)])
        driver.crash()
        numbers.pipe("a", 4, 3)
        assert sorted(rows(driver)) == [("a", 1, 0), ("a", 3, 2), ("a", 7, 3), ("b", 5, 1)]
        assert driver.store("sums").get("b") == 5
        assert "app-sums-changelog" in driver.produced_topics


def test_a_store_without_a_changelog_begins_empty() -> None:
    with TopologyTestDriver(summing(logged=False), stores="rocksdb") as driver:
        driver.input_topic("in").pipe("a", 1, 0)
        driver.crash()
        driver.input_topic("in").pipe("a", 1, 1)
        assert rows(driver) == [("a", 1, 0), ("a", 1, 1)]
        assert "app-sums-changelog" not in driver.produced_topics


def test_headers_and_timestamps_are_the_processors_to_choose() -> None:
    class Marking(Processor[str, str, str, str]):
        def init(self, context: ProcessorContext[str, str]) -> None:
            self.context = context

        def process(self, record: Record[str, str]) -> None:
            assert (self.context.topic, self.context.partition, self.context.offset) == ("in", 0, 0)
            self.context.forward(Record("k", record.value, 7, (*record.headers, ("by", b"me"))))
            self.context.forward(record)

    app = App("app")
    app.stream("in", key=str, value=str).process(Marking, key=str, value=str).to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("in").pipe("a", "v", 3, [("from", b"x")])
        first, second = driver.output_topic("out").read_records()
    assert (first.key, first.timestamp, list(first.headers)) == ("k", 7, [("from", b"x"), ("by", b"me")])
    assert (second.key, second.timestamp, list(second.headers)) == ("a", 3, [("from", b"x")])


def test_a_new_key_is_sent_to_its_partition_before_it_is_counted() -> None:
    class ByValue(Processor[str, str, str, str]):
        def init(self, context: ProcessorContext[str, str]) -> None:
            self.context = context

        def process(self, record: Record[str, str]) -> None:
            self.context.forward(record.replace(key=record.value))

    app = App("app")
    app.stream("in", key=str, value=str).process(ByValue, key=str, value=str).group_by_key().count(name="n")
    with TopologyTestDriver(app, partitions=4) as driver:
        for n in range(8):
            driver.input_topic("in").pipe(str(n), "x", n, partition=n % 4)
        assert driver.store("n").get("x") == 8


def test_a_shared_store_makes_one_task_of_what_shares_it() -> None:
    class Puts(Processor[str, int, str, int]):
        def init(self, context: ProcessorContext[str, int]) -> None:
            self.kept = context.store("kept")

        def process(self, record: Record[str, int]) -> None:
            self.kept.put(record.key, record.value)

    class Gets(Processor[str, int, str, int]):
        def init(self, context: ProcessorContext[str, int]) -> None:
            self.context, self.kept = context, context.store("kept")

        def process(self, record: Record[str, int]) -> None:
            self.context.forward(record.replace(value=self.kept.get(record.key)))

    app = App("app")
    app.add_store(KeyValueStore("kept", key=str, value=int))
    app.stream("puts", key=str, value=int).process(Puts, stores=["kept"])
    app.stream("gets", key=str, value=int).process_values(Gets, stores=["kept"], value=int).to("out")
    with TopologyTestDriver(app, partitions=3) as driver:
        assert len(driver.plan.subtopologies) == 1
        driver.input_topic("puts").pipe("a", 7, 0)
        driver.input_topic("gets").pipe("a", 0, 1)
        assert rows(driver) == [("a", 7, 1)]


def test_process_values_keeps_the_key() -> None:
    class Cheating(Processor[str, str, str, str]):
        def init(self, context: ProcessorContext[str, str]) -> None:
            self.context = context

        def process(self, record: Record[str, str]) -> None:
            self.context.forward(record.replace(key="other"))

    app = App("app")
    app.stream("in", key=str, value=str).process_values(Cheating, value=str).to("out")
    with TopologyTestDriver(app) as driver, pytest.raises(RecordError, match="process_values cannot change the key"):
        driver.input_topic("in").pipe("a", "v", 0)


class Ticking(Processor[str, str, str, int]):
    """Forwards the time of each punctuation."""

    kind: Any = "stream_time"
    every = "10ms"

    def init(self, context: ProcessorContext[str, int]) -> None:
        self.context = context
        self.handle = context.schedule(self.every, self.kind, self.tick)

    def process(self, record: Record[str, str]) -> None:
        if record.value == "stop":
            self.handle.cancel()

    def tick(self, timestamp: int) -> None:
        assert (self.context.topic, self.context.offset) == (None, None)
        self.context.forward(Record("tick", self.context.stream_time, timestamp))


def ticking(kind: Any) -> App:
    app = App("app")
    factory = type("Ticks", (Ticking,), {"kind": kind})
    app.stream("in", key=str, value=str).process(factory, key=str, value=int).to("out")
    return app


@pytest.mark.parametrize("crash", [False, True])
def test_stream_time_punctuates_once_however_much_of_it_passed(crash: bool) -> None:
    app = ticking("stream_time")
    app._builder.add_store(KeyValueStore("s", key=str, value=int).spec())
    app.connect("in-process", "s")  # a logged store, so that times outlive a restart
    with TopologyTestDriver(app) as driver:
        for time in (3, 5, 10, 12, 47, 49, 50, 20):
            driver.input_topic("in").pipe("a", "", time)
            if crash:
                driver.crash()
        assert [time for _, _, time in rows(driver)] == [3, 10, 47, 50]


def test_a_huge_timestamp_hangs_nothing() -> None:
    with TopologyTestDriver(ticking("stream_time")) as driver:
        driver.input_topic("in").pipe_many([("a", "", 0), ("a", "", (1 << 63) - 2), ("a", "", (1 << 63) - 1)])
        assert [time for _, _, time in rows(driver)] == [0, (1 << 63) - 2]


def test_the_wall_clock_punctuates_after_each_interval_and_is_committed() -> None:
    with TopologyTestDriver(ticking("wall_clock"), wall_clock=1_000) as driver:
        driver.input_topic("in").pipe("a", "", 5)
        assert rows(driver) == []
        driver.advance_wall_clock("10ms")
        driver.advance_wall_clock("35ms")
        driver.advance_wall_clock("4ms")
        assert rows(driver) == [("tick", 5, 1_010), ("tick", 5, 1_045)]
        driver.advance_wall_clock("1ms")
        assert len(rows(driver)) == 3
        driver.input_topic("in").pipe("a", "stop", 6)
        driver.advance_wall_clock("1h")
        assert len(rows(driver)) == 3


def test_a_punctuation_that_raises_stops_with_its_step_or_is_taken_back() -> None:
    class Failing(Processor[str, int, str, int]):
        def init(self, context: ProcessorContext[str, int]) -> None:
            self.context, self.sums = context, context.store("sums")
            context.schedule("1s", "wall_clock", self.fail)

        def process(self, record: Record[str, int]) -> None:
            self.sums.put(record.key, record.value)

        def fail(self, timestamp: int) -> None:
            self.sums.put("a", 99)
            self.context.forward(Record("a", 99, timestamp))
            raise ValueError("no")

    for policy in ("fail", "skip"):
        app = App("app", on_process_error=policy)  # type: ignore[arg-type]
        app.add_store(KeyValueStore("sums", key=str, value=int))
        app.stream("in", key=str, value=int).process(Failing, stores=["sums"], key=str, value=int, name="f").to("out")
        with TopologyTestDriver(app) as driver:
            driver.input_topic("in").pipe("a", 1, 0)
            if policy == "fail":
                with pytest.raises(StreamflowError, match="a punctuation made step 'f' raise ValueError: no"):
                    driver.advance_wall_clock("1s")
            else:
                driver.advance_wall_clock("1s")
                assert (driver.store("sums").get("a"), rows(driver), driver.dropped_records) == (1, [], 1)


def test_windows_and_sessions_of_ones_own() -> None:
    class Keeping(Processor[str, int, str, str]):
        def init(self, context: ProcessorContext[str, str]) -> None:
            self.context = context
            self.hours, self.visits = context.store("hours"), context.store("visits")

        def process(self, record: Record[str, int]) -> None:
            start = record.timestamp - record.timestamp % 10
            self.hours.put(record.key, record.value, start)
            self.visits.put(Windowed(record.key, start, record.timestamp), record.value)
            found = f"{list(self.hours.fetch(record.key, 0, 100))} {list(self.visits.fetch(record.key))}"
            self.context.forward(Record(record.key, found, record.timestamp))

    app = App("app")
    app.add_store(WindowStore("hours", key=str, value=int, size="10ms", retention="1s"))
    app.add_store(SessionStore("visits", key=str, value=int, retention="1s"))
    keeping = app.stream("in", key=str, value=int).process(Keeping, stores=["hours", "visits"], key=str, value=str)
    keeping.to("out")
    with TopologyTestDriver(app, stores="rocksdb") as driver:
        driver.input_topic("in").pipe("a", 1, 5)
        driver.crash()
        driver.input_topic("in").pipe("a", 2, 15)
        last = rows(driver)[-1][1]
    assert (
        last == "[(0, 1), (10, 2)] [(Windowed(key='a', start=0, end=5), 1), (Windowed(key='a', start=10, end=15), 2)]"
    )


@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
@pytest.mark.parametrize("partitions", [1, 4])
def test_a_window_store_of_duplicates_keeps_each_put_over_a_crash(stores: Any, partitions: int) -> None:
    class Keeping(Processor[str, int, str, str]):
        def init(self, context: ProcessorContext[str, str]) -> None:
            self.context, self.kept = context, context.store("kept")

        def process(self, record: Record[str, int]) -> None:
            self.kept.put(record.key, record.value or None, record.timestamp)
            found = (
                f"{list(self.kept.fetch(record.key, 0, 100))} {list(self.kept.fetch(record.key, 0, 100, reverse=True))}"
            )
            self.context.forward(record.replace(value=found))

    app = App("app")
    app.add_store(WindowStore("kept", key=str, value=int, size="10ms", retention="20ms", duplicates=True))
    app.stream("in", key=str, value=int).process(Keeping, stores=["kept"], key=str, value=str).to("out")
    with TopologyTestDriver(app, stores=stores, partitions=partitions) as driver:
        for key, value, time in [("a", 1, 5), ("a", 1, 5), ("b", 7, 5), ("a", 0, 5), ("a", 3, 4), ("a", 2, 24)]:
            driver.input_topic("in").pipe(key, value, time)
            driver.crash()
        found = [value for key, value, _ in rows(driver) if key == "a"]
    assert found[3] == "[(4, 3), (5, 1), (5, 1)] [(5, 1), (5, 1), (4, 3)]"
    assert found[4] == "[(5, 1), (5, 1), (24, 2)] [(24, 2), (5, 1), (5, 1)]"  # what started at 4 has expired


def test_a_processor_looks_into_the_store_of_a_table_and_a_global_table() -> None:
    class Looking(Processor[str, str, str, str]):
        def init(self, context: ProcessorContext[str, str]) -> None:
            self.context = context
            self.users, self.names = context.store("users"), context.store("names")

        def process(self, record: Record[str, str]) -> None:
            self.context.forward(record.replace(value=f"{self.users.get_with_timestamp('u')} {self.names.get('n')}"))

    app = App("app")
    app.table("users-topic", key=str, value=str, name="users")
    app.global_table("names-topic", key=str, value=str, name="names")
    app.stream("in", key=str, value=str).process_values(Looking, stores=["users"], value=str).to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("users-topic").pipe("u", "Ada", 4)
        driver.input_topic("names-topic").pipe("n", "N", 0)
        driver.input_topic("in").pipe("a", "", 5)
        assert rows(driver) == [("a", "('Ada', 4) N", 5)]


def test_a_graph_is_built_node_by_node() -> None:
    class Parting(Processor[str, int, str, int]):
        def init(self, context: ProcessorContext[str, int]) -> None:
            self.context, self.seen = context, context.store("seen")

        def process(self, record: Record[str, int]) -> None:
            self.seen.put(record.key, record.value)
            self.context.forward(record, "small" if record.value < 10 else "large")

    app = App("app")
    app.add_source("numbers", "in", key=str, value=int)
    app.add_processor("parting", Parting, "numbers")
    app.add_store(KeyValueStore("seen", key=str, value=int), "parting")
    for name in ("small", "large"):
        app.add_sink(name, f"{name}-out", "parting", key=str, value=int)
    with TopologyTestDriver(app) as driver:
        driver.input_topic("in").pipe_many([("a", 1, 0), ("b", 50, 1)])
        assert (rows(driver, "small-out"), rows(driver, "large-out")) == ([("a", 1, 0)], [("b", 50, 1)])
        assert dict(driver.store("seen").all()) == {"a": 1, "b": 50}


def test_a_processor_is_closed_with_its_task_and_may_ask_for_a_commit() -> None:
    closed: list[str] = []

    class Closing(Processor[str, str, str, str]):
        def init(self, context: ProcessorContext[str, str]) -> None:
            self.context = context

        def process(self, record: Record[str, str]) -> None:
            self.context.forward(record)
            if record.value == "now":
                self.context.commit()

        def close(self) -> None:
            closed.append(self.context.task_id)

    app = App("app")
    app.stream("in", key=str, value=str).process_values(Closing, value=str).to("out")
    with TopologyTestDriver(app, commit="manual") as driver:
        driver.input_topic("in").pipe("a", "later", 0)
        assert rows(driver) == []
        driver.input_topic("in").pipe("a", "now", 1)
        assert len(rows(driver)) == 2
    assert closed == ["in_0"]


def test_a_table_is_transformed_with_a_look_into_a_store() -> None:
    class Priced(ValueTransformer[str, int, str]):
        def init(self, context: ProcessorContext[Any, Any]) -> None:
            self.prices = context.store("prices")

        def transform(self, key: str, value: int | None) -> str | None:
            return None if value is None else f"{value} at {self.prices.get(key)}"

    app = App("app")
    app.table("prices-topic", key=str, value=int, name="prices")
    table = app.table("amounts", key=str, value=int)
    table.transform_values(Priced, stores=["prices"], value=str, name="priced").to_stream().to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("prices-topic").pipe("a", 3, 0)
        driver.input_topic("amounts").pipe_many([("a", 2, 1), ("a", None, 2)])
        assert rows(driver) == [("a", "2 at 3", 1), ("a", None, 2)]
        assert driver.store("priced").get("a") is None


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda app, s: s.process(Summing, stores=["nope"]), "connected to store 'nope', which nobody has declared"),
        (lambda app, s: s.process(Summing, stores="sums"), r"takes a list of names, such as stores=\['sums'\]"),
        (lambda app, s: app.add_store("sums"), "takes a store of streamflow.processor, not str"),
        (lambda app, s: app.add_processor("p", Summing, "nobody"), "cannot stand behind 'nobody'"),
        (lambda app, s: app.add_processor("p", Summing), "stands behind no other"),
        (lambda app, s: app.connect("in-source", "sums"), "there is no processor 'in-source'"),
        (lambda app, s: app.add_store(KeyValueStore("k", key=str, value=int, kind="disk")), "write 'rocksdb' or 'memory'"),
        (lambda app, s: app.add_store(WindowStore("w", key=str, value=int, size="2s", retention="1s")), "at least the size"),
        (lambda app, s: s.process(Summing, name="p").to("out"), "add key= to step 'p'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_when_the_graph_is_built(declare: Any, says: str) -> None:
    app = App("app")
    stream = app.stream("in", key=str, value=int)
    with pytest.raises(TopologyError, match=says):
        declare(app, stream)


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        (lambda: object(), r"its factory gave object, which has no process\(\)"),
        (Summing, "step 'p' is not connected to store 'sums'"),
    ],
)
def test_mistakes_of_a_processor_are_told_when_its_task_begins(factory: Any, says: str) -> None:
    app = App("app")
    app.stream("in", key=str, value=int).process(factory, key=str, value=int, name="p").to("out")
    with pytest.raises(StreamflowError, match=says):
        TopologyTestDriver(app)
