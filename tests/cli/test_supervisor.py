"""``streamflow run --workers N``: real processes that are killed, told to stop, and orphaned."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from pathlib import Path

from tests.cli.shell import WORD_COUNT, Running, Shell, gone, until

TEXT = "".join(f"w{n % 97} w{n % 89} rose\n" for n in range(2000))


def counts(shell: Shell) -> dict[str, int]:
    lines = shell.good("consume", "counts", "--from-beginning", "--until-end", "--value", "int").splitlines()
    return {row["key"]: row["value"] for row in map(json.loads, lines)}


def both_work(running: Running) -> list[int]:
    """Wait until two workers answer; gives their processes."""
    running.says("(worker 0)")
    running.says("(worker 1)")
    return running.children()


def owners(shell: Shell) -> set[str | None]:
    lines = shell.good("status", "app.py", "--format", "json").splitlines()
    return {task["worker"] if task["state"] == "RUNNING" else None for task in map(json.loads, lines)}


def test_two_workers_share_the_tasks_and_end_when_idle(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    shell.good("produce", "lines", text=TEXT)
    done = shell("run", "app.py", "--workers", "2", "--until-idle", "--http", "127.0.0.1:0")
    assert done.returncode == 0, done.stderr
    assert counts(shell) == Counter(TEXT.split())
    said = [line.split()[0] for line in done.stderr.splitlines()]
    assert sorted(said) == ["app", "http", "http", "log", "state", "workers"]


def test_a_killed_worker_comes_back_and_nothing_is_counted_twice(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    with shell.started("run", "app.py", "--workers", "2", "--http", "127.0.0.1:0") as running:
        first, second = both_work(running)
        until(lambda: len(owners(shell) - {None}) == 2, lambda: f"two owners: {owners(shell)}")
        shell.good("produce", "lines", text=TEXT)
        os.kill(first, signal.SIGKILL)
        running.says("worker 0 was killed by SIGKILL; starting it again")
        running.says("(worker 0)", times=2)
        shell.good("produce", "lines", text=TEXT)
        until(lambda: counts(shell) == Counter(TEXT.split() * 2), lambda: f"all counts: {running.err}")
        assert second in running.children()
        assert first not in running.children()
        running.send(signal.SIGTERM)
        assert running.ends() == 0
        assert "Traceback" not in running.err


def test_one_signal_ends_all_workers_in_order(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    shell.good("produce", "lines", text=TEXT)
    with shell.started("run", "app.py", "--workers", "2", "--http", "127.0.0.1:0") as running:
        children = both_work(running)
        running.send(signal.SIGINT)
        assert running.ends() == 0
        assert all(map(gone, children))
        assert "Traceback" not in running.err


def test_a_second_signal_kills_what_hangs(shell: Shell) -> None:
    shell.write(
        "app.py",
        "from streamflow import App\nimport time\napp = App('slow')\n"
        "def hang(value):\n    print('hanging', flush=True)\n    time.sleep(600)\n"
        "app.stream('in', value=str).foreach(hang)\n",
    )
    shell.good("produce", "in", text="x\n")
    with shell.started("run", "app.py", "--workers", "2", "--no-http") as running:
        until(lambda: "hanging" in running.out, lambda: f"the function: {running.err}")
        children = running.children()
        running.send(signal.SIGTERM)
        running.says("stop")
        running.send(signal.SIGTERM)
        assert running.ends() == 130
        until(lambda: all(map(gone, children)), lambda: f"the end of {children}")


def test_workers_end_when_their_supervisor_is_killed(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    with shell.started("run", "app.py", "--workers", "2", "--http", "127.0.0.1:0") as running:
        children = both_work(running)
        running.send(signal.SIGKILL)
        until(lambda: all(map(gone, children)), lambda: f"the end of {children}: {running.err}")


def test_an_application_that_fails_is_told_once_and_ends_all_with_1(shell: Shell) -> None:
    shell.write(
        "app.py",
        "from streamflow import App\napp = App('x')\n"
        "app.stream('in', value=str).map_values(lambda value: 1 / 0, value=int, name='halve').to('out')\n",
    )
    shell.good("produce", "in", text="x\n")
    done = shell("run", "app.py", "--workers", "3", "--no-http")
    assert done.returncode == 1
    assert done.stderr.count("made step 'halve' raise ZeroDivisionError") == 1
    assert "Traceback" not in done.stderr


def test_a_wrong_script_ends_before_any_worker_starts(shell: Shell) -> None:
    shell.write("app.py", "app = 1")
    done = shell("run", "app.py", "--workers", "2")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_second_terminal_joins_the_same_group(shell: Shell) -> None:
    shell.write("app.py", WORD_COUNT)
    with shell.started("run", "app.py", "--http", "127.0.0.1:0") as one:
        one.says("http")
        until(lambda: len(owners(shell) - {None}) == 1, lambda: f"one owner: {owners(shell)}")
        with shell.started("run", "app.py", "--http", "127.0.0.1:0") as other:
            until(lambda: len(owners(shell)) == 2 and None not in owners(shell), lambda: f"two: {owners(shell)}")
            shell.good("produce", "lines", text=TEXT)
            other.send(signal.SIGTERM)
            assert other.ends() == 0
        until(lambda: counts(shell) == Counter(TEXT.split()), lambda: f"all counts: {one.err}")
        one.send(signal.SIGTERM)
        assert one.ends() == 0


def test_workers_take_the_ports_that_follow(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shell.write("app.py", WORD_COUNT)
        with shell.started("run", "app.py", "--workers", "2", "--http", f"127.0.0.1:{port}") as running:
            both_work(running)
            assert f"(port {port} is in use) (worker 0)" in running.err


def test_reload_starts_again_when_the_script_changes(shell: Shell) -> None:
    def version(word: str) -> str:
        show = f"lambda value: print('{word}', value, flush=True)"
        return f"from streamflow import App\napp = App('x')\napp.stream('in', value=str).foreach({show})\n"

    shell.write("app.py", version("one"))
    shell.good("produce", "in", text="a\n")
    with shell.started("run", "app.py", "--reload", "--no-http") as running:
        until(lambda: "one a" in running.out, lambda: f"the first version: {running.err}")
        shell.write("app.py", "def broken(:\n")
        running.says("waiting for a change of the script")
        assert "app.py:1: invalid syntax" in running.err
        shell.write("app.py", version("two"))
        shell.good("produce", "in", text="b\n")
        until(lambda: "two b" in running.out, lambda: f"the second version: {running.err}")
        assert "two a" not in running.out
        running.send(signal.SIGINT)
        assert running.ends() == 0


def ours_still(pid: int) -> bool:
    """It runs and is of Python; the brokers in Java that other tests share go when the session does."""
    return not gone(pid) and not Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"java")


def test_nothing_is_left_running() -> None:
    """The tests above end every process they start."""
    ours = Path("/proc/self/task").glob("*/children")
    assert [pid for path in ours for pid in path.read_text().split() if ours_still(int(pid))] == []
