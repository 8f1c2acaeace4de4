"""Long runs of the simulation; see the package's own words for how to call it."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
from collections import Counter

from .world import Options, Result, run


def _quietly(job: tuple[int, Options]) -> Result:
    logging.disable(logging.CRITICAL)
    result = run(*job)
    result.trace = None
    return result


def many(start: int, runs: int, options: Options, jobs: int) -> int:
    """Run seeds; tells each violated one and, in the end, what happened and what never did."""
    began = time.monotonic()
    happened: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    violated = 0
    with multiprocessing.Pool(jobs) as pool:
        work = ((seed, options) for seed in range(start, start + runs))
        for result in pool.imap(_quietly, work, chunksize=4):
            happened.update(result.happened)
            passed.update(result.passed)
            errors.update(error.partition(":")[0] for error in result.errors.elements())
            if result.violations:
                violated += 1
                print(f"seed {result.seed}: {result.violations[:3]}", flush=True)
    hit = {name.rsplit(": ", 1)[0] for name in happened}
    missed = sorted(set(passed) - hit)
    print(f"{runs} runs from seed {start}, {violated} violated, {time.monotonic() - began:.0f} s")
    print(f"happened: {dict(happened.most_common())}")
    print(f"workers ended by: {dict(errors)}")
    print(f"points: {len(passed)}, without a fault: {missed or 'none'}")
    return violated


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("runs", type=int, nargs="?", default=500)
    parser.add_argument("--from", type=int, default=0, dest="start")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--rate", type=float, help="share of fault points that fail; drawn from the seed if not given")
    parser.add_argument("--seed", type=int, help="one run, with the product's own log messages")
    options = parser.parse_args()
    if options.seed is None:
        return min(1, many(options.start, options.runs, Options(rate=options.rate), options.jobs))
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    result = run(options.seed, Options(rate=options.rate))
    print(f"{result.turns} turns, {result.points} points, {result.seconds:.1f} s; happened {dict(result.happened)}")
    print(f"workers ended by {dict(result.errors)}")
    print("\n".join(result.violations) or "no violation")
    return min(1, len(result.violations))


if __name__ == "__main__":
    sys.exit(main())
