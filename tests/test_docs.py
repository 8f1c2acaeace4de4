"""What the pages show is what is there."""

from __future__ import annotations

import re
from pathlib import Path

import streamflow
from streamflow import App, KGroupedStream, KGroupedTable, KStream, KTable, WindowedKStream

OWNERS = (App, KStream, KTable, KGroupedStream, KGroupedTable, WindowedKStream)
ROOT = Path(__file__).parents[1]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_script_of_the_readme_is_the_example() -> None:
    example = (ROOT / "examples" / "word_count.py").read_text()
    assert python_blocks(ROOT / "README.md")[0] == re.sub(r'line\.\n\n.*?"""', 'line."""', example, flags=re.DOTALL)


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    prose = {page: re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL) for page in pages}
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)", prose[page])]
    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_the_page_of_operators_tells_rightly_what_is_there() -> None:
    there = {name for owner in OWNERS for name in dir(owner) if not name.startswith("_")} | set(streamflow.__all__)
    rows = re.findall(
        r"^\| (.*?) \| .*? \| (yes|no) \|$", (ROOT / "docs" / "pages" / "operators.md").read_text(), re.MULTILINE
    )
    told = [(word, answer) for cell, answer in rows for word in re.findall(r"`(?:app\.)?([a-z_]+)[`(]", cell)]
    assert len(told) > 35
    assert [(word, answer) for word, answer in told if (word in there) != (answer == "yes")] == []


def test_every_target_of_the_makefile_tells_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    told = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    assert told >= {"help", "demo", "test", "lint", "bench", "simulate", "mutants"}
    assert set(re.findall(r"^\.PHONY: ([a-z]+)$", makefile, re.MULTILINE)) == told
