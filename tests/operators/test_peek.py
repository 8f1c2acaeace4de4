"""Peek, foreach, print: records are seen and not changed."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow.operators.peek import Foreach, Peek, Print
from tests.operators.bench import Bench, function, sink, source, step


def test_peek_sees_each_record_and_passes_it_on() -> None:
    seen: list[Any] = []
    bench = Bench(source(), step("p", Peek(function(seen.append, "action"))), sink("p"))

    bench.pipe("k", "v", 7)

    assert seen == ["v"] and bench.out() == [("k", "v", 7)]


def test_peek_and_foreach_are_given_the_key_if_they_ask() -> None:
    seen: list[Any] = []

    def look(key: str, value: str) -> None:
        seen.append((key, value))

    f = function(look, "action")
    bench = Bench(source(), step("p", Peek(f)), step("f", Foreach(f), "p"))
    bench.pipe("k", "v")

    assert seen == [("k", "v")] * 2


def test_nothing_comes_after_foreach() -> None:
    seen: list[Any] = []
    bench = Bench(source(), step("f", Foreach(function(seen.append, "action"))), sink("in"))

    bench.pipe("k", "v")

    assert seen == ["v"] and bench.out() == [("k", "v", 0)]


def test_print_writes_label_key_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(source(), step("p", Print("words")), step("q", Print()))

    bench.pipe("k", "v")

    assert capsys.readouterr().out == "[words]: k, v\nk, v\n"
