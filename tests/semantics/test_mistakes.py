"""What beginners get wrong: one or two lines that say what, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow import App, KStream, StreamflowError, Windowed, serdes, tumbling
from streamflow.testing import TopologyTestDriver
from tests.semantics.world import answer


class Unknown:
    def __init__(self) -> None:
        self.x = 1


async def later(value: str) -> str:
    return value


def s(app: App | None = None) -> KStream[str, str]:
    return (app or App("app")).stream("in", key=str, value=str)


def driven(words: Callable[[KStream[str, str]], Any]) -> Any:
    return lambda: answer(lambda app: words(s(app)), ("k", "v"))


def table(app: App, key: Any = str) -> Any:
    return app.table("rows", key=key, value=str)


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a stored value of unknown type": (
        lambda: s().map_values(lambda v: v).group_by_key().reduce(lambda a, b: a),
        r"step 'in-reduce': the values must be stored, .* add value= to step 'in-map-values' \(test_mistakes.py:\d+\)",
    ),
    "a sent key of unknown type": (
        lambda: s().group_by(lambda v: v).count(),
        "step 'in-count': the keys must be stored, .* add key= to step 'in-group-by'",
    ),
    "an aggregate of unknown type": (
        lambda: s().group_by_key().aggregate(lambda: 0, lambda t, v: t),
        "step 'in-aggregate': its values must be stored, .* add value= to step 'in-aggregate'",
    ),
    "too many arguments": (
        lambda: s().filter(lambda a, b, c: True),  # type: ignore[call-overload, misc]
        r"step 'in-filter': its predicate \(a lambda\) takes 3 arguments; write it as f\(value\) or f\(key, value\)",
    ),
    "too few arguments": (
        lambda: s(app := App("a")).join(table(app), lambda v: v),  # type: ignore[misc, call-overload]
        r"step 'in-join': its joiner \(a lambda\) takes 1 argument; write it as f\(left, right\)",
    ),
    "an initializer that is a value": (
        lambda: s().group_by_key().aggregate(0, lambda t, v: t, value=int),  # type: ignore[call-overload, misc]
        "step 'in-aggregate': its initializer is 0, which cannot be called; give it a function",
    ),
    "a function already called": (
        lambda: s().map_values("x".upper()),  # type: ignore[call-overload]
        "step 'in-map-values': its mapper is 'X', which cannot be called",
    ),
    "an async function": (
        lambda: s().map_values(later),
        "step 'in-map-values': its mapper 'later' is async, but steps are not awaited",
    ),
    "a lambda that raises": (
        driven(lambda stream: stream.map_values(lambda v: v.nope(), value=str).to("out")),  # type: ignore[attr-defined]
        r"'in' partition 0 offset 0 \(key 'k'\) made step 'in-map-values' raise AttributeError: 'str' object has no attribute",
    ),
    "a value of another type than said": (
        driven(lambda stream: stream.map_values(lambda v: 7, value=str).to("out")),  # type: ignore[type-var, return-value]
        "step 'in-sink' .*expected str, got int 7",
    ),
    "keys that never meet": (
        lambda: s(app := App("a")).join(table(app, int), lambda a, b: a, value=str),
        "step 'in-join' joins a stream keyed by string with a table keyed by int64",
    ),
    "two streams that nothing holds together": (
        lambda: s().join(s(), lambda a, b: a),  # type: ignore[call-overload]
        "step 'join' joins two streams, and must know how far apart two records may lie: add within=",
    ),
    "streams of two apps": (lambda: s().merge(s()), "step 'in-merge' puts together streams of two apps"),
    "a class without fields": (
        lambda: App("a").stream("in", value=Unknown),
        "step 'in-source', value=: Unknown cannot be turned into bytes: nothing is known about the fields",
    ),
    "a type in quotes": (
        lambda: App("a").stream("in", value="str"),  # type: ignore[call-overload]
        "step 'in-source', value=: a type or a Serde was expected, found 'str'",
    ),
    "a type in quotes of a topic": (
        lambda: App("a").topic("orders", key=str, value="str"),  # type: ignore[call-overload]
        "topic 'orders', value=: a type or a Serde was expected, found 'str'",
    ),
    "a windowed key of no size": (
        lambda: App("a").stream("in", key=Windowed[str], value=int),
        r"the bytes of a windowed key do not hold the window's size; write key=serdes.windowed\(str, \"5m\"\)",
    ),
    "branches in a list": (
        lambda: s().split([lambda v: True]),  # type: ignore[arg-type, list-item, misc]
        r"a split needs at least one branch: split\({\"name\": predicate}",
    ),
    "a window in quotes": (
        lambda: s().group_by_key().windowed_by("1m"),  # type: ignore[arg-type]
        r"windowed_by takes a window such as tumbling\(\"1m\"\), not '1m'",
    ),
    "a retention that is too short": (
        lambda: s().group_by_key().windowed_by(tumbling("1m")).count(retention="1s", name="n"),
        "step 'n': a retention of 1000 ms would forget windows that are still open",
    ),
    "an emit that is none": (
        lambda: s().group_by_key().windowed_by(tumbling("1m")).count(emit="final", name="n"),  # type: ignore[arg-type]
        "step 'n': emit is 'final'; write 'on_update' or 'on_close'",
    ),
    "an endless loop": (lambda: s().to("in"), "step 'in-sink' writes every record of topic 'in' to 'in' again"),
    "no topic": (lambda: s().to(None), "step 'in-sink': a topic is a name, app.topic"),  # type: ignore[arg-type]
    "a partitioner of one argument": (
        lambda: s().to("out", partitioner=lambda key: 0),  # type: ignore[arg-type, misc]
        r"step 'in-sink': its partitioner .* write it as f\(topic, key, value, partitions\)",
    ),
    "a topic nobody reads": (
        lambda: driver().input_topic("inn"),
        "no step reads topic 'inn'; the script names 'in', 'out'",
    ),
    "a store that is not there": (lambda: driver().store("x"), "there is no store 'x'; known are none"),
    "a partition that is not there": (
        lambda: driver().input_topic("in").pipe("k", "v", partition=4),
        "topic 'in' has the partitions 0 to 0, not 4",
    ),
    "a test's value of the wrong type": (
        lambda: driver().input_topic("in").pipe("k", 7),
        "topic 'in' takes string and string: expected str, got int 7",
    ),
    "a test's commit that is none": (
        lambda: TopologyTestDriver(App("a"), commit="never"),  # type: ignore[arg-type]
        "commit is 'never'; write 'every_record' or 'manual'",
    ),
    "no partitions": (lambda: TopologyTestDriver(App("a"), partitions=0), "partitions is 0; it must be a whole number"),
    "the size of a window as a number": (
        lambda: serdes.windowed(str, 60),  # type: ignore[arg-type]
        "the size of a window is 60; write a timedelta or a text",
    ),
}


def driver() -> TopologyTestDriver:
    app = App("app")
    s(app).to("out")
    return TopologyTestDriver(app)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_readable_line(mistake: str) -> None:
    make, text = MISTAKES[mistake]
    with pytest.raises(StreamflowError, match=text) as told:
        make()
    assert "\n" not in str(told.value) and len(str(told.value)) < 400
