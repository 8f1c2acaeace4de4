"""Types flow through the words: what is right checks under mypy --strict, and each wrong line is found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "typing"


def mypy(path: Path, tmp_path: Path) -> list[int]:
    """The lines in which mypy --strict finds an error."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(tmp_path),
        "--follow-imports=silent",
        str(path),
    ]
    told = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1])
    return sorted({int(line) for line in re.findall(rf"{path.name}:(\d+): error", told.stdout)})


def test_what_is_right_checks_and_every_wrong_line_is_found(tmp_path: Path) -> None:
    wrong = HERE / "wrong.py"
    marked = [number for number, line in enumerate(wrong.read_text().splitlines(), 1) if line.endswith("# error")]
    assert mypy(HERE / "right.py", tmp_path) == []
    assert mypy(wrong, tmp_path) == marked
