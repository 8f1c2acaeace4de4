"""Names that nobody gave: stable ones hardly depend on what stands around a step, and a given name always wins."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from streamflow import App, KStream, TopologyError, tumbling
from streamflow.naming import legal
from streamflow.plan import plan

Stream = KStream[Any, Any]


def durable(app: App) -> set[str]:
    """What must not be renamed: stores, internal topics, sub-topologies."""
    topology = app.topology
    planned = plan(topology, app.id, {"lines": 2, "users": 2, "other": 2})
    names = {topic.name for topic in planned.internal_topics} | set(topology.stores)
    return names | {sub.name for sub in planned.subtopologies}


def script(between: Callable[[Stream], Stream], before: Callable[[App], object] = lambda app: None) -> App:
    """A script with unnamed stateful steps, and something put in ``before`` and ``between``."""
    app = App("app")
    before(app)
    lines: Stream = app.stream("lines", key=str, value=str)
    users = app.table("users", key=str, value=str)
    joined = between(lines).join(users, lambda line, user: line + user, value=str)
    grouped = between(joined.group_by(lambda line: line, key=str)._stream).group_by_key()
    between(grouped.count().to_stream()).to("counts")
    grouped.windowed_by(tumbling("1m")).count().to_stream().to("windows")
    users.group_by(lambda k, v: (v, k), key=str, value=str).reduce(lambda a, b: b, lambda a, b: a)
    return app


def same(stream: Stream) -> Stream:
    return stream


STATELESS: list[Callable[[Stream], Stream]] = [
    lambda s: s.filter(lambda v: True),
    lambda s: s.filter_not(lambda v: False),
    lambda s: s.map_values(lambda v: v).with_types(value=str),
    lambda s: s.peek(lambda v: None),
    lambda s: s.filter(lambda v: True, name=f"named-{random.random()}"),
]


def test_stateless_steps_put_in_anywhere_rename_nothing_durable() -> None:
    wanted = durable(script(same))
    for seed in range(30):
        print("seed", seed)
        rng = random.Random(seed)

        def noise(stream: Stream, rng: random.Random = rng) -> Stream:
            for _ in range(rng.randrange(4)):
                stream = rng.choice(STATELESS)(stream)
            return stream

        assert durable(script(noise)) == wanted


def test_another_flow_declared_first_renames_nothing_durable() -> None:
    def other(app: App) -> None:
        app.stream("other", key=str, value=str).group_by_key().count(name="others").to_stream().to("others")

    assert durable(script(same)) < durable(script(same, other))


def test_a_second_unnamed_count_takes_a_name_of_its_own() -> None:
    app = App("app")
    lines = app.stream("lines", key=str, value=str)
    first, second = lines.group_by_key().count(), lines.filter(bool).group_by_key().count()
    assert (first.store, second.store) == ("lines-count", "lines-count-2")


def test_branches_of_a_split_name_what_comes_after_them() -> None:
    app = App("app")
    branches = app.stream("lines", key=str, value=str).split({"long": lambda v: len(v) > 9}, default="short")
    assert branches["short"].group_by_key().count().store == "lines-short-count"
    assert branches["long"].group_by_key().count().store == "lines-long-count"


def test_unnamed_stateful_steps_are_listed_and_named_ones_are_not() -> None:
    app = App("app")
    lines = app.stream("lines", key=str, value=str)
    lines.group_by_key().count()
    lines.group_by_key().count(name="a")
    lines.group_by_key().reduce(lambda a, b: b, store="b")
    lines.repartition().to("x")
    lines.repartition(name="c").to("y")
    lines.join(app.table("users", key=str, value=str), lambda a, b: a, value=str)
    assert app.topology.unnamed_stateful == ("lines-count", "lines-repartition-repartition-source")


def test_name_and_store_mean_the_same() -> None:
    def names(**how: str) -> tuple[str, ...]:
        app = App("app")
        app.stream("lines", key=str, value=str).group_by_key().count(**how)
        return (*app.topology.stores, *(step.name for step in app.topology.steps.values() if step.table))

    assert names(name="counts") == names(store="counts") == ("counts", "counts")
    assert names(name="step", store="counts") == ("counts", "step")


def test_two_stores_of_one_name_are_refused_with_both_places() -> None:
    app = App("app")
    grouped = app.stream("lines", key=str, value=str).group_by_key()
    grouped.count(name="counts")
    with pytest.raises(
        TopologyError, match=r"two stores are named 'counts': test_naming.py:\d+ and test_naming.py:\d+"
    ):
        grouped.count(name="counts")


def test_two_steps_of_one_name_are_refused_with_both_places() -> None:
    lines = App("app").stream("lines", value=str)
    lines.filter(bool, name="f")
    with pytest.raises(TopologyError, match=r"two steps are named 'f': test_naming.py:\d+ and test_naming.py:\d+"):
        lines.filter(bool, name="f")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "x" * 201, "é"])
def test_a_name_that_no_topic_or_folder_can_bear_is_refused(name: str) -> None:
    with pytest.raises(TopologyError, match="cannot be a name"):
        legal(name)
    with pytest.raises(TopologyError, match="cannot be a name"):
        App(name)


def test_kafka_streams_counter_is_global_and_some_numbers_show_nowhere() -> None:
    app = App("app", naming="kafka_streams")
    table = app.table("t", key=str, value=str)  # 0 is its store's, which nobody needs yet
    assert table.to_stream().filter(bool)._step == "KSTREAM-FILTER-0000000004"
