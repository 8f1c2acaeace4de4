"""What a user installs is what lies in the tree: every module, the types marker, the command.

The package is built from a copy of the tracked files, so nothing that only lies on this machine can make it work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> dict[str, Path]:
    """Each package of the tree by its dotted name, where it really lies."""
    found: dict[str, Path] = {}
    for top, name in (
        ("streamflow", "streamflow"),
        ("operators", "streamflow.operators"),
        ("state", "streamflow.state"),
    ):
        for init in (ROOT / top).rglob("__init__.py"):
            below = init.parent.relative_to(ROOT / top).parts
            if top == "streamflow" and below and below[0] in ("operators", "state"):
                continue
            found[".".join([name, *below])] = init.parent
    return found


def modules() -> set[str]:
    """Every file the installed package must have, as a path below site-packages."""
    files = {f"{name.replace('.', '/')}/{path.name}" for name, at in packages().items() for path in at.glob("*.py")}
    return files | {"streamflow/py.typed"}


def test_pyproject_lists_every_package_of_the_tree() -> None:
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(packages())


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for top in ("streamflow", "operators", "state") for path in (ROOT / top).rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_no_dependency_has_an_upper_bound() -> None:
    everything = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"]["dev"]]
    assert [needed for needed in everything if "<" in needed or "==" in needed.split(";")[0]] == []


def copied(to: Path) -> Path:
    """The files of the tree that git tracks or would track, as a clean clone has them; links stay links."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, to / name
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.readlink(source)) if source.is_symlink() else target.write_bytes(source.read_bytes())
    return to


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist."""
    clone = copied(tmp_path_factory.mktemp("clone"))
    out = tmp_path_factory.mktemp("dist")
    told = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(clone)], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return out


def python_files(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.endswith((".py", "py.typed"))}


def test_the_wheel_holds_exactly_the_modules_of_the_tree(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        assert python_files(wheel.namelist()) == modules()


def test_the_source_distribution_holds_every_module_and_the_licence(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {str(path.relative_to(ROOT)) for at in packages().values() for path in at.glob("*.py")}
    assert (wanted | {"LICENSE", "README.md", "streamflow/py.typed"}) - names == set()


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh environment with the wheel; its dependencies are lent by this one."""
    home = tmp_path_factory.mktemp("env")
    venv.create(home, with_pip=False)
    names = {"base": str(home), "platbase": str(home)}
    site = Path(sysconfig.get_path("purelib", "venv", names))
    scripts = Path(sysconfig.get_path("scripts", "venv", names))
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", str(next(built.glob("*.whl")))], check=True)
    # A plain path line: the .pth files of the lending environment (an editable streamflow) are not read.
    (site / "zz_lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def test_the_installed_package_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    every = sorted(name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in modules())
    names = [name for name in every if not name.endswith(("py.typed", "__main__"))]
    program = (
        f"import importlib, streamflow\nfor name in {names}: importlib.import_module(name)\nprint(streamflow.__file__)"
    )
    told = subprocess.run(
        [installed / "python", "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert Path(told.stdout.strip()).is_relative_to(installed.parent)


def test_the_installed_command_tells_its_help(installed: Path, tmp_path: Path) -> None:
    told = subprocess.run([installed / "streamflow", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "run" in told.stdout
