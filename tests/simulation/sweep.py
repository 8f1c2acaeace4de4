"""Many seeds on all cores, and what came of them."""

from __future__ import annotations

import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from .world import Options, Result, run


@dataclass
class Sweep:
    """Totals over the runs."""

    runs: int = 0
    violated: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    happened: Counter[str] = field(default_factory=Counter[str])
    passed: Counter[str] = field(default_factory=Counter[str])
    errors: Counter[str] = field(default_factory=Counter[str])

    def add(self, result: Result) -> None:
        self.runs += 1
        self.happened.update(result.happened)
        self.passed.update(result.passed)
        self.errors.update(error.partition(":")[0] for error in result.errors.elements())
        if result.violations:
            self.violated[result.seed] = result.violations

    @property
    def missed(self) -> list[str]:
        """Points that were passed and at which nothing ever happened."""
        hit = {name.rsplit(": ", 1)[0] for name in self.happened}
        return sorted(self.passed.keys() - hit)

    @property
    def covered(self) -> float:
        """Share of the points at which something happened."""
        return 1 - len(self.missed) / len(self.passed)


def quietly(job: tuple[int, Options]) -> Result:
    """One run without the product's log messages."""
    logging.disable(logging.CRITICAL)
    try:
        return run(*job)
    finally:
        logging.disable(logging.NOTSET)


def sweep(work: Iterable[tuple[int, Options]], jobs: int | None = None, tell: bool = False) -> Sweep:
    """Run them all; ``tell`` prints each violated seed at once."""
    total = Sweep()
    with multiprocessing.Pool(jobs) as pool:
        for result in pool.imap(quietly, work, chunksize=4):
            total.add(result)
            if tell and result.violations:
                print(f"seed {result.seed}: {result.violations[:3]}", flush=True)
    return total
