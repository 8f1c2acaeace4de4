"""``app.py[:app]``: what is found in it, and what is said when it is not."""

from __future__ import annotations

import pytest

from tests.cli.shell import Shell

APP = "from streamflow import App\napp = App('one')\napp.stream('in').to('out')\n"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("missing.py", None, "there is no file missing.py; beside it are other.py"),
        ("other", None, "there is no file other; did you mean other.py?"),
        (".", None, ". is a folder; name the script in it"),
        ("app.py", "x = 1", 'app.py has no App; it needs a line such as app = App("my-app")'),
        ("app.py", "def f(:\n  pass", "app.py:1: invalid syntax: def f(:"),
        ("app.py", "import nonesuch", "ModuleNotFoundError: No module named 'nonesuch' (app.py:1)"),
        ("app.py", APP + "two = App('two')", "app.py has the Apps app, two; say which one: app.py:app"),
        ("app.py:wrong", APP, "app.py has no App named 'wrong'; its Apps are app"),
        ("app.py", "from streamflow import App\napp = App('one')", "app.py: the App 'app' has no steps; begin with"),
        ("app.py", "from streamflow import App\napp = App('a b')\n", "(app.py:2)"),
    ],
)
def test_a_wrong_script_is_told_in_one_line_and_exits_2(shell: Shell, name: str, text: str | None, told: str) -> None:
    shell.write("other.py", APP)
    if text is not None:
        shell.write(name.partition(":")[0], text)
    done = shell("topology", name)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_debug_shows_where_a_wrong_script_went_wrong(shell: Shell) -> None:
    shell.write("app.py", "def f():\n    return 1 / 0\nf()\n")
    done = shell("topology", "app.py", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "return 1 / 0" in done.stderr


def test_one_of_several_apps_is_chosen_by_name(shell: Shell) -> None:
    shell.write("app.py", APP + "two = App('two')\ntwo.stream('other').to('out')\n")
    assert "topics: [other]" in shell.good("topology", "app.py:two")


def test_a_script_imports_its_neighbours_relatively_or_not(shell: Shell) -> None:
    (shell.folder / "shop").mkdir()
    shell.write("shop/__init__.py", "")
    shell.write("shop/names.py", "IN = 'orders'")
    shell.write("shop/app.py", APP.replace("'in'", "IN") + "from .names import IN as again\n")
    shell.write("shop/app.py", "from .names import IN\n" + (shell.folder / "shop/app.py").read_text())
    assert "topics: [orders]" in shell.good("topology", "shop/app.py")
    shell.write("names.py", "IN = 'plain'")
    shell.write("app.py", "from names import IN\n" + APP.replace("'in'", "IN"))
    assert "topics: [plain]" in shell.good("topology", "app.py")


def test_a_script_may_have_the_name_of_a_library(shell: Shell) -> None:
    shell.write("random.py", APP)
    assert "topics: [in]" in shell.good("topology", "random.py")


@pytest.mark.parametrize(
    ("layout", "has"), [("text", "Sub-topology: 0"), ("mermaid", "flowchart"), ("json", '"steps"')]
)
def test_a_topology_is_shown_in_every_format(shell: Shell, layout: str, has: str) -> None:
    shell.write("app.py", APP)
    assert has in shell.good("topology", "app.py", "--format", layout)
    assert not (shell.folder / ".streamflow").exists()


def test_a_topology_is_drawn(shell: Shell) -> None:
    shell.write("app.py", APP)
    assert shell.good("topology", "app.py", "--format", "svg").startswith("<svg")
