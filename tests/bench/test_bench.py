"""The benchmark runs, counts what it says it counts, and compares like with like."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bench.alone import LogForOne
from bench.apps import APPS
from bench.figures import FIGURES
from bench.ledger import last_with, read, record, run_of
from bench.live import percentile
from bench.workers import prepare, run_to_end

OUTPUTS = {
    "stateless": 2_222,
    "count": 5_000,
    "count on commit": 5_000,
    "tumbling": 5_000,
    "join": 5_000,
    "hopping": 25_000,
    "sessions": 9_900,  # an update and, but for each user's first order, a tombstone
    "sliding": 130_291,  # a user's n-th order is in n windows, all within ten seconds
    "streams": 24_368,
    "suppress": 100,  # each user's first minute
    "tables": 5_000,
    "foreign keys": 100,  # at least the newest order of each user: answers to those before may come too late for them
}
"""Of 5,000 orders; amounts run from 1 to 9 in turn, and the even ones pass. ``streams``: 2,500 and as many
payments. No commit is asked to hold updates here."""


ORDERS = {"suppress": 121_000}
"""How many orders it takes, where 5,000 are too few."""


@pytest.mark.parametrize("name", APPS)
def test_a_workload_processes_every_order(name: str, tmp_path: Path) -> None:
    async def written() -> int:
        log = LogForOne()
        planned = await prepare(log, name, ORDERS.get(name, 5_000), keys=100, partitions=2)
        await run_to_end(planned, log, tmp_path)
        out = [tp for tp in log.produced if tp.topic == "out"]
        return sum(ends.end for ends in (await log.offsets(out)).values())

    found = asyncio.run(written())
    assert found == OUTPUTS[name] or (name == "foreign keys" and found > OUTPUTS[name])


@pytest.mark.parametrize("figure", [f for f in FIGURES if f.name in ("engine count", "restore", "end-to-end count")])
def test_a_figure_is_a_positive_number(figure: object, tmp_path: Path) -> None:
    measure = next(each for each in FIGURES if each is figure).measure
    assert measure(0.01, tmp_path) > 0


def test_a_run_is_compared_with_the_last_one_of_a_like_machine_that_has_the_figure(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    first = replace(run_of({"a": [3.0, 1.0, 2.0]}), commit="first")
    other = replace(first, commit="other", machine=replace(first.machine, cores=first.machine.cores + 1))
    for run in (first, other, replace(first, commit="second", figures={"b": [1.0]})):
        record(run, history)

    runs = read(history)
    assert [run.commit for run in runs] == ["first", "other", "second"]
    found = last_with("a", runs, first.machine)
    assert found == first
    assert found.median("a") == 2.0
    assert last_with("c", runs, first.machine) is None


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (51.0, 100.0, 7.0)
