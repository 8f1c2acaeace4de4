"""Types flow through the words: what is right checks under two type checkers, and each wrong line is found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "typing"
REPOSITORY = HERE.parents[1]


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
    return errors(path, command)


def basedpyright(path: Path, tmp_path: Path) -> list[int]:
    """The lines in which basedpyright finds an error."""
    settings = {"typeCheckingMode": "standard", "pythonVersion": "3.11", "extraPaths": [str(REPOSITORY)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    copy = tmp_path / path.name
    copy.write_text(path.read_text())
    return errors(path, [sys.executable, "-m", "basedpyright", "-p", str(tmp_path), str(copy)])


def errors(path: Path, command: list[str]) -> list[int]:
    told = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    return sorted({int(line) for line in re.findall(rf"{path.name}:(\d+)(?::\d+)?(?::| -) error", told.stdout)})


def marked(path: Path, checker: str) -> list[int]:
    lines = enumerate(path.read_text().splitlines(), 1)
    return [number for number, line in lines if line.endswith(("# error", f"# error in {checker}"))]


def test_mypy_passes_what_is_right_and_finds_every_wrong_line(tmp_path: Path) -> None:
    assert mypy(HERE / "right.py", tmp_path) == []
    assert mypy(HERE / "wrong.py", tmp_path) == marked(HERE / "wrong.py", "mypy")


def test_basedpyright_passes_what_is_right_and_finds_every_wrong_line(tmp_path: Path) -> None:
    assert basedpyright(HERE / "right.py", tmp_path) == []
    assert basedpyright(HERE / "wrong.py", tmp_path) == marked(HERE / "wrong.py", "basedpyright")
