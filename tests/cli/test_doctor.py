"""`streamflow doctor` finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.shell import WORD_COUNT, Shell, until


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.write("app.py", WORD_COUNT)
    return shell


def findings(text: str) -> dict[str, list[tuple[str, str]]]:
    """About what -> verdicts and texts."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        verdict, about, said = line.split(None, 2)
        found.setdefault(about, []).append((verdict, said))
    return found


def test_before_anything_is_there_nothing_is_wrong_and_nothing_is_made(shell: Shell) -> None:
    found = findings(shell.good("doctor", "app.py"))
    assert [verdict for verdict, _ in found["log"]] == ["look"]
    assert "rocksdict" in found["versions"][0][1]
    assert not (shell.folder / ".streamflow").exists()


def test_of_an_application_that_runs_it_tells_topics_workers_and_lag(shell: Shell) -> None:
    shell.good("produce", "lines", "--partitions", "2", text="a b a\n")
    shell.good("run", "app.py", "--until-idle")
    with shell.started("run", "app.py", "--no-http") as running:

        def is_up() -> bool:
            return ("ok", "1 workers run, 0 records behind") in findings(shell.good("doctor", "app.py"))["group"]

        until(is_up, lambda: running.err)
        found = findings(shell.good("doctor", "app.py"))
        assert ("ok", "'lines' has 2 partitions") in found["topic"]
        until(lambda: "stores" in findings(shell.good("doctor", "app.py")), lambda: running.err)


def test_a_log_that_cannot_be_reached_and_a_state_directory_that_cannot_be_written_are_wrong(shell: Shell) -> None:
    shell.write("file", "no folder")
    done = shell("doctor", "app.py", "--broker", "kafka://127.0.0.1:1", "--state-dir", "file")
    found = findings(done.stdout)
    assert done.returncode == 1 and "2 of" in done.stderr
    assert found["log"][0][0] == "wrong" and "127.0.0.1:1" in found["log"][0][1]
    assert found["state"][0][0] == "wrong" and "--state-dir" in found["state"][0][1]


def test_topics_whose_partitions_do_not_fit_are_wrong(shell: Shell) -> None:
    shell.write(
        "join.py",
        "from streamflow import App\napp = App('j')\n"
        "users = app.table('users', key=str, value=str)\n"
        "app.stream('clicks', key=str, value=str).join(users, lambda a, b: a + b, value=str).to('out')\n",
    )
    for topic, partitions in (("users", 2), ("clicks", 3), ("out", 1)):
        shell.good("topics", "create", topic, "--partitions", str(partitions))
    done = shell("doctor", "join.py")
    [(verdict, said)] = findings(done.stdout)["topology"]
    assert (done.returncode, verdict) == (1, "wrong")
    assert "users" in said and "clicks" in said and "2" in said and "3" in said


def test_internal_topics_of_another_shape_are_wrong(shell: Shell) -> None:
    shell.good("produce", "lines", "--partitions", "2", text="a\n")
    for topic in ("counts", "word-count-word-counts-repartition"):
        shell.good("topics", "create", topic, "--partitions", "2")
    shell.good("topics", "create", "word-count-word-counts-changelog", "--partitions", "5")
    done = shell("doctor", "app.py")
    told = findings(done.stdout)["internal"]
    assert done.returncode == 1
    assert any(verdict == "wrong" and "has 5 partitions" in said for verdict, said in told), told


def test_a_script_that_cannot_be_loaded_is_told_as_everywhere(shell: Shell) -> None:
    done = shell("doctor", "nothing.py")
    assert done.returncode == 2 and "nothing.py" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="ROOT MAY WRITE EVERYWHERE, so this is not tested as root")
def test_a_folder_that_belongs_to_others_is_wrong(shell: Shell) -> None:
    done = shell("doctor", "app.py", "--state-dir", "/proc/state")
    assert findings(done.stdout)["state"][0][0] == "wrong"
