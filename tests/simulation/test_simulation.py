"""The product in the simulation: some hundred seeds, and a crash at every operation of one fixed run.

`python -m tests.simulation --seed N` shows a seed that fails here.
"""

from __future__ import annotations

import os
from dataclasses import replace

from .sweep import sweep
from .world import Options, run

SEEDS = int(os.environ.get("STREAMFLOW_SIMULATION_SEEDS", "400"))
CRASHES = int(os.environ.get("STREAMFLOW_SIMULATION_CRASHES", "200"))
FIXED = Options(records=200, processes=2, calm=True, fast=False)

MUST_HAPPEN = (
    "kill",
    "hang",
    "stop",
    "join",
    "restart",
    "clock",
    "power",
    "zombie: stalled before its commit",
    "worker: fenced",
    "worker: doubtful",
    "worker: stores_rebuilt",
    "sql commit, before: crash",
    "sql commit, after: crash",
    "sql commit, after: io error",
    "store write, before: crash",
    "store write, after: crash",
    "store write, before: stalled",
)


def test_no_seed_violates_what_was_promised() -> None:
    total = sweep((seed, Options()) for seed in range(SEEDS))
    print(f"seeds 0 to {SEEDS - 1}; {len(total.passed)} fault points, without a fault: {total.missed or 'none'}")
    print(f"happened: {dict(total.happened.most_common())}")
    print(f"workers ended by: {dict(total.errors)}")

    assert not total.violated, f"{len(total.violated)} of {SEEDS} seeds, first {next(iter(total.violated.items()))}"
    assert total.covered >= 0.95, f"fault points that never saw a fault: {total.missed}"
    for fault in MUST_HAPPEN:
        assert total.happened[fault], f"{fault}: never happened in {SEEDS} seeds"


def test_a_crash_at_any_operation_of_a_fixed_run_is_recovered_from() -> None:
    """Every n-th operation: as many crashes as `STREAMFLOW_SIMULATION_CRASHES` says, spread evenly over the run (0: at all)."""
    points = run(0, FIXED).points
    step = max(1, points // CRASHES) if CRASHES else 1
    work = [(0, replace(FIXED, crash_at=n)) for n in range(1, points + 1, step)]
    total = sweep(work)
    crashes = sum(count for name, count in total.happened.items() if name.endswith(": crash"))
    print(f"{points} operations, a crash at {len(work)} of them, {crashes} happened")

    assert not total.violated
    assert crashes == len(work)


def test_the_same_seed_is_the_same_run() -> None:
    first, second = run(11), run(11)

    assert (first.turns, first.points, first.seconds) == (second.turns, second.points, second.seconds)
    assert first.happened == second.happened
    assert first.violations == second.violations
