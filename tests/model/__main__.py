"""Long runs of the model; see the package's own words for how to call it."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from typing import NamedTuple

from .mutants import IMMUNE, MUTANTS
from .world import VARIANTS, Variant, run

SLICE = 250


class Tally(NamedTuple):
    """What some seeds of one variant gave."""

    name: str
    runs: int
    violated: list[int]
    reasons: Counter[str]
    faults: Counter[str]


def known() -> dict[str, Variant]:
    """Every variant by the name it has on the command line."""
    mutants = {f"mutant {name}": mutant.variant for name, mutant in MUTANTS.items()}
    immune = {f"immune to {name}": mutant.variant for name, mutant in IMMUNE.items()}
    return {**VARIANTS, **mutants, **immune}


def tally(job: tuple[str, int, int]) -> Tally:
    """Run seeds ``start`` to ``stop`` of one variant."""
    name, start, stop = job
    result = Tally(name, stop - start, [], Counter(), Counter())
    for seed in range(start, stop):
        world = run(seed, known()[name])
        result.faults.update(world.stats)
        if world.violations:
            result.violated.append(seed)
            result.reasons.update(set(world.violations))
    return result


def one(seed: int, name: str) -> int:
    world = run(seed, known()[name])
    print(f"{name}, seed {seed}: {dict(world.stats)}")
    print("\n".join(world.violations) or "no violation")
    return bool(world.violations)


def many(names: list[str], start: int, runs: int) -> int:
    """All seeds of all variants; tells the violated ones. Non-zero when a sound variant is violated."""
    began = time.monotonic()
    jobs = [
        (name, first, min(first + SLICE, start + runs)) for name in names for first in range(start, start + runs, SLICE)
    ]
    unsound = 0
    totals = {name: Tally(name, 0, [], Counter(), Counter()) for name in names}
    with multiprocessing.Pool() as pool:
        for part in pool.imap(tally, jobs):
            total = totals[part.name]
            part.faults.update(total.faults)
            part.reasons.update(total.reasons)
            total = Tally(part.name, total.runs + part.runs, total.violated + part.violated, part.reasons, part.faults)
            totals[part.name] = total
            if total.runs == runs:
                print(f"{total.name}: {total.runs} runs, {len(total.violated)} violated {total.violated[:5]}")
                print(f"    {dict(total.reasons) or dict(total.faults)}", flush=True)
                unsound += bool(total.violated) and not total.name.startswith("mutant")
    print(f"{time.monotonic() - began:.0f} s")
    return unsound


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model")
    parser.add_argument("runs", type=int, nargs="?", default=2000)
    parser.add_argument("--from", type=int, default=0, dest="start")
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--seed", type=int)
    parser.add_argument("only", nargs="*", help="names of variants")
    options = parser.parse_args()
    if options.seed is not None:
        return max(one(options.seed, name) for name in options.only or VARIANTS)
    names = [name for name in known() if name not in VARIANTS] if options.mutants else list(VARIANTS)
    return many(options.only or names, options.start, options.runs)


if __name__ == "__main__":
    sys.exit(main())
