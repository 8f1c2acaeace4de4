"""``streamflow reset``: rewind and replay, told before it is done, harmless when it is interrupted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.shell import WORD_COUNT, Shell

TEXT = "a rose is a rose\nis a rose\n"


def counted(shell: Shell) -> list[tuple[str, int]]:
    """Everything that was written to the output, per word in order."""
    lines = shell.good("consume", "counts", "--from-beginning", "--until-end", "--value", "int").splitlines()
    return sorted((row["key"], row["value"]) for row in map(json.loads, lines))


def run(shell: Shell) -> None:
    shell.good("run", "app.py", "--until-idle", "--no-http")


def prepared(shell: Shell) -> None:
    """A word count that has counted."""
    shell.write("app.py", WORD_COUNT)
    shell.good("produce", "lines", text=TEXT)
    run(shell)


def test_a_reset_to_the_beginning_gives_the_same_output_once_more(shell: Shell) -> None:
    prepared(shell)
    once = counted(shell)

    shell.good("reset", "app.py", "--to-earliest", "--yes")
    run(shell)

    assert counted(shell) == sorted(once * 2)


def test_a_reset_to_the_end_begins_with_empty_state(shell: Shell) -> None:
    prepared(shell)
    before = counted(shell)

    shell.good("reset", "app.py", "--to-latest", "--yes")
    shell.good("produce", "lines", text="rose\n")
    run(shell)

    assert counted(shell) == sorted([*before, ("rose", 1)])


def test_a_dry_run_tells_everything_and_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    prepared(shell)
    topics = shell.good("topics", "list")

    told = shell.good("reset", "app.py", "--to-earliest", "--dry-run")

    assert "word-counts-changelog" in told and "repartition" in told and "lines" in told and ".streamflow/state" in told
    assert shell.good("topics", "list") == topics
    run(shell)
    assert ("rose", 3) in counted(shell) and ("rose", 4) not in counted(shell)


def test_without_a_place_or_with_two_it_says_which_there_are(shell: Shell) -> None:
    prepared(shell)
    for options in ((), ("--to-earliest", "--to-latest")):
        refused = shell("reset", "app.py", *options)
        assert refused.returncode == 2
        assert "--to-datetime T" in refused.stderr


def test_a_time_without_a_zone_is_refused(shell: Shell) -> None:
    prepared(shell)
    refused = shell("reset", "app.py", "--to-datetime", "2026-11-23T15:00:00")
    assert refused.returncode == 2
    assert "time zone" in refused.stderr


def test_no_worker_starts_while_a_reset_is_under_way(shell: Shell) -> None:
    prepared(shell)
    shell.good("topics", "create", "word-count-reset-under-way", "--partitions", "1")

    refused = shell("run", "app.py", "--until-idle", "--no-http")
    assert refused.returncode == 1
    assert "run `streamflow reset` again" in refused.stderr

    shell.good("reset", "app.py", "--to-earliest", "--yes")
    run(shell)
