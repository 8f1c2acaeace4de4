"""Fusing: chains, forks, several topics, and which step an error belongs to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.errors import SerdeError
from streamflow.fuse import step_of
from streamflow.operators.aggregate import Count, Reduce
from streamflow.operators.filter import Filter
from streamflow.operators.map import FlatMapValues, Map, MapValues, SelectKey
from streamflow.operators.merge import Merge
from streamflow.operators.peek import Foreach
from streamflow.operators.split import Branch, Split
from streamflow.operators.table_ops import TableMapValues, ToStream
from streamflow.operators.table_source import TableSource
from streamflow.serdes import Serde, int64, string
from streamflow.state.spec import StoreSpec
from streamflow.topology import Source, Step
from tests.operators.bench import Bench, OldAndNew, Raw, function, sink, source, step

BOOM = function(lambda value: 1 // 0)


def blamed(bench: Bench, **record: Any) -> str:
    """The step that an error is laid to."""
    with pytest.raises(Exception) as caught:
        bench.pipe(record.pop("key", "k"), record.pop("value", "v"), **record)
    return step_of(caught.value.__traceback__, "nobody")


def test_steps_after_a_fork_each_get_every_record_in_the_order_declared() -> None:
    seen: list[Any] = []
    names = ["a", "b", "c"]
    for count in (1, 2, 3):
        seen.clear()
        ends = [
            step(name, Foreach(function(lambda value, name=name: seen.append((name, value)), "action")))
            for name in names[:count]
        ]
        Bench(source(), *ends).pipe("k", "v")
        assert seen == [(name, "v") for name in names[:count]]


def test_a_table_may_fork_too() -> None:
    seen: list[Any] = []
    bench = Bench(
        source(),
        step("t", TableSource(None)),
        step("x", OldAndNew(seen), "t"),
        step("m", TableMapValues(function(str.upper)), "t"),
        step("y", OldAndNew(seen), "m"),
        step("r", ToStream(), "t"),
        sink("r"),
    )
    bench.pipe("k", "v")
    assert seen == [("k", "v", None), ("k", "V", None)] and bench.out() == [("k", "v", 0)]


def test_a_source_nobody_reads_is_read_all_the_same() -> None:
    Bench(source()).pipe("k", "v")


def test_each_topic_of_a_source_has_its_entry() -> None:
    both = Step("both", Source(("a", "b"), string, string))
    bench = Bench(both, source("c"), sink("both"), sink("c", name="out2"))

    for topic in "abc":
        bench.pipe("k", topic, topic=topic)

    assert [value for _, value, _ in bench.out()] == ["a", "b"] and bench.out("out2") == [("k", "c", 0)]


def test_two_source_steps_may_read_one_topic_each_in_its_own_way() -> None:
    one, two = Step("one", Source(("t",), string, string)), Step("two", Source(("t",), string, int64))
    bench = Bench(
        one,
        two,
        sink("one", name="o1"),
        step("plus", MapValues(function(lambda n: n + 1)), "two"),
        sink("plus", name="o2", value=int64),
    )

    entries = bench.entries["t"]

    assert [entry.step for entry in entries] == ["one", "two"]
    assert entries[0].value is None and entries[1].value is int64.deserialize
    assert entries[0].read_value(b"12345678") == "12345678"


def test_an_entry_carries_the_users_timestamps() -> None:
    def when(key: Any, value: Any, context: Any) -> int:
        return 3

    assert Bench(Step("in", Source(("in",), string, string, timestamp=when))).entries["in"][0].timestamp is when


def test_an_error_belongs_to_the_step_whose_function_raised() -> None:
    fine = MapValues(function(lambda value: value))
    chain = [source(), step("a", fine), step("b", fine, "a"), step("c", fine, "b"), sink("c")]
    for at, name in ((1, "a"), (2, "b"), (3, "c")):
        steps = list(chain)
        steps[at] = step(name, MapValues(BOOM), *chain[at].parents)
        assert blamed(Bench(*steps)) == name


def test_an_error_in_a_builtin_belongs_to_the_step_that_called_it() -> None:
    assert blamed(Bench(source(), step("a", MapValues(function(int))), sink("a"))) == "a"


def test_an_error_deep_in_a_users_function_belongs_to_its_step() -> None:
    def outer(value: str) -> Any:
        def inner() -> Any:
            return sum(1 // 0 for _ in value)

        return inner()

    assert blamed(Bench(source(), step("a", Filter(function(outer, "predicate"))), sink("a"))) == "a"


def test_an_error_in_a_generator_belongs_to_the_step_that_runs_it() -> None:
    def failing(value: str) -> Any:
        yield value
        raise ValueError

    steps = [source(), step("a", FlatMapValues(function(failing))), step("b", MapValues(function(str.upper)), "a")]
    assert blamed(Bench(*steps)) == "a"


def test_an_error_while_writing_belongs_to_the_sink() -> None:
    assert blamed(Bench(source(), step("a", MapValues(function(len))), sink("a"))) == "out"
    failing = sink("in", topic=lambda *_: 1 // 0)
    assert blamed(Bench(source(), failing)) == "out"


def test_an_error_in_a_store_belongs_to_the_step_that_uses_it() -> None:
    unwritable: Serde[Any] = Serde(_fails, _fails, "unwritable")
    bench = Bench(
        source(),
        step("agg", Reduce("s", function(lambda total, value: value, "reducer"))),
        step("r", ToStream(), "agg"),
        stores=[StoreSpec("s", "key_value", string, unwritable)],
    )
    assert blamed(bench) == "agg"


def test_steps_that_only_pass_on_take_no_blame_and_give_none_away() -> None:
    split = step("split", Split((function(lambda value: True, "predicate"),)))
    steps = [source(), split, step("branch", Branch(), "split"), step("merge", Merge(), "branch", "in")]
    assert blamed(Bench(*steps, step("a", MapValues(BOOM), "merge"))) == "a"
    assert blamed(Bench(source(), step("p", Split((BOOM,))), step("q", Branch(), "p"))) == "p"


def test_an_error_before_any_step_is_nobodys() -> None:
    bench = Bench(source(value=int64), step("a", MapValues(BOOM)))
    with pytest.raises(SerdeError) as caught:
        bench.feed(Raw(b"k", b"not eight bytes", 0))
    assert step_of(caught.value.__traceback__, "nobody") == "nobody"


def test_twin_steps_are_told_apart() -> None:
    bench = Bench(
        source(),
        step("first", Count("one")),
        step("r1", ToStream(), "first"),
        sink("r1", name="o1", value=int64),
        step("second", Count("two")),
        step("r2", ToStream(), "second"),
        step("boom", MapValues(BOOM), "r2"),
        stores=[StoreSpec("one", "key_value", string, int64), StoreSpec("two", "key_value", string, int64)],
    )
    assert blamed(bench) == "boom"
    names = {fn.__code__.co_name for fn in _chain(bench.entries["in"][0].process)}
    assert {"first", "second", "r1", "r2", "boom"} <= names


def _fails(value: Any) -> Any:
    return 1 // 0


def _chain(fn: Any) -> list[Any]:
    """A fused function and all it calls, by its cells."""
    cells = [cell.cell_contents for cell in fn.__closure__ or ()]
    return [fn, *(below for cell in cells if hasattr(cell, "__code__") for below in _chain(cell))]


# --- chains of steps against plain Python

WORDS: dict[str, Any] = {
    "even": lambda records: [r for r in records if r[1] % 2 == 0],
    "big": lambda records: [r for r in records if r[0] + r[1] > 3],
    "plus": lambda records: [(k, v + 1, t) for k, v, t in records],
    "sum": lambda records: [(k, k + v, t) for k, v, t in records],
    "twice": lambda records: [(k, each, t) for k, v, t in records for each in (v, v)],
    "key": lambda records: [(v, v, t) for _, v, t in records],
    "swap": lambda records: [(v, k, t) for k, v, t in records],
}
OPERATORS: dict[str, Any] = {
    "even": Filter(function(lambda v: v % 2, "predicate"), negate=True),
    "big": Filter(function(lambda k, v: k + v > 3, "predicate")),
    "plus": MapValues(function(lambda v: v + 1)),
    "sum": MapValues(function(lambda k, v: k + v)),
    "twice": FlatMapValues(function(lambda v: (v, v))),
    "key": SelectKey(function(lambda v: v)),
    "swap": Map(function(lambda k, v: (v, k))),
}


@given(
    st.lists(st.sampled_from(sorted(OPERATORS)), max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9)), max_size=8),
)
def test_a_chain_of_steps_does_what_plain_python_does(words: list[str], records: list[tuple[int, int, int]]) -> None:
    steps = [source(key=int64, value=int64)]
    for place, word in enumerate(words):
        steps.append(step(f"{word}-{place}", OPERATORS[word], steps[-1].name))
    bench = Bench(*steps, sink(steps[-1].name, key=int64, value=int64))
    expected: list[Any] = list(records)
    for word in words:
        expected = WORDS[word](expected)

    for record in records:
        bench.pipe(*record)

    assert bench.out() == expected
