"""What a run says as JSON lines, for whoever collects logs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import WORD_COUNT, Shell, until


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.write("app.py", WORD_COUNT)
    shell.good("produce", "lines", text="a b a\n")
    return shell


def lines(text: str) -> list[dict[str, Any]]:
    """Each line must be an object; the last may not be whole yet."""
    found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    for each in found:
        assert {"time", "level", "logger", "message"} <= each.keys()
        assert datetime.fromisoformat(each["time"]).utcoffset() is not None
        assert each["level"] in ("debug", "info", "warning", "error")
    return found


def test_every_line_of_a_run_is_an_object_facts_among_them(shell: Shell) -> None:
    done = shell("run", "app.py", "--until-idle", "--log-format", "json", "--log-level", "info")
    assert done.returncode == 0, done.stderr
    found = lines(done.stderr)
    assert any(each["message"].startswith("app: word-count") for each in found)
    assert any(each["logger"].startswith("streamflow.") and " runs" in each["message"] for each in found)


def test_workers_under_a_supervisor_say_who_they_are(shell: Shell) -> None:
    with shell.started(
        "run", "app.py", "--workers", "2", "--no-http", "--log-format", "json", "--log-level", "info"
    ) as running:
        until(lambda: {each.get("worker") for each in lines(running.err)} >= {0, 1}, lambda: running.err)


def test_a_failure_is_an_object_too_and_the_exit_code_is_the_same(shell: Shell) -> None:
    shell.write("fails.py", WORD_COUNT.replace("str.split", "lambda line: 1 / 0"))
    done = shell("run", "fails.py", "--until-idle", "--log-format", "json")
    assert done.returncode == 1
    assert any("division by zero" in each["message"] and each["level"] == "error" for each in lines(done.stderr))


@pytest.mark.parametrize(("shell_name", "says"), [("bash", "complete"), ("zsh", "compdef"), ("fish", "complete")])
def test_a_shell_is_given_what_completes_commands(shell: Shell, shell_name: str, says: str) -> None:
    script = shell.good("completion", shell_name)
    assert says in script and "_STREAMFLOW_COMPLETE" in script


def test_a_shell_that_asks_is_answered_with_commands_and_choices(shell: Shell) -> None:
    def asked(words: str, at: int) -> list[str]:
        told = {"_STREAMFLOW_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        return [line.partition(",")[2] for line in shell.good(env=told).splitlines()]

    assert {"topics", "topology"} == set(asked("streamflow to", 1))
    assert asked("streamflow run --log-format ", 3) == ["text", "json"]
