"""The filter in front of a repartition topic."""

from __future__ import annotations

from streamflow.operators.repartition_filter import DropNullKeys
from tests.operators.bench import Bench, sink, source, step


def test_records_without_a_key_are_left_out_uncounted() -> None:
    bench = Bench(source(), step("rf", DropNullKeys()), sink("rf"))

    bench.pipe(None, "x")
    bench.pipe("k", None)

    assert bench.out() == [("k", None, 0)]
    assert not bench.drops
