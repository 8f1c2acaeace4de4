"""Where there is no playwright the page is not tested, and that is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_without_playwright_one_loud_line_says_that_the_page_is_not_tested(tmp_path: Path) -> None:
    (tmp_path / "playwright.py").write_text("raise ImportError('none here')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "tests/browser",
               "--deselect", "tests/browser/test_needed.py"]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert len(lines) == 1, done.stdout + done.stderr
    assert "THE PAGE IS NOT TESTED: playwright is missing" in lines[0]
    assert "error" not in done.stdout.lower()
