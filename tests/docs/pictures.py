"""The pages of `docs/pages` as a test sees them: scripts to run, and tables that say what comes out of what goes in.

A table whose header has a column ``→`` is a picture. Left of it stand the time and the topics that are written, right
of it the topics that are read and, if wished, ``dropped``. Each row is one record, and what the driver answers to it:

    | time | `clicks` | → | `visits` |
    |---|---|---|---|
    | 1s | `ann: 3` | | `ann: 3` |

It belongs to the ``app`` that the scripts above it have declared. A row may also say ``commit``, ``crash`` or ``clock +5s`` in
place of a time. A comment ``<!-- driver: partitions=2 -->`` above it gives options of the test driver. A result shows
its time (``@5s``) where that is another than the record's. ``python -m tests.docs`` fills the tables anew.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from streamflow import App, Windowed
from streamflow.clock import milliseconds
from streamflow.testing import TopologyTestDriver

PAGES = Path(__file__).parents[2] / "docs" / "pages"
ARROW = "→"
UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"))


@dataclass(frozen=True)
class Script:
    """A block of Python, and the line on which it begins."""

    line: int
    text: str


@dataclass(frozen=True)
class Picture:
    """A table that says what happens; ``line`` is that of its header."""

    line: int
    options: str
    rows: tuple[str, ...]

    @property
    def header(self) -> list[str]:
        """The names of the columns."""
        return cells(self.rows[0])


def pages() -> list[Path]:
    """Every page of the site."""
    return sorted(PAGES.rglob("*.md"))


def name_of(page: Path) -> str:
    """What a page is called below the folder of the pages."""
    return page.relative_to(PAGES).as_posix()


def parts(text: str) -> Iterator[Script | Picture]:
    """The scripts and pictures of a page, in order."""
    lines, at, options = text.split("\n"), 0, ""
    while at < len(lines):
        line = lines[at]
        if line.startswith("```"):
            end = next(n for n in range(at + 1, len(lines)) if lines[n].startswith("```"))
            if line == "```python":
                yield Script(at + 1, "\n" * (at + 1) + "\n".join(lines[at + 1 : end]) + "\n")
            at = end
        elif found := re.fullmatch(r"<!-- driver: (.*) -->", line):
            options = found[1]
        elif line.startswith("|"):
            end = next((n for n in range(at, len(lines)) if not lines[n].startswith("|")), len(lines))
            if ARROW in cells(line):
                yield Picture(at, options, tuple(lines[at:end]))
                options = ""
            at = end - 1
        at += 1


def cells(row: str) -> list[str]:
    """What stands in a row of a table."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def filled(page: Path) -> str:
    """The text of a page after its scripts have run, with what the driver answers in its pictures."""
    text = page.read_text()
    lines = text.split("\n")
    module = sys.modules[f"page_{page.stem}"] = ModuleType(f"page_{page.stem}")  # types are looked up by their module
    names = module.__dict__
    for part in parts(text):
        if isinstance(part, Script):
            exec(compile(part.text, name_of(page), "exec"), names)
        else:
            lines[part.line : part.line + len(part.rows)] = answered(part, names)
    return "\n".join(lines)


def answered(picture: Picture, names: dict[str, Any]) -> list[str]:
    """The rows of a picture, the answers filled in."""
    app = names["app"]
    assert isinstance(app, App)
    options = eval(f"dict({picture.options})", names)
    header = picture.header
    arrow = header.index(ARROW)
    topics = [cell.strip("`") for cell in header]
    with TopologyTestDriver(app, **options) as driver:
        inputs = {n: driver.input_topic(topics[n]) for n in range(1, arrow)}
        outputs = [(n, driver.output_topic(topics[n])) for n in range(arrow + 1, len(header)) if topics[n] != "dropped"]
        rows = list(picture.rows[:2])
        dropped = 0
        for row in picture.rows[2:]:
            found = cells(row)
            now = _done(driver, found, inputs, names)
            for n, topic in outputs:
                found[n] = "<br>".join(_told(record, now) for record in topic.read_records())
            if "dropped" in topics:
                found[topics.index("dropped")] = str(driver.dropped_records - dropped or "")
                dropped = driver.dropped_records
            rows.append("| " + " | ".join(found).replace("|  |", "| |") + " |")
    return [re.sub(r"\|  (?=\|)", "| ", row) for row in rows]


def _done(driver: TopologyTestDriver, found: list[str], inputs: dict[int, Any], names: dict[str, Any]) -> int:
    """Do what a row says; the time of its record, -1 of what is none."""
    if found[0] in ("crash", "commit"):
        getattr(driver, found[0])()
    elif found[0].startswith("clock +"):
        driver.advance_wall_clock(found[0].removeprefix("clock +"))
    else:
        now = milliseconds(found[0])
        [(n, cell)] = [(n, found[n]) for n in inputs if found[n]]
        record, _, partition = cell.partition(" #")
        key, value = record.strip("`").split(": ", 1)
        inputs[n].pipe(_meant(key, names), _meant(value, names), now, (), int(partition) if partition else None)
        return now
    return -1


def _meant(text: str, names: dict[str, Any]) -> Any:
    """What a text in a table stands for: a literal, a call of something the page declared, else the text itself."""
    if text == "null":
        return None
    if (called := re.match(r"(\w+)\(", text)) and called[1] in names:
        return eval(text, names)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _told(record: Any, now: int) -> str:
    when = "" if record.timestamp == now or now < 0 else f" @{shown_time(record.timestamp)}"
    return f"`{_shown(record.key)}: {_shown(record.value)}{when}`"


def _shown(thing: Any) -> str:
    if isinstance(thing, Windowed):
        return f"{_shown(thing.key)} {shown_time(thing.start)}..{shown_time(thing.end)}"
    if isinstance(thing, bytes):
        return thing.decode(errors="replace")
    return "null" if thing is None else str(thing)


def shown_time(ms: int) -> str:
    """Milliseconds in the largest unit that leaves nothing over."""
    if ms == (1 << 63) - 1:
        return "forever"
    return next((f"{ms // size}{unit}" for size, unit in UNITS if ms and ms % size == 0), f"{ms}ms" if ms else "0s")
