"""Topics are found, made or missed; internal ones are always made, and a wrong one is explained."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamflow import App
from streamflow.errors import TopicMismatch, TopologyError, UnknownTopic
from streamflow.log.memory import MemoryLog
from streamflow.plan import Plan
from streamflow.runtime.prepare import maker, prepare
from streamflow.topic import NewTopic


def word_count(**settings: Any) -> App:
    app = App("wc", **settings)
    lines = app.stream("lines", key=str, value=str)
    lines.group_by(lambda word: word, key=str).count(name="n").to_stream().to("out")
    return app


def prepared(app: App, log: MemoryLog, *, create: bool = True) -> Plan:
    return asyncio.run(prepare(app.id, app.topology, app.settings, log, create=create))


def partitions(log: MemoryLog) -> dict[str, int]:
    return {name: info.partitions for name, info in asyncio.run(log.topics()).items()}


def with_topics(**counts: int) -> MemoryLog:
    log = MemoryLog()
    asyncio.run(log.create_topics([NewTopic(name, count) for name, count in counts.items()]))
    return log


def test_missing_topics_are_made_with_the_partitions_of_the_settings() -> None:
    log = with_topics(lines=3)
    plan = prepared(word_count(topic_partitions=5), log)
    assert partitions(log) == {"lines": 3, "out": 5, "wc-n-repartition": 3, "wc-n-changelog": 3}
    assert dict(plan.partitions) == partitions(log) | {"wc-n-changelog": 3}


def test_a_declared_topic_is_made_as_declared() -> None:
    app = word_count()
    app.topic("lines", partitions=7, config={"retention.ms": "1000"})
    log = MemoryLog()
    prepared(app, log)
    info = asyncio.run(log.topics())["lines"]
    assert (info.partitions, info.config["retention.ms"]) == (7, "1000")


def test_topics_of_others_are_missed_by_name_and_nothing_is_made() -> None:
    log = with_topics(lines=3)
    with pytest.raises(UnknownTopic, match=r"topic 'out' does not exist; create with .* or run with --create-topics"):
        prepared(word_count(), log, create=False)
    assert partitions(log) == {"lines": 3}
    with pytest.raises(UnknownTopic, match="topics 'lines', 'out' do not exist"):
        prepared(word_count(), MemoryLog(), create=False)


def test_preparing_again_finds_everything_as_it_was() -> None:
    log = MemoryLog()
    app = word_count()
    assert prepared(app, log) == prepared(app, log, create=False)


def test_an_internal_topic_with_other_partitions_is_explained() -> None:
    log = with_topics(**{"lines": 3, "out": 1, "wc-n-changelog": 2})
    with pytest.raises(TopicMismatch) as error:
        prepared(word_count(), log)
    for words in ("'wc-n-changelog' has 2 partitions", "now have 3", "new id", "topics delete wc-n-changelog"):
        assert words in str(error.value)


def test_topics_that_must_match_are_compared() -> None:
    app = App("join")
    users = app.table("users", key=str, value=str)
    app.stream("clicks", key=str, value=str).join(users, lambda a, b: a, value=str).to("out")
    with pytest.raises(TopologyError, match="clicks"):
        prepared(app, with_topics(clicks=2, users=3))


def test_dead_letters_have_a_topic_that_the_plan_knows() -> None:
    log = MemoryLog()
    assert "wc-dead-letters" in prepared(word_count(on_process_error="dead_letter"), log).partitions
    asking = word_count(on_process_error=lambda context, error: "skip", dead_letter_topic="mine")
    assert "mine" in prepared(asking, log).partitions
    assert "wc-dead-letters" not in prepared(word_count(on_process_error="skip"), log).partitions


def test_a_topic_that_a_record_names_is_found_or_made_and_joins_the_plan() -> None:
    app, log = word_count(topic_partitions=2), with_topics(there=6)
    plan = prepared(app, log)

    def make(name: str, *, create: bool) -> None:
        asyncio.run(maker(plan, app.topology, app.settings, log, create=create)(name))  # type: ignore[arg-type]

    make("there", create=False)
    make("new", create=True)
    assert (plan.partitions["there"], plan.partitions["new"], partitions(log)["new"]) == (6, 2, 2)
    with pytest.raises(UnknownTopic, match="a record goes to topic 'other', which does not exist"):
        make("other", create=False)


def test_a_table_is_not_restored_from_a_topic_that_forgets() -> None:
    app = App("shop", optimize="all")
    app.table("rows", key=str, value=int, store="kept")
    log = MemoryLog()
    asyncio.run(log.create_topics([NewTopic("rows", 1, {"retention.ms": "1000"})]))
    with pytest.raises(
        TopicMismatch, match=r"topic 'rows' .* forgets its records after 1000 ms .*cleanup.policy=compact"
    ):
        prepared(app, log)
