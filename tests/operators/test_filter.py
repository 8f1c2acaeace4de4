"""Filter: what passes, what does not, and that nothing of a record changes."""

from __future__ import annotations

from streamflow.operators.filter import Filter

from .bench import Bench, function, sink, source, step


def test_a_filter_passes_what_its_predicate_holds_for() -> None:
    long = Filter(function(lambda value: len(value) > 1, "predicate"))
    bench = Bench(source(), step("long", long), sink("long"))

    bench.pipe("a", "x", 1)
    bench.pipe("b", "xy", 2)

    assert bench.out() == [("b", "xy", 2)]
