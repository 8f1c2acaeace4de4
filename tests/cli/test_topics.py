"""``streamflow topics``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import call

Said = pytest.CaptureFixture[str]


def told(said: Said, *arguments: str) -> list[list[str]]:
    """The words of each line of a command that must succeed."""
    said.readouterr()
    assert call("topics", *arguments) == 0
    return [line.split() for line in said.readouterr().out.splitlines()]


def test_topics_are_created_listed_described_and_deleted(here: Path, capsys: Said) -> None:
    for _ in range(2):  # one that is there as asked is fine
        assert call("topics", "create", "orders", "--partitions", "3", "--config", "retention.ms=60000") == 0
    (here / "input").write_text("a\nb\n")
    assert call("produce", "orders", "input", "--partition", "1") == 0
    assert told(capsys, "list") == [["TOPIC", "PARTITIONS", "RECORDS"], ["orders", "3", "2"]]

    described = told(capsys, "describe", "orders")
    assert ["partitions", "3"] in described
    assert ["config", "retention.ms=60000"] in described
    assert described[-3:] == [["0", "0", "to", "0"], ["1", "0", "to", "2"], ["2", "0", "to", "0"]]

    told(capsys, "delete", "orders")
    assert len(told(capsys, "list")) == 1
    assert call("topics", "delete", "orders") == 1


def test_a_topic_that_is_there_with_other_partitions_is_refused(here: Path, capsys: Said) -> None:
    assert call("topics", "create", "orders", "--partitions", "3") == 0
    assert call("topics", "create", "orders", "--partitions", "4") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "'orders'" in said
    assert "3" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--partitions", "0"],
        [],
        ["--partitions", "1", "--config", "x"],
        ["--partitions", "1", "--replication", "3"],
    ],
)
def test_wrong_use_exits_2_and_makes_nothing(here: Path, arguments: list[str]) -> None:
    assert call("topics", "create", "orders", *arguments) == 2
    assert list(here.iterdir()) == []
