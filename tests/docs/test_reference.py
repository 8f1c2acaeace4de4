"""The pages of the command line, of HTTP and of metrics have all that is there, and the first page's commands do what it says."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import click

from streamflow import metrics
from streamflow.cli import COMMANDS, cli
from streamflow.http.routes import ROUTES
from tests.cli.shell import Shell, until
from tests.docs.pictures import PAGES, Script, parts


def text_of(page: str) -> str:
    return (PAGES / page).read_text()


def test_the_page_of_the_command_line_has_every_command_and_option_and_none_that_is_not_there() -> None:
    page = text_of("cli.md")
    missing: list[str] = []
    known: set[str] = set()
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        every = command.commands.items() if isinstance(command, click.Group) else [(name, command)]
        for each, leaf in every:
            missing += [each] * (not re.search(rf"`(streamflow |topics |dead-letters )?{each}\b", page))
            options = [o for p in leaf.params if isinstance(p, click.Option) and not p.hidden for o in p.opts]
            known |= set(options)
            missing += [f"{name} {each} {o}" for o in options if o.startswith("--") and not re.search(rf"{o}\b", page)]
    assert missing == []
    assert set(re.findall(r"--[a-z][a-z-]+", page)) - known == set()


def test_the_page_of_http_has_every_path_and_every_parameter() -> None:
    page = text_of("http.md")
    assert [route.path for route in ROUTES if f"{route.path}`" not in page] == []
    parameters = {(route.path, parameter.name) for route in ROUTES for parameter in route.parameters}
    rows = {path: row for row in page.splitlines() for path in re.findall(r"(/[^` ]*)`", row) if row.startswith("|")}
    assert [(path, name) for path, name in sorted(parameters) if not re.search(rf"\b{name}\b=", rows[path])] == []


def test_the_page_of_metrics_has_every_metric_and_none_that_is_not_there() -> None:
    source = inspect.getsource(metrics)
    there = {name + ("_total" if kind == "Counter" else "") for kind, name in _families(source)}
    assert len(there) > 20
    told = set(re.findall(r"`(streamflow_\w+)`", text_of("metrics.md")))
    assert told == there


def _families(source: str) -> list[tuple[str, str]]:
    """Kind and name of each metric: those that are named one by one, and those of the worker's list of counters."""
    named: list[tuple[str, str]] = re.findall(r'(Counter|Gauge)MetricFamily\(\s*"(streamflow_\w+)"', source)
    listed = re.findall(r'\(\s*"(streamflow_\w+)",\s*"[^"]*",\s*stats\.', source)
    of_disk = re.findall(r'^    "(streamflow_rocksdb_\w+)":', source, re.MULTILINE)
    kinds = [("Histogram" if name.endswith("_seconds") else "Counter", name) for name in listed]
    return named + kinds + [("Gauge", name) for name in of_disk]


def test_every_metric_and_path_that_another_page_names_is_there() -> None:
    there = {name + ("_total" if kind == "Counter" else "") for kind, name in _families(inspect.getsource(metrics))}
    told = {
        (page.name, name)
        for page in PAGES.rglob("*.md")
        for name in re.findall(r"\b(streamflow_[a-z_]+)\b(?!\.)", page.read_text())
    }
    assert [found for found in sorted(told) if found[1] not in there] == []


def commands_of(page: str) -> list[str]:
    """The commands on a page, this Python's `streamflow` in place of the installed one; pip's are done already."""
    found: list[str] = re.findall(r"^\$ (.*?)(?: +#.*)?$", page, re.MULTILINE)
    python = shlex.quote(sys.executable)
    return [re.sub(r"\bstreamflow(?= )", f"{python} -m streamflow", each) for each in found if "pip " not in each]


def run(command: str, folder: Path) -> str:
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def test_the_commands_of_the_first_page_give_what_its_table_says(tmp_path: Path) -> None:
    page = text_of("index.md")
    script = next(part for part in parts(page) if isinstance(part, Script))
    (tmp_path / "app.py").write_text(script.text.lstrip("\n"))
    said = [run(command, tmp_path) for command in commands_of(page)][-1]
    counts = [(record["key"], record["value"]) for record in map(json.loads, said.splitlines())]
    assert sorted(counts) == [("a", 1), ("a", 2), ("is", 1), ("rose", 1), ("rose", 2)]


def test_the_commands_of_the_readme_count_words_and_answer_over_http(tmp_path: Path) -> None:
    root = PAGES.parents[1]
    (tmp_path / "LICENSE").write_text((root / "LICENSE").read_text())
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "word_count.py").write_text((root / "examples" / "word_count.py").read_text())
    readme = (root / "README.md").read_text()
    produce, worker, consume, curl = (each for each in commands_of(readme) if not each.startswith("make"))
    run(produce, tmp_path)
    with Shell(tmp_path).started(*shlex.split(worker)[3:], "--http", "127.0.0.1:0") as running:
        found = running.says("http://").partition("http://")[2].split()[0]
        url = curl.removeprefix("curl ").replace("localhost:8080", f"http://{found}")
        until(lambda: answer(url) is not None, lambda: f"the row at {url}: {running.err}")
        row = answer(url)
        running.send(signal.SIGTERM)
        assert running.ends() == 0
    words = (root / "LICENSE").read_text().split()
    assert row is not None
    assert (row["key"], row["value"]) == ("License", words.count("License"))
    counts = {record["key"]: record["value"] for record in map(json.loads, run(consume, tmp_path).splitlines())}
    assert counts == {word: words.count(word) for word in words}


def answer(url: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as found:
            return dict(json.load(found))
    except OSError:  # not there yet
        return None
