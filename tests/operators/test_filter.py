"""Filter: what passes, and that nothing of a record changes."""

from __future__ import annotations

from streamflow.operators.filter import Filter
from tests.operators.bench import Bench, function, sink, source, step


def test_a_filter_passes_what_its_predicate_holds_for() -> None:
    bench = Bench(source(), step("long", Filter(function(lambda value: len(value) > 1, "predicate"))), sink("long"))

    bench.pipe("a", "x", 1)
    bench.pipe("b", "xy", 2, headers=[("h", b"1")])

    assert bench.raw_out() == [(b"b", b"xy", 2, [("h", b"1")])]


def test_a_negated_filter_passes_the_rest() -> None:
    bench = Bench(source(), step("short", Filter(function(len, "predicate"), negate=True)), sink("short"))

    bench.pipe("a", "")
    bench.pipe("b", "xy")

    assert bench.out() == [("a", "", 0)]


def test_a_predicate_may_answer_with_any_object_that_is_true() -> None:
    for negate, passed in ((False, ["x"]), (True, [""])):
        bench = Bench(source(), step("f", Filter(function(lambda value: value, "predicate"), negate)), sink("f"))
        bench.pipe("a", "x")
        bench.pipe("a", "")
        assert [value for _, value, _ in bench.out()] == passed


def test_a_predicate_of_two_arguments_is_given_the_key() -> None:
    bench = Bench(source(), step("f", Filter(function(lambda key, value: key == value, "predicate"))), sink("f"))

    bench.pipe("a", "b")
    bench.pipe("b", "b")

    assert bench.out() == [("b", "b", 0)]


def test_a_null_value_is_shown_to_the_predicate() -> None:
    bench = Bench(source(), step("f", Filter(function(lambda value: value is None, "predicate"))), sink("f"))

    bench.pipe("a", None, 3)

    assert bench.out() == [("a", None, 3)]
