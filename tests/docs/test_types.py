"""A type checker takes the scripts of the pages, those whose mistake is the point left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.pictures import PAGES, Script, name_of, pages, parts

ROOT = PAGES.parents[1]


def test_the_scripts_of_the_pages_type_check(tmp_path: Path) -> None:
    scripts: list[Path] = []
    for page in pages():
        found = [part.text.lstrip("\n") for part in parts(page.read_text()) if isinstance(part, Script)]
        if found:
            scripts.append(tmp_path / f"page_{name_of(page).removesuffix('.md').replace('/', '_')}.py")
            scripts[-1].write_text("\n".join(found))
    assert len(scripts) > 40
    options = ["--check-untyped-defs", "--ignore-missing-imports", "--allow-redefinition", "--follow-imports=silent"]
    command = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", str(ROOT / ".mypy_cache" / "pages")]
    done = subprocess.run([*command, *options, *map(str, scripts)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
