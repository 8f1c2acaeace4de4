"""The recorded runs: one JSON line each, with the commit and the machine they were made on."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

HISTORY = Path(__file__).parent / "results" / "history.jsonl"


@dataclass(frozen=True)
class Machine:
    """What a figure depends on beside the code."""

    cpu: str
    cores: int
    python: str
    system: str


@dataclass(frozen=True)
class Run:
    """One run of the benchmark: the value of every repetition per figure, in the figure's own unit."""

    when: str
    commit: str
    machine: Machine
    figures: dict[str, list[float]]

    def median(self, name: str) -> float | None:
        """The middle of a figure's repetitions, or None when it was not measured."""
        values = self.figures.get(name)
        return median(values) if values else None


def this_machine() -> Machine:
    """Processor, cores we may use, Python and system."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.partition(":")[2].strip() for line in info.open() if line.startswith("model name")), cpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    system = f"{platform.system()} {platform.release()}"
    return Machine(cpu, cores, f"{platform.python_implementation()} {platform.python_version()}", system)


def this_commit() -> str:
    """The short id of HEAD, with ``+`` when the tree differs from it."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=HISTORY.parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()


def run_of(figures: dict[str, list[float]]) -> Run:
    """A run made here and now."""
    return Run(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), this_commit(), this_machine(), figures)


def read(path: Path = HISTORY) -> list[Run]:
    """All recorded runs, oldest first."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=Run) for line in path.read_bytes().splitlines() if line]


def record(run: Run, path: Path = HISTORY) -> None:
    """Append a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as out:
        out.write(msgspec.json.encode(run) + b"\n")


def last_with(name: str, runs: list[Run], machine: Machine) -> Run | None:
    """The newest run that has a figure, of a like machine only: figures of two machines say nothing together."""
    like = [run for run in runs if run.figures.get(name) and run.machine.cpu == machine.cpu]
    return next((run for run in reversed(like) if run.machine.cores == machine.cores), None)
