"""What a beginner writes wrong is told in one or two lines that name the step, the topic or the type."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamflow import App, ConfigError, KStream, StreamflowError, TopologyError, Windowed, tumbling
from streamflow.plan import plan
from streamflow.topology import Source, Topology


def lines(**how: Any) -> KStream[Any, Any]:
    return App("app").stream("lines", **how)


def joined_with_a_topic_of_another_count() -> None:
    app = App("app")
    stream, table = app.stream("clicks", key=str, value=str), app.table("users", key=str, value=str)
    stream.join(table, lambda a, b: a, value=str, name="who").to("out")
    plan(app.topology, "app", {"clicks": 4, "users": 3})


def two_apps() -> None:
    stream = App("one").stream("a", key=str, value=str)
    stream.join(App("two").table("t", key=str, value=str), lambda a, b: a, value=str)


MISTAKES: dict[str, tuple[Callable[[], object], type[StreamflowError], str]] = {
    "a stored value of unknown type": (
        lambda: lines(key=str).map_values(lambda v: v).group_by_key().reduce(lambda a, b: a, name="best"),
        TopologyError,
        r"step 'best': the values must be stored, but their type is not known; add value= to step 'lines-map-values' "
        r"\(test_app.py:\d+\), for example value=str",
    ),
    "a sent value of unknown type": (
        lambda: lines().map_values(lambda v: v).to("out"),
        TopologyError,
        r"step 'lines-sink': the values must be written, but their type is not known; add value= to step",
    ),
    "a total of unknown type": (
        lambda: lines().group_by_key().aggregate(lambda: 0, lambda t, v: t, name="sums"),
        TopologyError,
        r"step 'sums': its values must be stored, but their type is not known; add value= to step 'sums'",
    ),
    "a key of unknown type": (
        lambda: lines(value=str).group_by(lambda v: v).count(name="counts"),
        TopologyError,
        r"step 'counts': the keys must be stored, but their type is not known; add key= to step 'lines-group-by'",
    ),
    "a function of too many arguments": (
        lambda: lines().filter(lambda a, b, c: True),  # type: ignore[arg-type, misc]
        TopologyError,
        r"step 'lines-filter': its predicate \(a lambda\) takes 3 arguments; write it as f\(value\) or f\(key, value\)",
    ),
    "topics of different counts": (
        joined_with_a_topic_of_another_count,
        TopologyError,
        r"step 'who' \(test_app.py:\d+\): topics whose keys must meet have different partition counts: 'clicks' has 4, "
        r"'users' has 3; put .repartition\(\) behind one of them",
    ),
    "a bare number as duration": (
        lambda: tumbling(60),  # type: ignore[arg-type]
        ConfigError,
        r'the size of a tumbling window is 60; write a timedelta or a text such as "250ms"',
    ),
    "no topic": (lambda: App("app").stream(5), TopologyError, "a topic is a name, a list of names"),  # type: ignore[call-overload]
    "no type": (lambda: lines(value=5), TopologyError, r"step 'lines-source', value=: a type or a Serde was expected"),
    "its own topic": (
        lambda: lines().map_values(str.upper, value=str).to("lines"),
        TopologyError,
        "step 'lines-sink' writes every record of topic 'lines' to 'lines' again",
    ),
    "its own topic through a repartition topic": (
        lambda: lines().repartition(name="again").to("lines"),
        TopologyError,
        "writes every record of topic 'lines' to 'lines' again",
    ),
    "two apps": (two_apps, TopologyError, "step 'join' puts together streams of two apps"),
    "keys that never meet": (
        lambda: (app := App("a")).stream("s", key=str).join(app.table("t", key=int, value=str), lambda a, b: b),  # type: ignore[arg-type]
        TopologyError,
        "joins a stream keyed by string with a table keyed by int64",
    ),
    "a stream for a table": (
        lambda: lines().join(lines(), lambda a, b: a),  # type: ignore[call-overload]
        TopologyError,
        "step 'join' joins two streams, and must know how far apart two records may lie: add within=",
    ),
    "a table of several topics": (
        lambda: App("app").table(["a", "b"], key=str, value=str),  # type: ignore[call-overload]
        TopologyError,
        "a table is read from one topic",
    ),
    "a window that forgets": (
        lambda: lines().group_by_key().windowed_by(tumbling("1m", grace="1m")).count(retention="1m", name="w"),
        TopologyError,
        "step 'w': a retention of 60000 ms would forget windows that are still open",
    ),
    "no window": (lambda: lines().group_by_key().windowed_by("1m"), TopologyError, "windowed_by takes a window"),  # type: ignore[arg-type]
    "a strange emit": (
        lambda: lines().group_by_key().windowed_by(tumbling("1m")).count(emit="sometimes", name="w"),  # type: ignore[arg-type]
        TopologyError,
        "step 'w': emit is 'sometimes'; write 'on_update' or 'on_close'",
    ),
    "a partitioner of one argument": (
        lambda: lines().to("out", partitioner=lambda key: 0),  # type: ignore[arg-type, misc]
        TopologyError,
        r"must take four arguments; write it as f\(topic, key, value, partitions\)",
    ),
    "a windowed key of no size": (
        lambda: lines(key=Windowed[str]),
        TopologyError,
        r"step 'lines-source', key=: the bytes of a windowed key do not hold .* key=serdes.windowed\(str, \"5m\"\)",
    ),
    "no branches": (lambda: lines().split({}), TopologyError, "a split needs at least one branch"),
    "a branch twice": (lambda: lines().split({"a": bool}, default="a"), TopologyError, "called 'a', and so is another"),
    "no partitions": (lambda: lines().repartition(partitions=0), TopologyError, "partitions is 0"),
    "standbys": (
        lambda: App("a", standby_replicas=-1),
        ConfigError,
        "standby_replicas is -1; it must be a whole number",
    ),
    "optimisation": (lambda: App("a", optimize="most"), ConfigError, "optimize is 'most'; write 'none', 'all'"),  # type: ignore[arg-type]
    "a strange guarantee": (lambda: App("a", guarantee="maybe"), ConfigError, "guarantee is 'maybe'; write 'exactly_"),  # type: ignore[arg-type]
    "a strange policy": (lambda: App("a", on_process_error="ignore"), ConfigError, "on_process_error is 'ignore'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_two_lines_at_most(mistake: str) -> None:
    declare, kind, text = MISTAKES[mistake]
    with pytest.raises(kind, match=text) as told:
        declare()
    assert str(told.value).count("\n") == 0
    assert len(str(told.value)) < 300


def test_a_topic_shares_its_types_by_name() -> None:
    app = App("app")
    orders = app.topic("orders", key=str, value=float, partitions=7, config={"retention.ms": "1"})
    app.stream(orders).to(app.topic("copies", key=str, value=float))
    (source,) = (step.meaning for step in app.topology.steps.values() if isinstance(step.meaning, Source))
    assert (source.key.name, source.value.name) == ("string", "float64")
    assert app.topology.topics["orders"].partitions == 7


def test_a_timestamp_on_the_app_counts_where_a_source_has_none() -> None:
    app = App("app", timestamp=lambda value: 1)
    app.stream("a").to("x")
    app.stream("b", timestamp=lambda key, value, context: 2).to("y")
    extractors = [step.meaning.timestamp for step in app.topology.steps.values() if isinstance(step.meaning, Source)]
    assert [extract and extract(None, None, None) for extract in extractors] == [1, 2]


def test_declaring_is_pure_and_a_topology_once_taken_does_not_grow() -> None:
    app = App("app")
    stream = app.stream("lines", value=str)
    before = app.topology
    filtered = stream.filter(bool)
    assert filtered is not stream
    assert list(before.steps) == ["lines-source"]
    assert isinstance(before, Topology)
    assert list(app.topology.steps) == ["lines-source", "lines-filter"]


def test_a_pattern_names_its_source_by_what_can_be_in_a_name() -> None:
    app = App("app")
    app.stream(re.compile(r"orders\.(eu|us)\..*")).to("out")
    assert next(iter(app.topology.steps)) == "orders-eu-us-source"


def test_where_is_the_line_of_the_users_call(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "from streamflow import App\napp = App('a')\nprint(app.stream('x')._builder.steps['x-source'].where)\n"
    )
    told = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "mine.py:3"
