"""Split, branch and merge: where a record goes."""

from __future__ import annotations

from streamflow.operators.merge import Merge
from streamflow.operators.split import Branch, Split
from streamflow.topology import Step
from tests.operators.bench import Bench, function, sink, source, step


def split(default: bool) -> list[Step]:
    predicates = (
        function(lambda value: "a" in value, "predicate"),
        function(lambda key, value: "b" in value, "predicate"),
    )
    names = ["first", "second", "rest"][: 3 if default else 2]
    branches = [step(name, Branch(), "split") for name in names]
    sinks = [sink(name, name=f"{name}-out") for name in names]
    return [source(), step("split", Split(predicates, default)), *branches, *sinks]


def test_the_first_predicate_that_holds_decides() -> None:
    bench = Bench(*split(default=True))

    for value in ("b", "ab", "a", "c"):
        bench.pipe("k", value)

    assert [value for _, value, _ in bench.out("first-out")] == ["ab", "a"]
    assert [value for _, value, _ in bench.out("second-out")] == ["b"]
    assert [value for _, value, _ in bench.out("rest-out")] == ["c"]


def test_without_a_default_what_matches_nothing_goes_nowhere() -> None:
    bench = Bench(*split(default=False))

    bench.pipe("k", "c", 1)
    bench.pipe("k", "b", 2)

    assert bench.out("first-out") == [] and bench.out("second-out") == [("k", "b", 2)]


def test_a_branch_nobody_goes_on_from_swallows_its_records() -> None:
    steps = [each for each in split(default=True) if each.name != "first-out"]
    bench = Bench(*steps)

    bench.pipe("k", "a")
    bench.pipe("k", "c")

    assert bench.out("rest-out") == [("k", "c", 0)]


def test_merge_passes_on_what_any_parent_emits_as_it_comes() -> None:
    bench = Bench(source("left"), source("right"), step("m", Merge(), "left", "right"), sink("m"))

    bench.pipe("a", "1", 5, topic="left")
    bench.pipe("b", "2", 3, topic="right")
    bench.pipe("c", "3", 4, topic="left")

    assert bench.out() == [("a", "1", 5), ("b", "2", 3), ("c", "3", 4)]


def test_a_stream_merged_with_itself_comes_twice() -> None:
    bench = Bench(source(), step("m", Merge(), "in", "in"), sink("m"))

    bench.pipe("a", "1")

    assert bench.out() == [("a", "1", 0)] * 2
