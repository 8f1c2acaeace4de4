"""Imports point downwards only: each layer knows those above it in this list, and none below.

The imports are read from the source, those under ``TYPE_CHECKING`` too: a type is knowledge as well.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS: list[tuple[str, set[str]]] = [
    ("kernel", {"errors", "record", "clock", "topic", "serdes", "windows", "functions"}),
    ("state", {"state"}),
    ("operators", {"operators"}),
    ("graph", {"topology", "describe", "naming", "naming_kafka", "render", "svg", "mermaid"}),
    (
        "language",
        {
            "stream",
            "stateless",
            "joins",
            "table",
            "table_joins",
            "foreign_key",
            "global_table",
            "suppressing",
            "cogrouped",
            "grouped",
            "totals",
            "windowed",
            "app",
            "settings",
            "builder",
            "optimize",
            "processor",
            "processing",
            "low_level",
        },
    ),
    ("plan", {"plan", "partitions", "fuse", "forms", "sinks"}),
    ("log", {"log"}),
    ("runtime", {"runtime"}),
    ("edges", {"query", "http", "metrics", "testing", "client"}),
    ("entry", {"config", "run", "cli", "", "__main__"}),
]
RANK = {part: rank for rank, (_, parts) in enumerate(LAYERS) for part in parts}
LAZY = {("app", "run")}
"""`App.run` hands itself to the entry layer, imported when it is called."""


def sources() -> list[Path]:
    """Every module of the package, by its real path; the links inside of `streamflow/` are not followed."""
    found = [path for folder in ("streamflow", "operators", "state") for path in (ROOT / folder).rglob("*.py")]
    links = {ROOT / "streamflow" / "operators", ROOT / "streamflow" / "state"}
    return sorted(path for path in found if not links & set(path.parents))


def part_of(module: str) -> str:
    """The part of streamflow a dotted name belongs to: ``streamflow.log.batch`` is ``log``."""
    return [*module.split("."), ""][1]


def module_of(path: Path) -> str:
    names = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(names if names[0] == "streamflow" else ["streamflow", *names]).removesuffix(".__init__")


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """The dotted names of streamflow that a module imports, wherever in it the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "streamflow")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).rstrip(".")
            if base == "streamflow":
                # `from streamflow import log` names a part; any other name comes out of the package's front.
                yield from (f"streamflow.{alias.name}" if alias.name in RANK else base for alias in node.names)
            elif base.startswith("streamflow."):
                yield base


def wrong_arrows(path: Path, source: str, module: str) -> list[str]:
    """A sentence for each import that points upwards, or to a part that no layer lists."""
    mine = part_of(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    sentences: list[str] = []
    for name in sorted(set(imported(ast.parse(source), package))):
        theirs = part_of(name)
        if theirs not in RANK:
            sentences.append(f"{path} imports {name}, which stands in no layer of {Path(__file__).name}")
        elif RANK[theirs] > RANK[mine] and (mine, theirs) not in LAZY:
            sentences.append(f"{path} imports {theirs or name}")
    return sentences


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_its_own_layer_and_those_above(path: Path) -> None:
    module = module_of(path)
    assert part_of(module) in RANK, f"{path.relative_to(ROOT)} stands in no layer of {Path(__file__).name}"
    assert wrong_arrows(path.relative_to(ROOT), path.read_text(), module) == []


@pytest.mark.parametrize(
    "source",
    [
        "from streamflow.operators.filter import Filter",
        "import streamflow.operators.filter",
        "from streamflow import operators",
        "from ..operators import filter",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from streamflow.operators.filter import Filter",
        "def later():\n    from streamflow.operators.filter import Filter",
    ],
)
def test_an_arrow_that_points_the_wrong_way_is_told_in_one_sentence(source: str) -> None:
    assert wrong_arrows(Path("state/memory.py"), source, "streamflow.state.memory") == [
        "state/memory.py imports operators"
    ]


def test_no_file_is_longer_than_500_lines() -> None:
    ours = [path for folder in ("tests", "examples", "bench") for path in (ROOT / folder).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in [*sources(), *ours]}
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def test_importing_streamflow_loads_no_client_no_server_and_no_database() -> None:
    heavy = ["aiokafka", "aiohttp", "rocksdict", "sqlite3", "rich", "uvloop", "prometheus_client"]
    program = f"import sys, streamflow; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
