"""api.md, Command line: what produce reads, what consume writes, what topics and topology tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli import main

Run = Callable[..., str]
WORDS = """
from streamflow import App

app = App("words")
lines = app.stream("lines", value=str).flat_map_values(str.split, value=str)
lines.group_by(lambda word: word, key=str).count(name="counts").to_stream().to("counted")
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder; gives its standard output. ``given`` is the file that it is told to read."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, given: bytes | None = None, code: int = 0) -> str:
        if given is not None:
            (tmp_path / "given").write_bytes(given)
            arguments = (*arguments, "given")
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        told = capfd.readouterr()
        assert (ended.value.code or 0) == code, told.err
        return told.out if code == 0 else told.err

    return run


def lines(run: Run, topic: str, *options: str) -> list[dict[str, Any]]:
    text = run("consume", topic, "--from-beginning", "--until-end", *options)
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_of_the_json_format_has_these_fields_in_this_order(run: Run) -> None:
    line = {"key": "a", "value": 3, "timestamp": 1700000000000, "headers": {"h": "x"}, "partition": 1}
    run(
        "produce",
        "counts",
        "--format",
        "json",
        "--value",
        "int",
        "--partitions",
        "2",
        given=json.dumps(line).encode() + b"\n",
    )
    (found,) = lines(run, "counts", "--value", "int")
    assert found == {**line, "topic": "counts", "offset": 0}
    assert list(found) == ["topic", "partition", "offset", "timestamp", "key", "value", "headers"]


def test_what_consume_writes_produce_reads(run: Run) -> None:
    rows = b"".join(
        json.dumps({"key": k, "value": v, "timestamp": 5}).encode() + b"\n" for k, v in [("a", 1), (None, None)]
    )
    run("produce", "first", "--format", "json", "--value", "int", "--partitions", "1", given=rows)
    text = run("consume", "first", "--from-beginning", "--until-end", "--value", "int")
    run("produce", "second", "--format", "json", "--value", "int", "--partitions", "1", given=text.encode())
    assert [{**line, "topic": "first"} for line in lines(run, "second", "--value", "int")] == lines(
        run, "first", "--value", "int"
    )


@pytest.mark.parametrize(
    ("kind", "plain", "shown"),
    [("str", b"x", "x"), ("bytes", b"x", "x"), ("bytes", b"\xff", {"base64": "/w=="}), ("int", b"-7", -7),
     ("float", b"1.5", 1.5), ("json", b'{"a":[1]}', {"a": [1]})],
)  # fmt: skip
def test_a_line_is_read_and_shown_by_its_type(run: Run, kind: str, plain: bytes, shown: Any) -> None:
    run("produce", "t", "--value", kind, given=plain + b"\n")
    assert [line["value"] for line in lines(run, "t", "--value", kind)] == [shown]


def test_keys_stand_before_a_separator(run: Run) -> None:
    run("produce", "t", "--key-separator", "TAB", "--partitions", "1", given=b"a\t1\nb\t2\n")
    assert run("consume", "t", "--from-beginning", "--until-end", "--format", "key-value") == "a\t1\nb\t2\n"
    assert run("consume", "t", "--from-beginning", "--until-end", "--format", "raw") == "1\n2\n"
    assert run("consume", "t", "--from-beginning", "--max-messages", "1", "--format", "raw") == "1\n"


@pytest.mark.parametrize(
    ("kind", "key"),
    [("windowed:str:60s", {"key": "a", "start": 0, "end": 60000}), ("session:int", {"key": 7, "start": 5, "end": 9})],
)
def test_a_windowed_key_is_an_object(run: Run, kind: str, key: dict[str, Any]) -> None:
    run(
        "produce", "t", "--format", "json", "--key", kind, given=json.dumps({"key": key, "value": "v"}).encode() + b"\n"
    )
    assert [line["key"] for line in lines(run, "t", "--key", kind)] == [key]


def test_a_line_that_cannot_be_used_is_told_with_its_number(run: Run) -> None:
    assert "line 2: b'x' is not a whole number" in run("produce", "t", "--value", "int", given=b"1\nx\n", code=1)


def test_topics_are_made_listed_described_and_deleted(run: Run) -> None:
    run("topics", "create", "t", "--partitions", "2", "--config", "retention.ms=5000")
    assert ["t", "2", "0"] in [line.split() for line in run("topics", "list").splitlines()]
    told = run("topics", "describe", "t")
    assert "partitions  2" in told and "retention.ms=5000" in told
    assert "exists with 2 partitions, 3 were asked for" in run("topics", "create", "t", "--partitions", "3", code=1)
    run("topics", "delete", "t")
    assert "topic 't' does not exist" in run("topics", "describe", "t", code=1)


def test_a_topic_that_does_not_exist_is_told_to_who_reads(run: Run) -> None:
    run("topics", "create", "orders", "--partitions", "1")
    assert "topic 'order' does not exist; did you mean 'orders'?" in run("consume", "order", code=1)


@pytest.mark.parametrize(
    ("layout", "begins"), [("text", "Topologies:"), ("mermaid", "flowchart LR"), ("svg", "<svg "), ("json", "{")]
)
def test_a_topology_is_told_in_four_formats(run: Run, tmp_path: Path, layout: str, begins: str) -> None:
    (tmp_path / "words.py").write_text(WORDS)
    assert run("topology", "words.py", "--format", layout).startswith(begins)


def test_a_wrong_script_is_told_in_one_line_with_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text('from streamflow import App\napp = App("a", brokers="x")\n')
    told = run("topology", "wrong.py", code=2)
    assert "brokers" in told and "wrong.py:2" in told and told.count("\n") == 1
