"""Topics that come into being while a worker runs."""

from __future__ import annotations

from tests.cli.shell import Shell, until

APP = """
import re
from streamflow import App

app = App("all-orders")
orders = app.stream(re.compile("orders-[a-z]+"), key=str, value=str)
orders.group_by_key().count(name="counts").to_stream().to("counts")
orders.to("passed")
"""


def passed(shell: Shell) -> list[str]:
    return sorted(shell.good("consume", "passed", "--from-beginning", "--until-end", "--format", "raw").split())


def test_a_topic_that_a_pattern_matches_is_read_from_its_beginning(shell: Shell) -> None:
    shell.write("app.py", APP)
    pairs = ("--key-separator", ":", "--partitions", "2")
    shell.good("produce", "orders-north", *pairs, text="a:1\nb:2\n")
    with shell.started("run", "app.py", "--no-http") as running:
        until(lambda: "passed" in shell.good("topics", "list") and passed(shell) == ["1", "2"], lambda: running.err)
        shell.good("produce", "orders-south", *pairs, text="a:3\n")
        running.says("there is 'orders-south' to read now: planning anew")
        until(lambda: passed(shell) == ["1", "2", "3"], lambda: running.err)
        counts = shell.good(
            "consume", "counts", "--from-beginning", "--until-end", "--format", "key-value", "--value", "int"
        )
        assert sorted(counts.split("\n")) == ["", "a\t1", "a\t2", "b\t1"], "the count goes on where it was"


def test_a_topic_with_other_partitions_than_its_likes_stops_the_worker_with_the_reason(shell: Shell) -> None:
    shell.write("app.py", APP)
    shell.good("produce", "orders-north", "--partitions", "2", text="1\n")
    with shell.started("run", "app.py", "--no-http") as running:
        until(lambda: "counts" in shell.good("topics", "list"), lambda: running.err)
        shell.good("produce", "orders-south", "--partitions", "3", text="2\n")
        assert running.ends() == 2
        assert "orders-south" in running.err and "3" in running.err, running.err
