"""The plan: what runs together, under which names, with how many partitions and which internal topics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from streamflow import App, KStream, TopologyError, hopping, serdes, tumbling
from streamflow.plan import Plan, needed_topics, plan, task_name


def planned(app: App, topics: list[str] | None = None, **partitions: int) -> Plan:
    return plan(app.topology, app.id, partitions, topics)


def count(app: App, topic: str = "lines", **how: Any) -> KStream[Any, int]:
    return app.stream(topic, key=str, value=str).group_by(str.lower, key=str).count(**how).to_stream()


def test_a_repartition_topic_lies_between_two_sub_topologies() -> None:
    app = App("wc")
    count(app, name="counts").to("out")
    first, second = planned(app, lines=3, out=1).subtopologies
    assert (first.name, second.name) == ("lines", "counts-repartition")
    assert first.topics == {"lines-source": ("lines",)}
    assert first.sinks == {"counts-repartition-sink": "wc-counts-repartition"}
    assert second.topics == {"counts-repartition-source": ("wc-counts-repartition",)}
    assert second.changelogs == {"counts": "wc-counts-changelog"}
    assert second.inputs == {"wc-counts-repartition"}
    assert [spec.name for spec in second.stores] == ["counts"]
    assert second.sinks == {"counts-sink": "out"}
    assert task_name(second, 2) == "counts-repartition_2"


def test_internal_topics_have_kafka_streams_settings() -> None:
    app = App("wc")
    count(app, name="counts").to("out")
    windowed = app.stream("other", key=str).group_by_key().windowed_by(tumbling("1m", grace="10s"))
    windowed.count(name="w", retention="1h")
    topics = {topic.name: topic for topic in planned(app, lines=3, other=2).internal_topics}
    assert {name: topic.partitions for name, topic in topics.items()} == {
        "wc-counts-repartition": 3,
        "wc-counts-changelog": 3,
        "wc-w-changelog": 2,
    }
    assert topics["wc-counts-repartition"].config == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "segment.bytes": "52428800",
        "message.timestamp.type": "CreateTime",
    }
    assert topics["wc-counts-changelog"].config == {"cleanup.policy": "compact"}
    assert topics["wc-w-changelog"].config == {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(3_600_000 + 86_400_000),
        "message.timestamp.type": "LogAppendTime",
    }
    assert all(topic.internal for topic in topics.values())


def test_a_store_puts_its_users_into_one_sub_topology() -> None:
    app = App("a")
    table = app.table("users", key=str, value=str)
    app.stream("lines", key=str, value=str).join(table, lambda a, b: a, value=str).to("out")
    (sub,) = planned(app, users=2, lines=2).subtopologies
    assert sub.name == "lines"  # the stream's, though the table was declared first
    assert set(sub.topics) == {"users-table-source", "lines-source"}


def test_a_topic_read_twice_puts_its_readers_into_one_sub_topology() -> None:
    app = App("a")
    app.stream("lines", value=str).to("x")
    app.stream("lines").to("y")
    app.stream(["lines", "more"], name="both").to("z")
    (sub,) = planned(app, lines=2, more=3).subtopologies
    assert sub.topics == {"lines-source": ("lines",), "lines-source-2": ("lines",), "both": ("lines", "more")}
    assert sub.partitions == 3


def test_a_pattern_reads_every_topic_whose_whole_name_it_matches_but_none_of_our_own() -> None:
    app = App("a")
    app.stream(re.compile("x.*|a-.*")).group_by_key().count(name="c")
    (sub,) = plan(app.topology, "a", {"x1": 2, "x2": 2, "y": 1, "a-c-changelog": 9, "not-x": 1}).subtopologies
    assert sub.topics == {"x-a-source": ("x1", "x2")}
    assert sub.partitions == 2


def test_a_pattern_that_turns_out_to_match_another_sources_topic_joins_it() -> None:
    app = App("a")
    app.stream("x1").to("p")
    app.stream("z").to("r")
    app.stream(re.compile("x.*")).to("q")
    names = [sub.name for sub in planned(app, x1=2, x2=3, z=1).subtopologies]
    assert sorted(names) == ["x1", "z"]


def test_topics_that_are_not_there_are_told() -> None:
    app = App("a")
    app.stream("lines").to("out")
    with pytest.raises(
        TopologyError, match=r"step 'lines-source' \(test_plan.py:\d+\) reads topic 'lines', which does not"
    ):
        planned(app, other=1)
    app = App("a")
    app.stream(re.compile("x.*")).to("out")
    with pytest.raises(TopologyError, match=r"reads the topics that match 'x.*', and there is none"):
        planned(app, other=1)


# --- partition counts


def keyed(app: App, topic: str) -> KStream[str, str]:
    return app.stream(topic, key=str, value=str).select_key(str.lower, key=str)


def test_a_repartition_topic_has_as_many_as_the_largest_topic_above_it() -> None:
    app = App("a")
    app.stream("small").merge(app.stream("large")).repartition(name="r").repartition(name="s").to("out")
    found = planned(app, small=2, large=5).partitions
    assert (found["a-r-repartition"], found["a-s-repartition"]) == (5, 5)


def test_a_repartition_topic_has_as_many_as_the_table_it_meets() -> None:
    app = App("a")
    keyed(app, "lines").join(app.table("t", key=str, value=str), lambda a, b: a, value=str, name="j").to("out")
    assert planned(app, lines=8, t=3).partitions["a-j-repartition"] == 3


def test_an_explicit_count_is_kept_and_those_who_meet_it_follow() -> None:
    app = App("a")
    table = keyed(app, "t").repartition(name="t", partitions=6).to_table(name="rows")
    keyed(app, "lines").join(table, lambda a, b: a, value=str, name="j").to("out")
    found = planned(app, lines=8, t=3).partitions
    assert (found["a-t-repartition"], found["a-j-repartition"], found["a-rows-changelog"]) == (6, 6, 6)


def test_two_internal_topics_that_meet_have_the_larger_of_what_is_above_them() -> None:
    app = App("a")
    table = keyed(app, "t").to_table(name="rows")
    keyed(app, "lines").join(table, lambda a, b: a, value=str, name="j").to("out")
    found = planned(app, lines=8, t=3).partitions
    assert (found["a-rows-repartition"], found["a-j-repartition"]) == (8, 8)


def test_records_that_come_back_to_where_they_were_find_a_count() -> None:
    app = App("a")
    lines = app.stream("lines", key=str, value=str)
    counts = lines.select_key(str.lower, key=str).repartition(name="r").to_table(name="rows")
    lines.join(counts, lambda a, b: a, value=str, name="j").to("out")
    (sub,) = planned(app, lines=3).subtopologies
    assert sub.partitions == 3


def test_an_explicit_count_that_contradicts_is_refused() -> None:
    app = App("a")
    again = keyed(app, "lines").repartition(name="r", partitions=4)
    again.join(app.table("t", key=str, value=str), lambda a, b: a, value=str, name="j")
    with pytest.raises(TopologyError, match=r"step 'j' .*: 't' has 3, 'a-r-repartition' has 4"):
        planned(app, lines=8, t=3)


def test_topics_merged_without_meeting_may_differ_and_grouped_ones_may_not() -> None:
    app = App("a")
    both = app.stream(["x", "y"], key=str, value=str)
    both.to("out")
    assert planned(app, x=2, y=3).subtopologies[0].partitions == 3
    both.group_by_key().count(name="c")
    with pytest.raises(TopologyError, match=r"step 'x-y-source' .* 'x' has 2, 'y' has 3"):
        planned(app, x=2, y=3)


# --- fingerprints, names, topics


@dataclass
class Total:
    n: int = 0


def fingerprint(app: App, store: str = "s") -> str:
    (found,) = [sub.fingerprints[store] for sub in planned(app, lines=1).subtopologies if store in sub.fingerprints]
    return found


def aggregate(value: Any, key: Any = str, window: Any = None) -> str:
    app = App("a")
    grouped = app.stream("lines", key=key, value=str).filter(bool).group_by_key()
    (grouped if window is None else grouped.windowed_by(window)).aggregate(Total, lambda t, v: t, value=value, name="s")
    return fingerprint(app)


def test_a_fingerprint_tells_what_the_bytes_rest_on() -> None:
    assert aggregate(Total) == "key_value string -> json(Total), Aggregate 's'"
    assert aggregate(Total, window=hopping("1m", "10s")) == (
        "window string -> json(Total), WindowAggregate 's' of 60000 ms every 10000 ms"
    )


def test_other_serdes_or_windows_are_another_fingerprint_and_functions_grace_and_other_steps_are_not() -> None:
    base = aggregate(Total)
    assert base not in (aggregate(serdes.msgpack(Total)), aggregate(Total, key=int))
    assert aggregate(Total, window=tumbling("1m")) != aggregate(Total, window=tumbling("2m"))
    assert aggregate(Total, window=tumbling("1m")) == aggregate(Total, window=tumbling("1m", grace="5s"))
    app = App("a")
    lines = app.stream("lines", key=str, value=str)
    lines.group_by_key().count(name="another")
    lines.group_by_key().aggregate(Total, lambda total, value: Total(total.n + 1), name="s")
    assert fingerprint(app) == base


def test_needed_topics_are_those_a_script_names_as_they_would_be_made() -> None:
    app = App("a")
    orders = app.topic("orders", partitions=7, config={"retention.ms": "1"})
    app.stream(orders).repartition(name="r").to("out")
    app.stream(re.compile("x.*")).to(lambda key, value, context: "y")
    found = {topic.name: (topic.partitions, dict(topic.config)) for topic in needed_topics(app.topology, 3)}
    assert found == {"orders": (7, {"retention.ms": "1"}), "out": (3, {})}


def test_an_internal_topic_whose_name_kafka_would_refuse_is_refused() -> None:
    app = App("a" * 100)
    app.stream("lines").group_by_key().count(name="c" * 180)
    with pytest.raises(TopologyError, match="has a name of 291 letters and Kafka takes 249"):
        planned(app, lines=1)
