"""When the bytes of a key tell its partition, and when they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamflow import App, tumbling
from streamflow.plan import Plan, plan
from streamflow.query import sites
from streamflow.serdes import serde_of
from streamflow.topology import external_topics
from tests.http.world import make_plan


def planned(app: App, **partitions: int) -> Plan:
    topics = {topic: partitions.get(topic.replace("-", "_"), 4) for topic in external_topics(app.topology)}
    return plan(app.topology, "app", topics)


def spread(app: App, store: str, **partitions: int) -> int | None:
    return sites(planned(app, **partitions))[store].spread


def test_a_table_lies_as_its_topic_does() -> None:
    app = App("app")
    app.table("users", key=str, value=str, store="users")
    assert spread(app, "users", users=7) == 7


def test_an_aggregate_lies_as_its_repartition_topic_does() -> None:
    app = App("app")
    words = app.stream("lines", value=str).flat_map_values(str.split, value=str)
    words.group_by(lambda word: word, key=str).count(store="counts")
    words.group_by(lambda word: word, key=str).windowed_by(tumbling("1m")).count(store="minutes")
    assert spread(app, "counts", lines=3) == 3
    assert spread(app, "minutes", lines=3) == 3


def test_a_step_that_changes_only_values_moves_nothing() -> None:
    app = App("app")
    users = app.table("users", key=str, value=str).filter(lambda value: bool(value), store="some")
    users.map_values(str.upper, value=str, store="loud")
    assert spread(app, "some", users=5) == 5
    assert spread(app, "loud", users=5) == 5


def test_a_stream_that_joins_a_table_does_not_change_where_the_table_lies() -> None:
    app = App("app")
    users = app.table("users", key=str, value=str, store="users")
    clicks = app.stream("clicks", value=str).select_key(lambda value: value, key=str)
    clicks.join(users, lambda click, user: click + user, value=str).to("out")
    assert spread(app, "users", users=6, clicks=2) == 6


def test_topics_of_unequal_counts_before_a_store_leave_its_keys_anywhere() -> None:
    app = App("app")
    both = app.stream("a", key=str, value=str).merge(app.stream("b", key=str, value=str))
    both.group_by_key().count(store="counts")
    found = planned(app)
    assert sites(found)["counts"].spread == 4
    # The plan refuses this where it knows that the keys must meet; a topic may also have grown since.
    assert sites(replace(found, partitions={**found.partitions, "b": 2}))["counts"].spread is None


def test_a_partitioner_of_the_users_before_a_store_leaves_its_keys_anywhere() -> None:
    assert sites(make_plan("spread"))["spread"].spread is None
    assert sites(make_plan("words"))["words"].spread == 4


def test_keys_read_in_other_bytes_than_they_are_kept_in_are_anywhere() -> None:
    found = make_plan("words")
    first, second = found.subtopologies
    (spec,) = second.stores
    other = replace(second, stores=(replace(spec, key=serde_of(bytes)),))
    assert sites(replace(found, subtopologies=(first, other)))["words"].spread is None


def test_a_windowed_key_lies_where_its_inner_key_lies() -> None:
    from streamflow.serdes import windowed

    key: Any = windowed(str, "1m")
    found = make_plan("words")
    (spec,) = found.subtopologies[1].stores
    sub = replace(found.subtopologies[1], stores=(replace(spec, key=key),))
    site = replace(sites(found)["words"], spec=replace(spec, key=key), sub=sub)
    plain = sites(found)["words"]
    for letter in (b"a", b"b", b"c", b"whale"):
        assert site.holding(letter + bytes(8)) == plain.holding(letter)
