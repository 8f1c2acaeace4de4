"""``streamflow run`` with one worker: to the end, until told to stop, and what a beginner gets to read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cli.shell import COMMAND, DEADLINE, WORD_COUNT, Running, Shell, call, until

TEXT = "a rose is a rose\nis a rose\n"


def counts(shell: Shell) -> dict[str, int]:
    """The newest count of each word in the output topic."""
    lines = shell.good("consume", "counts", "--from-beginning", "--until-end", "--value", "int").splitlines()
    return {row["key"]: row["value"] for row in map(json.loads, lines)}


def address(running: Running) -> str:
    return running.says("http://").partition("http://")[2].split()[0]


def test_produce_run_consume_counts_words_as_plain_python_does(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    text = "".join(f"w{n % 97} w{n % 89} rose\n" for n in range(5000))
    shell.good("produce", "lines", text=text)
    shell.good("run", "app.py", "--until-idle", "--no-http")
    assert counts(shell) == Counter(text.split())

    shell.good("run", "app.py", "--until-idle", "--no-http")  # nothing is left to do, and nothing is done twice
    shell.good("produce", "lines", text=text)
    shell.good("run", "app.py", "--until-idle", "--no-http")
    assert counts(shell) == Counter(text.split() * 2)


def test_until_idle_with_nothing_to_do_makes_the_topics_and_ends(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    shell.good("run", "app.py", "--until-idle", "--no-http")
    assert {"lines", "counts"} <= set(shell.good("topics", "list").split())


def test_the_first_lines_are_one_fact_each(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    done = shell("run", "app.py", "--until-idle", "--http", "127.0.0.1:0")
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["app", "log", "state", "http"]
    assert done.stderr.splitlines()[0] == "app       word-count: 8 tasks, 1 store"
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_commits_and_ends_with_0(shell: Shell, number: signal.Signals) -> None:
    shell.write("app.py", WORD_COUNT)
    with shell.started("run", "app.py", "--http", "127.0.0.1:0") as running:
        shell.good("produce", "lines", text=TEXT)
        url = f"http://{address(running)}/stores/word-counts/keys/rose"
        until(lambda: _answer(url) == 3, lambda: f"the count of rose at {url}: {running.err}")
        running.send(number)
        assert running.ends() == 0
        assert "committing and closing" in running.err
        assert "Traceback" not in running.err
    assert counts(shell) == Counter(TEXT.split())


def test_a_worker_runs_and_stops_though_nobody_reads_its_stderr_any_more(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    command = [*COMMAND, "run", "app.py", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=shell.folder, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            said = next(line for line in running.stderr if line.startswith("http"))
            running.stderr.close()
            shell.good("produce", "lines", text=TEXT)
            url = f"{said.split()[1]}/stores/word-counts/keys/rose"
            until(lambda: _answer(url) == 3, lambda: f"the count of rose at {url}")
            running.send_signal(signal.SIGTERM)
            assert running.wait(DEADLINE) == 0
        finally:
            running.kill()
    assert counts(shell) == Counter(TEXT.split())


def test_a_run_whose_stderr_nobody_reads_from_the_beginning_does_its_work(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    shell.good("produce", "lines", text=TEXT)
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [*COMMAND, "run", "app.py", "--until-idle"], cwd=shell.folder, stderr=writes, timeout=DEADLINE
    )
    os.close(writes)
    assert done.returncode == 0
    assert counts(shell) == Counter(TEXT.split())


def _answer(url: str) -> int | None:
    try:
        with urlopen(url, timeout=5) as response:
            value = json.load(response)["value"]
            assert isinstance(value, int)
            return value
    except OSError:
        return None


HANGS = """
from streamflow import App
import time
app = App('slow')
def hang(value):
    print('hanging', flush=True)
    time.sleep(600)
app.stream('in', value=str).foreach(hang)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_signal_ends_a_worker_in_time_even_when_a_function_hangs(shell: Shell, workers: str) -> None:
    shell.write("app.py", HANGS)
    shell.good("produce", "in", text="x\n")
    with shell.started("run", "app.py", "--no-http", "--workers", workers) as running:
        until(lambda: "hanging" in running.out, lambda: f"the function: {running.err}")
        running.send(signal.SIGTERM)
        running.says("not done after 9 s; ending at once")
        assert running.ends() != 0


def test_a_second_signal_ends_at_once_even_when_a_function_hangs(shell: Shell) -> None:
    shell.write("app.py", HANGS)
    shell.good("produce", "in", text="x\n")
    with shell.started("run", "app.py", "--no-http") as running:
        until(lambda: "hanging" in running.out, lambda: f"the function: {running.err}")
        running.send(signal.SIGTERM)
        running.says("the same signal again stops at once")
        running.send(signal.SIGINT)
        assert running.ends() == 130


def test_status_and_query_tell_of_a_running_worker(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    shell.good("produce", "lines", text=TEXT)
    done = shell("status", "app.py")
    assert "no worker runs" in done.stderr
    assert done.stdout.split().count("UNASSIGNED") == 8
    with shell.started("run", "app.py", "--http", "127.0.0.1:0") as running:
        at = address(running)
        until(lambda: shell("query", "word-counts", "rose", "--http", at).returncode == 0, lambda: "an answer")
        row = json.loads(shell.good("query", "word-counts", "rose", "--http", at))
        assert (row["key"], row["value"]) == ("rose", 3)
        nothing = shell("query", "word-counts", "tulip", "--http", at)
        assert (nothing.returncode, len(nothing.stderr.splitlines())) == (1, 1)
        unknown = shell("query", "nope", "a", "--http", at)
        assert unknown.stderr == "streamflow: there is no store 'nope'; known are word-counts\n"

        tasks = [json.loads(line) for line in shell.good("status", "app.py", "--format", "json").splitlines()]
        assert {(task["state"], task["lag"], task["worker"]) for task in tasks} == {("RUNNING", 0, f"http://{at}")}
        assert len(tasks) == 8
    assert shell("query", "word-counts", "rose", "--http", at).stderr.startswith(
        "streamflow: no worker answers at http://"
    )


def test_hooks_are_called_in_their_order(shell: Shell) -> None:
    shell.write(
        "app.py",
        "from streamflow import App\n"
        "async def begin(): print('start')\n"
        "def end(): print('stop')\n"
        "def change(new, old): print(old, new)\n"
        "app = App('hooks', on_start=begin, on_stop=end, on_state_change=change)\n"
        "app.stream('in', value=str).foreach(lambda value: print('saw', value))\n",
    )
    shell.good("produce", "in", text="x\n")
    said = shell.good("run", "app.py", "--until-idle", "--no-http").splitlines()
    assert said[0] == "start"
    assert said[-1] == "stop"
    said.remove("saw x")
    assert said[1:-1] == ["CREATED RESTORING", "RESTORING RUNNING", "RUNNING STOPPING", "STOPPING STOPPED"]


def test_a_topic_that_only_a_record_names_is_made(shell: Shell) -> None:
    shell.write(
        "app.py",
        "from streamflow import App\napp = App('x')\n"
        "app.stream('in', key=str, value=str).to(lambda key, value, context: 'out-' + value)\n",
    )
    shell.good("produce", "in", text="a\nb\na\n")
    shell.good("run", "app.py", "--until-idle", "--no-http")
    assert {"out-a", "out-b"} <= set(shell.good("topics", "list").split())
    assert len(shell.good("consume", "out-a", "--from-beginning", "--until-end").splitlines()) == 2


def test_a_script_can_also_run_itself(shell: Shell) -> None:
    """`app.run()` does what the command does, and nothing while the command imports the script."""
    script = WORD_COUNT + "app.run(until_idle=True, http=None)\n"
    shell.write("app.py", script)
    shell.good("produce", "lines", text=TEXT)
    assert shell.python("app.py").returncode == 0
    assert counts(shell) == Counter(TEXT.split())
    shell.good("run", "app.py", "--until-idle", "--no-http")
    shell.write("app.py", script.replace("until_idle", "until_idel"))
    wrong = shell.python("app.py")
    assert wrong.returncode != 0
    assert "run() has no option 'until_idel'" in wrong.stderr


HEAD = "from streamflow import App, tumbling\napp = App('x')\ns = app.stream('in', key=str, value=str)\n"

MISTAKES = {
    "a function that raises": (
        HEAD + "s.map_values(lambda value: 1 / 0, value=int, name='halve').to('out')\n",
        1,
        [
            "'in' partition ",
            " offset 0 (key null)",
            "step 'halve' raise ZeroDivisionError: division by zero",
            "nothing",
        ],
    ),
    "bytes that are not of their type": (
        HEAD.replace("value=str", "value=int") + "s.to('out')\ns.peek(print)\n",
        1,
        ["'in' partition ", " offset 0 (key null) could not be read", "on_deserialize_error"],
    ),
    "a function with too many arguments": (
        HEAD + "s.filter(lambda a, b, c: True, name='pick').to('out')\n",
        2,
        ["pick", "(app.py:4)"],
    ),
    "a value of unknown type in a store": (
        HEAD + "s.map_values(lambda v: v.split()).group_by_key().reduce(lambda a, b: a, name='last')\n",
        2,
        ["value="],
    ),
    "a window without a unit": (
        HEAD + "s.group_by_key().windowed_by(tumbling(60)).count(name='n')\n",
        2,
        ["60", '"5m"', "(app.py:4)"],
    ),
    "a broker that this version does not know": (
        HEAD.replace("App('x')", "App('x', broker='localhost:9092')") + "s.to('out')\n",
        2,
        ["'localhost:9092'", "embedded://"],
    ),
    "a hook that raises": (
        HEAD.replace("App('x')", "App('x', on_start=lambda: open('/nonesuch'))") + "s.to('out')\n",
        1,
        ["on_start raised FileNotFoundError", "/nonesuch"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_beginners_mistake_is_one_or_two_lines_that_name_it(shell: Shell, mistake: str) -> None:
    script, code, told = MISTAKES[mistake]
    shell.write("app.py", script)
    shell.good("produce", "in", text="x\n")
    done = shell("run", "app.py", "--until-idle", "--no-http")
    print(done.stderr)
    assert done.returncode == code
    said = [line for line in done.stderr.splitlines() if line.split()[0] not in ("app", "log", "state", "warning:")]
    assert 1 <= len(said) <= 2
    for words in told:
        assert words in said[0]


def test_a_step_without_a_name_is_warned_of_once(shell: Shell) -> None:
    shell.write("app.py", HEAD + "s.group_by_key().count().to_stream().to('out')\n")
    done = shell("run", "app.py", "--until-idle", "--no-http")
    assert done.returncode == 0
    assert done.stderr.count("without a name") == 1


def test_wrong_options_of_run_exit_2(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--workers", "0"], ["--http", "nowhere"], ["--commit-interval", "100"], ["--log-level", "loud"]):
        (here / "app.py").write_text(WORD_COUNT)
        assert call("run", "app.py", "--until-idle", *arguments) == 2, arguments
        assert "Traceback" not in capsys.readouterr().err
