"""Long runs of the simulation; see the package's own words for how to call it."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from .sweep import sweep
from .world import Options, run


def many(start: int, runs: int, options: Options, jobs: int | None) -> int:
    """Run seeds; tells each violated one and, in the end, what happened and what never did."""
    began = time.monotonic()
    total = sweep(((seed, options) for seed in range(start, start + runs)), jobs, tell=True)
    print(f"{runs} runs from seed {start}, {len(total.violated)} violated, {time.monotonic() - began:.0f} s")
    print(f"happened: {dict(total.happened.most_common())}")
    print(f"workers ended by: {dict(total.errors)}")
    print(f"{len(total.passed)} fault points, without a fault: {', '.join(total.missed) or 'none'}")
    return len(total.violated)


def one(seed: int, options: Options) -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    result = run(seed, options)
    print(f"{result.turns} turns, {result.points} points, {result.seconds:.1f} s; happened {dict(result.happened)}")
    print(f"workers ended by {dict(result.errors)}")
    print("\n".join(result.violations) or "no violation")
    return len(result.violations)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("runs", type=int, nargs="?", default=500)
    parser.add_argument("--from", type=int, default=0, dest="start")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--rate", type=float, help="share of fault points that fail; drawn from the seed if not given")
    parser.add_argument("--seed", type=int, help="one run, with the product's own log messages")
    given = parser.parse_args()
    options = Options(rate=given.rate)
    if given.seed is not None:
        return min(1, one(given.seed, options))
    return min(1, many(given.start, given.runs, options, given.jobs))


if __name__ == "__main__":
    sys.exit(main())
