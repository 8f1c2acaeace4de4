"""Semantics 1.9: names, and what they do not depend on."""

from __future__ import annotations

import pytest

from streamflow import App, KStream, TopologyError
from streamflow.plan import plan


def lines(app: App) -> KStream[bytes, str]:
    return app.stream("lines", value=str)


def test_store_changelog_and_repartition_topic_bear_the_steps_name() -> None:
    app = App("wc")
    lines(app).group_by(lambda v: v, key=str).count(name="word-counts")
    internal = {topic.name for topic in plan(app.topology, "wc", {"lines": 2}).internal_topics}
    assert internal == {"wc-word-counts-repartition", "wc-word-counts-changelog"}


def test_a_grouping_may_name_its_repartition_topic_itself() -> None:
    app = App("wc")
    lines(app).group_by(lambda v: v, key=str, name="by-word").count(name="word-counts")
    assert list(app.topology.repartitions) == ["by-word"] and list(app.topology.stores) == ["word-counts"]


def test_a_stateless_step_put_in_between_renames_no_store_and_no_topic() -> None:
    def declared(*, more: bool) -> App:
        app = App("wc")
        stream = lines(app)
        if more:
            stream = stream.filter(bool).peek(print).map_values(str.upper, value=str)
        stream.group_by(lambda v: v, key=str).count()
        return app

    before, after = declared(more=False).topology, declared(more=True).topology
    assert list(before.stores) == list(after.stores) and list(before.repartitions) == list(after.repartitions)


def test_stateful_steps_without_a_name_are_told_apart() -> None:
    app = App("wc")
    grouped = lines(app).group_by(lambda v: v, key=str)
    assert [grouped.count().store, grouped.count().store] == ["lines-count", "lines-count-2"]
    assert app.topology.unnamed_stateful == ("lines-count", "lines-count-2")


def test_kafka_streams_names_come_from_one_counter() -> None:
    app = App("wc", naming="kafka_streams")
    counts = lines(app).group_by(lambda v: v, key=str).count()
    counts.to_stream().to("out")
    assert counts.store == "KSTREAM-AGGREGATE-STATE-STORE-0000000002"
    text = app.topology.describe()
    assert text.startswith("Topologies:\n   Sub-topology: 0\n    Source: KSTREAM-SOURCE-0000000000 (topics: [lines])\n")
    assert "Sink: KSTREAM-SINK-0000000008 (topic: out)" in text


def test_two_steps_of_one_name_are_refused_with_both_places() -> None:
    app = App("wc")
    lines(app).filter(bool, name="same")
    with pytest.raises(TopologyError, match=r"two steps are named 'same': test_names.py:\d+ and test_names.py:\d+"):
        lines(app).filter(bool, name="same")


def test_two_stores_of_one_name_are_refused_with_both_places() -> None:
    app = App("wc")
    grouped = lines(app).group_by(lambda v: v, key=str)
    grouped.count(name="a", store="same")
    with pytest.raises(TopologyError, match=r"two stores are named 'same': test_names.py:\d+ and test_names.py:\d+"):
        grouped.reduce(lambda a, b: b, name="b", store="same")


@pytest.mark.parametrize("name", ["", "two words", "a/b", ".", "x" * 201])
def test_a_name_that_a_topic_cannot_bear_is_refused(name: str) -> None:
    for declare in (lambda: App(name), lambda: lines(App("a")).filter(bool, name=name), lambda: App("a").stream(name)):
        with pytest.raises(TopologyError, match="cannot be a name; use letters, digits"):
            declare()
