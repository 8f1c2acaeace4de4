"""What a person sees while a long job is under way."""

from __future__ import annotations

import socket

import msgspec
import pytest

from streamflow.run import report
from streamflow.run.report import Terminal, Upstream


def test_a_long_job_has_a_bar_with_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "PATIENCE", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal = Terminal()
    for left in (2000, 1500, 1000):
        terminal.progress("processing", 2000, left)
        terminal.progress("restoring", 10, 7)
    terminal.progress("restoring", 10, 0)
    terminal.progress("processing", 2000, 0)
    terminal.close()
    said = capsys.readouterr().err
    assert "processing" in said
    assert "records left" in said


def test_a_short_job_has_none_and_nor_has_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped = Terminal()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    short = Terminal()
    monkeypatch.setattr(report, "PATIENCE", 1000.0)
    for terminal in (piped, short):
        terminal.progress("processing", 2000, 1000)
        terminal.progress("processing", 2000, 0)
        terminal.close()
    assert capsys.readouterr().err == ""


def test_a_worker_says_the_same_up_its_socket_and_survives_the_end_of_it() -> None:
    ours, theirs = socket.socketpair()
    worker = Upstream(theirs)
    worker.fact("http", "http://x:1")
    worker.progress("restoring", 10, 5)
    worker.progress("restoring", 10, 4)  # too soon after the last
    worker.progress("restoring", 10, 0)
    worker.failed("no", 2)
    said = [msgspec.json.decode(line) for line in ours.recv(10_000).splitlines()]
    assert said == [
        ["fact", "http", "http://x:1"],
        ["progress", "restoring", 10, 5],
        ["progress", "restoring", 10, 0],
        ["failed", "no", 2],
    ]
    ours.close()
    worker.warn("nobody hears this")
    theirs.close()
