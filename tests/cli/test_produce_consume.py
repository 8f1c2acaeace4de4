"""What goes in comes out: every format and type, pipes, files, errors with the number of the line."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from streamflow.log.partitioner import partition_of
from tests.cli.shell import COMMAND, Shell, call, until


def produced(folder: Path, text: str | bytes, *arguments: str) -> None:
    path = folder / "input"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    assert call("produce", "t", str(path), *arguments) == 0


def consumed(capsysbinary: pytest.CaptureFixture[bytes], *arguments: str) -> bytes:
    capsysbinary.readouterr()
    assert call("consume", "t", "--from-beginning", "--until-end", *arguments) == 0
    return capsysbinary.readouterr().out


def rows(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_lines_come_out_as_they_went_in(here: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    produced(here, "a rose\n\nis ä rose\r\nlast", "--partitions", "1")
    assert consumed(capsysbinary, "--format", "raw") == "a rose\n\nis ä rose\nlast\n".encode()
    first = rows(consumed(capsysbinary))[0]
    assert {**first, "timestamp": 0} == {
        "topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "key": None, "value": "a rose", "headers": {},
    }  # fmt: skip


def test_a_key_separator_parts_keys_which_choose_partitions(
    here: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = [f"k{n}" for n in range(200)]
    produced(here, "".join(f"{word}\tv{word}=\t\n" for word in words), "--key-separator", "TAB", "--partitions", "5")
    found = rows(consumed(capsysbinary))
    assert {row["key"]: row["value"] for row in found} == {word: f"v{word}=\t" for word in words}
    assert all(row["partition"] == partition_of(row["key"].encode(), 5) for row in found)
    text = consumed(capsysbinary, "--format", "key-value", "--key-separator", ": ").decode()
    assert sorted(text.splitlines()) == sorted(f"{word}: v{word}=\t" for word in words)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("str", "ä", "b"),
        ("bytes", {"base64": "//4="}, "plain"),
        ("int", -7, 2**40),
        ("float", 0.5, -1e300),
        ("json", {"a": [1, None]}, [True, {"b": "ä"}]),
    ],
)
def test_json_lines_survive_a_round_trip(
    here: Path, capsysbinary: pytest.CaptureFixture[bytes], kind: str, key: Any, value: Any
) -> None:
    headers = {"h": "x", "i": ["1", "2"]}
    line = {"key": key, "value": value, "timestamp": 1_700_000_000_000, "partition": 2, "headers": headers}
    types = ("--key", kind, "--value", kind)
    produced(here, json.dumps(line) + "\n", "--format", "json", *types)
    first = consumed(capsysbinary, *types)
    assert {**line, "topic": "t", "offset": 0} == rows(first)[0]

    produced(here, first, "--format", "json", *types)  # what was printed can be produced again
    again = rows(consumed(capsysbinary, *types))
    assert [row["offset"] for row in again] == [0, 1]
    assert {**again[1], "offset": 0} == again[0]


@pytest.mark.parametrize(("kind", "size"), [("windowed:str:1m", 60_000), ("session:int", 5)])
def test_windowed_keys_go_where_their_key_goes(
    here: Path, capsysbinary: pytest.CaptureFixture[bytes], kind: str, size: int
) -> None:
    names: list[Any] = ["a", "b", "c", "whale"] if "str" in kind else [1, 2, 3, 4]
    lines = [{"key": {"key": name, "start": 10, "end": 10 + size}, "value": "v"} for name in names]
    produced(here, "".join(json.dumps(line) + "\n" for line in lines), "--format", "json", "--key", kind)
    found = rows(consumed(capsysbinary, "--key", kind))
    assert sorted((row["key"] for row in found), key=str) == sorted((line["key"] for line in lines), key=str)
    for row in found:
        name = row["key"]["key"]
        assert row["partition"] == partition_of(name.encode() if isinstance(name, str) else name.to_bytes(8, "big"), 4)


def test_null_is_no_key_and_a_tombstone(here: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = '{"key": null, "value": null}\n\n{"key": "a", "value": null}\n'
    produced(here, lines, "--format", "json", "--partition", "1")
    assert [(row["key"], row["value"], row["partition"]) for row in rows(consumed(capsysbinary))] == [
        (None, None, 1), ("a", None, 1),
    ]  # fmt: skip
    assert consumed(capsysbinary, "--format", "key-value") == b"null\tnull\na\tnull\n"


def test_typed_lines_are_typed_records(here: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    produced(here, "1=0.5\n-2=7\n", "--key-separator", "=", "--key", "int", "--value", "float", "--partition", "0")
    assert consumed(capsysbinary, "--format", "key-value", "--key", "int", "--value", "float") == b"1\t0.5\n-2\t7.0\n"


def test_max_messages_stops_there(here: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    produced(here, "".join(f"{n}\n" for n in range(500)), "--partitions", "1")
    assert consumed(capsysbinary, "--max-messages", "3", "--format", "raw") == b"0\n1\n2\n"
    assert consumed(capsysbinary, "--max-messages", "0") == b""


def test_random_lines_are_all_there_whatever_their_blocks(
    here: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chosen = random.Random(seed)
    lines = [chosen.randbytes(chosen.choice([0, 1, 50, 5000])).hex() for _ in range(3000)]
    lines[-1] = "the last, without a newline"
    produced(here, "\n".join(lines))
    found = consumed(capsysbinary, "--format", "raw").decode().splitlines()
    assert sorted(found) == sorted(lines), f"seed {seed}"


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        (b"1\n2\nx\n", ["--value", "int"], "line 3: b'x' is not a whole number of 64 bits; 0 records"),
        (b"a\n\xff\n", [], "line 2: b'\\xff' is not UTF-8"),
        (b"a=1\nb\n", ["--key-separator", "="], "line 2: b'b' has no b'=' between key and value"),
        (b'{"value": 1}\n', ["--format", "json"], "line 1: 1 is neither a string"),
        (b'{"vlaue": 1}\n', ["--format", "json"], "line 1: Object contains unknown field `vlaue`"),
        (b'{"value": "a", "partition": 9}\n', ["--format", "json"], "line 1: there is no partition 9; the topic has 4"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_by_its_number(
    here: Path, capsysbinary: pytest.CaptureFixture[bytes], text: bytes, arguments: list[str], told: str
) -> None:
    (here / "input").write_bytes(text)
    assert call("produce", "t", "input", *arguments) == 1
    said = capsysbinary.readouterr().err.decode()
    assert told in said
    assert len(said.splitlines()) == 1
    assert consumed(capsysbinary) == b""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["consume", "nosuch"], 1, "topic 'nosuch' does not exist; there are other"),
        (["consume", "othr"], 1, "topic 'othr' does not exist; did you mean 'other'?"),
        (["consume", "other", "--broker", "embedded://nowhere"], 1, "there is no log at embedded://nowhere"),
        (["consume", "other", "--broker", "redis://a:1"], 2, "is not a log this version knows"),
        (["consume", "other", "--value", "number"], 2, "'number' is no type; write str, bytes, int"),
        (
            ["consume", "other", "--max-messages", "1", "--from-beginning", "--value", "float"],
            1,
            "partition 0 offset 0",
        ),
        (["consume", "other", "--nope"], 2, "No such option"),
        (["produce", "other", "missing.txt"], 1, "cannot read missing.txt: No such file"),
        (["produce", "other", "--partitions", "9"], 2, "'other' exists with 4 partitions"),
        (["produce", "other", "--partition", "9"], 2, "has the partitions 0 to 3"),
        (["nonsense"], 2, "No such command 'nonsense'"),
    ],
)
def test_wrong_use_is_told_and_has_its_exit_code(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    (here / "input").write_text("abc\n")
    assert call("produce", "other", "input") == 0
    assert call(*arguments) == code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
    assert not (here / "nowhere").exists()


def test_a_consumer_that_follows_shows_each_record_at_once(shell: Shell) -> None:
    shell.good("topics", "create", "t", "--partitions", "1")
    with shell.started("consume", "t", "--format", "raw", "--max-messages", "2") as consumer:
        producer = subprocess.Popen([*COMMAND, "produce", "t"], cwd=shell.folder, stdin=subprocess.PIPE)
        assert producer.stdin is not None
        sent = 0

        def one_more() -> bool:  # it begins at the end, which it may not have reached yet
            nonlocal sent
            assert producer.stdin is not None
            if not consumer.out:
                producer.stdin.write(f"line {sent}\n".encode())
                producer.stdin.flush()
                sent += 1
            return bool(consumer.out)

        until(one_more, lambda: "the first line")
        assert producer.poll() is None
        assert consumer.out.startswith("line ")
        producer.stdin.write(b"last\n")
        producer.stdin.close()
        assert producer.wait(30) == 0
        assert consumer.ends() == 0
        assert len(consumer.out.splitlines()) == 2


def test_a_reader_that_has_enough_is_no_error(shell: Shell) -> None:
    shell.good("produce", "t", text="".join(f"{n}\n" for n in range(100_000)))
    command = " ".join([*COMMAND, "consume t --from-beginning --until-end --format raw | head -n 2"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=shell.folder, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 2, "")


def test_a_consumer_that_is_interrupted_exits_130_without_a_word(shell: Shell) -> None:
    shell.good("produce", "t", text="a\n")
    with shell.started("consume", "t", "--from-beginning") as consumer:
        until(lambda: consumer.out, lambda: f"the first line: {consumer.err}")
        consumer.send(signal.SIGINT)
        assert consumer.ends() == 130
        assert consumer.err == ""


def test_numbers_read_as_text_give_a_hint(shell: Shell) -> None:
    shell.good("produce", "t", "--value", "int", text="7\n")
    assert "--value int" in shell("consume", "t", "--from-beginning", "--until-end").stderr
    assert shell("consume", "t", "--from-beginning", "--until-end", "--value", "int").stderr == ""


def test_produce_is_durable_when_it_ends(shell: Shell) -> None:
    """Not a power cut, but the next best: whoever opens the files afterwards, without any process, has it all."""
    shell.good("produce", "t", text="a\nb\n")
    copy = shell.folder / "copy"
    os.makedirs(copy)
    for path in (shell.folder / ".streamflow").iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    out = shell.good(
        "consume", "t", "--from-beginning", "--until-end", "--format", "raw", "--broker", "embedded://copy"
    )
    assert out == "a\nb\n"
