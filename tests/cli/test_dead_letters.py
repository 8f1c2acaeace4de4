"""``streamflow dead-letters``: what was set aside is listed and sent again, with no worker running."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.shell import Shell

SCRIPT = """
from pathlib import Path
from streamflow import App

app = App("halves", on_process_error="dead_letter")


def half(value):
    if int(value) % 2 and not Path("mended").exists():
        raise ValueError(f"{value} is odd")
    return str(int(value) // 2)


app.stream("numbers", key=str, value=str).map_values(half, value=str, name="half").to("halves")
"""


def test_letters_are_listed_and_sent_again_once_and_then_processed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("app.py", SCRIPT)
    shell.good(
        "produce", "numbers", "--format", "json", text='{"key": "a", "value": "7"}\n{"key": "b", "value": "8"}\n'
    )
    shell.good("run", "app.py", "--until-idle", "--no-http")

    (told,) = [json.loads(line) for line in shell.good("dead-letters", "list", "app.py").splitlines()]
    assert (told["key"], told["value"], told["reason"]["message"], told["replayed"]) == ("a", "7", "7 is odd", False)
    assert (told["reason"]["step"], told["reason"]["topic"]) == ("half", "numbers")
    assert shell.good("dead-letters", "list", "app.py", "--step", "other") == ""

    unsaid = shell("dead-letters", "replay", "app.py")
    assert (unsaid.returncode, "say which" in unsaid.stderr) == (2, True)
    shell.write("mended", "")
    assert shell("dead-letters", "replay", "app.py", "--topic", "numbers").stderr.startswith("1 letters of")
    assert shell("dead-letters", "replay", "app.py", "--all").stderr.startswith("0 letters of")
    assert shell.good("dead-letters", "list", "app.py", "--pending") == ""

    shell.good("run", "app.py", "--until-idle", "--no-http")
    out = shell.good("consume", "halves", "--from-beginning", "--until-end").splitlines()
    assert sorted((json.loads(line)["key"], json.loads(line)["value"]) for line in out) == [("a", "3"), ("b", "4")]
