"""Run the benchmark: each figure in a fresh process, several times in turn, the medians beside the last recorded ones.

python -m bench                     all of it
python -m bench engine latency      the figures whose names begin so
python -m bench --quick             once each and short, to see whether it runs
python -m bench --record            keep the medians in bench/results/history.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figures import FIGURES, Figure
from bench.ledger import Run, last_with, read, record, run_of

ROOT = Path(__file__).parents[1]


def measured(figure: Figure, scale: float) -> float:
    """One repetition, in a process of its own so that no figure warms another's caches."""
    told = subprocess.run(
        [sys.executable, "-m", "bench.figures", figure.name, str(scale)],
        cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True,
    )  # fmt: skip
    if told.returncode:
        raise SystemExit(f"{figure.name} failed:\n{told.stderr.strip()}")
    return float(json.loads(told.stdout.splitlines()[-1]))


def table(run: Run, before: list[Run]) -> Table:
    """The medians, and how they differ from the last recorded run on a like machine."""
    shown = Table(title=f"streamflow {run.commit}, {run.machine.cpu}, {run.machine.cores} cores, {run.machine.python}")
    for heading in ("figure", "median", "unit", "spread", "last recorded", "change"):
        shown.add_column(heading, justify="left" if heading in ("figure", "unit") else "right")
    for figure in FIGURES:
        now = run.median(figure.name)
        if now is None:
            continue
        values = run.figures[figure.name]
        spread = f"{(max(values) - min(values)) / now:.0%}" if now else ""
        last = last_with(figure.name, before, run.machine)
        then = last.median(figure.name) if last else None
        change = f"{now / then - 1:+.0%}" if then else ""
        beside = f"{then:,.{figure.digits}f} ({last.commit})" if last and then else "none"
        shown.add_row(figure.name, f"{now:,.{figure.digits}f}", figure.unit, spread, beside, change)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="beginnings of figures' names; all if none")
    parser.add_argument("--repeats", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--quick", action="store_true", help="once each, with a tenth of the records")
    parser.add_argument("--record", action="store_true", help="keep the run in bench/results/history.jsonl")
    asked = parser.parse_args()
    chosen = [f for f in FIGURES if not asked.names or f.name.startswith(tuple(asked.names))]
    if not chosen:
        parser.error(
            f"no figure begins with {' or '.join(asked.names)}; there are {', '.join(f.name for f in FIGURES)}"
        )
    repeats = 1 if asked.quick else asked.repeats
    console = Console(width=None if sys.stdout.isatty() else 130)
    found: dict[str, list[float]] = {figure.name: [] for figure in chosen}
    for turn in range(repeats):
        # In turn, not one figure after the other: a slow minute of the machine then falls on all alike.
        for figure in chosen:
            value = measured(figure, 0.1 if asked.quick else 1.0)
            found[figure.name].append(value)
            console.print(f"{turn + 1}/{repeats} {figure.name}: {value:,.{figure.digits}f} {figure.unit}", style="dim")
    run = run_of(found)
    console.print(table(run, read()))
    if asked.record:
        record(run)
        console.print("recorded in bench/results/history.jsonl")


if __name__ == "__main__":
    main()
