"""What a record costs as the number of keys, or of partitions, grows: measured, kept, and drawn as one SVG.

python -m bench.plot            measure (some minutes), keep in results/growth.jsonl and draw results/growth.svg
python -m bench.plot --draw     draw the newest kept measurement again
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from math import log10
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console

from bench.ledger import Machine, this_commit, this_machine

RESULTS = Path(__file__).parent / "results"
KEYS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
MOST_RECORDS = 10_000_000
PARTITIONS = (1, 4, 16, 64)
RECORDS = 400_000
PROGRAM = """
import sys, tempfile
from pathlib import Path
from bench.figures import engine
keys, partitions, records = map(int, sys.argv[1:])
with tempfile.TemporaryDirectory() as home:
    print(engine("count", records, 1.0, Path(home), keys=keys, partitions=partitions))
"""

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, INSET = 420, 260, 56, 44, 46, 24
STYLE = """<style>
.panel{font:12px sans-serif;fill:#333} .axis{stroke:#888;stroke-width:1} .line{fill:none;stroke:#1668a8;stroke-width:2}
.dot{fill:#1668a8} .grid{stroke:#ddd;stroke-width:1} .title{font:bold 13px sans-serif}
@media (prefers-color-scheme:dark){.panel{fill:#ddd}.grid{stroke:#444}.line{stroke:#6db3e8}.dot{fill:#6db3e8}}
</style>"""


@dataclass(frozen=True)
class Growth:
    """Microseconds of CPU per record of a count; keys and partitions as text, as JSON has no other keys."""

    when: str
    commit: str
    machine: Machine
    keys: dict[str, float]
    partitions: dict[str, float]


def cost(keys: int, partitions: int, records: int, repeats: int) -> float:
    """The median of some processes, each alone."""
    command = [sys.executable, "-c", PROGRAM, str(keys), str(partitions), str(records)]
    root = Path(__file__).parents[1]
    rates = [
        float(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout)
        for _ in range(repeats)
    ]
    return 1e6 / median(rates)


def measure(repeats: int, console: Console) -> Growth:
    """Both series. With more keys come more records, so that a key is met twice on average; once for the most
    keys, which are measured once, too."""
    by_keys: dict[str, float] = {}
    for keys in KEYS:
        by_keys[str(keys)] = cost(
            keys, 4, max(RECORDS, min(2 * keys, MOST_RECORDS)), repeats if keys < MOST_RECORDS else 1
        )
        console.print(f"{keys:,} keys: {by_keys[str(keys)]:.2f} µs a record", style="dim")
    by_partitions: dict[str, float] = {}
    for partitions in PARTITIONS:
        by_partitions[str(partitions)] = cost(10_000, partitions, RECORDS, repeats)
        console.print(f"{partitions} partitions: {by_partitions[str(partitions)]:.2f} µs a record", style="dim")
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Growth(when, this_commit(), this_machine(), by_keys, by_partitions)


def panel(title: str, values: dict[str, float], left: int, top_value: float) -> str:
    """One chart: a logarithmic axis to the right, microseconds upwards from 0."""
    points = [(int(x), y) for x, y in values.items()]
    low, high = log10(points[0][0]), log10(points[-1][0])
    bottom, right = HEIGHT - BOTTOM, WIDTH - 20

    def across(x: int) -> float:
        return left + LEFT + INSET + (log10(x) - low) / (high - low) * (right - LEFT - 2 * INSET)

    def up(y: float) -> float:
        return bottom - y / top_value * (bottom - TOP)

    drawn = [f'<text class="title" x="{left + LEFT}" y="24">{title}</text>']
    for step in range(5):
        y = top_value * step / 4
        drawn.append(f'<line class="grid" x1="{left + LEFT}" x2="{left + right}" y1="{up(y):.1f}" y2="{up(y):.1f}"/>')
        drawn.append(f'<text x="{left + LEFT - 8}" y="{up(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
    drawn.append(f'<polyline class="line" points="{path}"/>')
    for x, y in points:
        drawn.append(f'<circle class="dot" cx="{across(x):.1f}" cy="{up(y):.1f}" r="4"/>')
        drawn.append(f'<text x="{across(x):.1f}" y="{up(y) - 9:.1f}" text-anchor="middle">{y:.1f}</text>')
        drawn.append(f'<text x="{across(x):.1f}" y="{bottom + 20}" text-anchor="middle">{x:,}</text>')
    return "\n".join(drawn)


def draw(growth: Growth) -> str:
    """Both charts on one scale, so that they can be compared by eye."""
    most = max(*growth.keys.values(), *growth.partitions.values())
    top = 4 * (int(most * 1.2) // 4 + 1)
    machine = f"{growth.machine.cpu}, {growth.machine.cores} cores, {growth.machine.python}, {growth.commit}"
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT + 20}" class="panel">',
        STYLE,
        panel("count: µs of CPU a record, by number of keys", growth.keys, 0, top),
        panel("by number of partitions (10,000 keys)", growth.partitions, WIDTH, top),
        f'<text x="{LEFT}" y="{HEIGHT + 12}">{machine}</text>',
        "</svg>\n",
    ))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draw", action="store_true", help="draw the newest kept measurement, measure nothing")
    parser.add_argument("--repeats", type=int, default=3, help="how often each point is measured (3)")
    asked = parser.parse_args()
    kept = RESULTS / "growth.jsonl"
    RESULTS.mkdir(exist_ok=True)
    if not asked.draw:
        with kept.open("ab") as out:
            out.write(msgspec.json.encode(measure(asked.repeats, Console())) + b"\n")
    newest = msgspec.json.decode(kept.read_bytes().splitlines()[-1], type=Growth)
    (RESULTS / "growth.svg").write_text(draw(newest))


if __name__ == "__main__":
    main()
