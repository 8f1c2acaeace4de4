"""Several inputs of one task: oldest first over all of them, as if they had been merged beforehand."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow import App
from streamflow.clock import SystemClock
from streamflow.log.batch import encode, rebased
from streamflow.log.contract import Fetched
from streamflow.plan import plan
from streamflow.record import TopicPartition
from streamflow.runtime.task import FOREVER, Rules, Task

TIMES = st.lists(st.integers(0, 12), max_size=12)
NAMES = ("a", "b", "c")


def merging(**source: Any) -> tuple[Task, list[tuple[str, int]]]:
    """A task over three topics, and what it has seen: topic and timestamp, in order."""
    app = App("merge")
    seen: list[tuple[str, int]] = []
    first, *rest = [app.stream(name, **source) for name in NAMES]

    def note(key: bytes, value: bytes) -> None:
        seen.append((value[:1].decode(), int(value[1:])))

    first.merge(*rest).foreach(note)
    made = plan(app.topology, "merge", dict.fromkeys(NAMES, 1))
    task = Task(made.subtopologies[0], 0, dict(made.partitions), {}, Rules(), SystemClock(), {})
    return task, seen


def fetched(task: Task, name: str, times: list[int], end: int) -> None:
    """Hand ``times`` to an input whose log ends at ``end``."""
    at = TopicPartition(name, 0)
    source = task.inputs[at]
    base = source.fetched
    batches = [rebased(b, base) for b in encode([(b"k", f"{name}{time}".encode(), time, []) for time in times])]
    task.add(at, Fetched(batches, base + len(times), end, 0))


def merged(all_times: dict[str, list[int]]) -> list[tuple[str, int]]:
    """The plain way: again and again the topic whose head is oldest, the first declared of those."""
    heads = {name: list(times) for name, times in all_times.items()}
    found: list[tuple[str, int]] = []
    while any(heads.values()):
        name = min((name for name in NAMES if heads[name]), key=lambda name: heads[name][0])
        found.append((name, heads[name].pop(0)))
    return found


@settings(deadline=None)
@given(TIMES, TIMES, TIMES, st.data())
def test_records_of_several_topics_come_in_the_order_of_a_plain_merge(
    a: list[int], b: list[int], c: list[int], data: st.DataObject
) -> None:
    times = dict(zip(NAMES, (a, b, c), strict=True))
    task, seen = merging()
    for name in NAMES:
        task.inputs[TopicPartition(name, 0)].start(0, len(times[name]))
    left = {name: list(some) for name, some in times.items()}
    # However little comes at a time, and in whatever order: what is known to be there is waited for.
    while any(left.values()):
        name = data.draw(st.sampled_from([name for name in NAMES if left[name]]))
        count = data.draw(st.integers(1, len(left[name])))
        fetched(task, name, left[name][:count], len(times[name]))
        del left[name][:count]
        task.process(data.draw(st.integers(1, 5)))
    while task.process(data.draw(st.integers(1, 5))):
        pass

    assert seen == merged(times)
    assert task.idle
    assert {tp.topic: position for tp, position in task.positions().items()} == {n: len(times[n]) for n in NAMES}


def test_a_partition_that_has_nothing_holds_nobody_up() -> None:
    task, seen = merging()
    task.inputs[TopicPartition("a", 0)].start(0, 2)
    fetched(task, "a", [5, 6], 2)
    assert task.process(10) == 2
    assert seen == [("a", 5), ("a", 6)]


def test_a_partition_that_has_more_in_the_log_is_waited_for() -> None:
    task, seen = merging()
    task.inputs[TopicPartition("b", 0)].start(0, 1)
    fetched(task, "a", [5], 1)
    assert task.process(10) == 0
    fetched(task, "b", [4], 1)
    assert task.process(10) == 2
    assert seen == [("b", 4), ("a", 5)]


def test_the_last_time_there_is_does_not_hang_the_task() -> None:
    task, seen = merging()
    fetched(task, "a", [FOREVER], 1)
    fetched(task, "b", [7], 1)
    assert task.process(10) == 2
    assert seen == [("b", 7), ("a", FOREVER)]


def test_a_users_time_beyond_the_last_one_is_refused_not_waited_for() -> None:
    app = App("far", on_deserialize_error="skip")
    app.stream("a", timestamp=lambda value: 1 << 70).foreach(lambda value: None)
    made = plan(app.topology, "far", {"a": 1})
    task = Task(made.subtopologies[0], 0, {"a": 1}, {}, Rules("skip"), SystemClock(), {}, [])
    fetched(task, "a", [1], 1)
    assert task.process(10) == 1
    assert sum(task.drops.values()) == 1
