"""A small application on two workers, and its page in a browser."""

from __future__ import annotations

import json
import os
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cli.shell import Running, Shell

if TYPE_CHECKING:
    from playwright.sync_api import Page

TASKS = 15
PATIENCE = 60_000  # milliseconds
HOSTILE = "<img src=x onerror=document.title='run'>"
EXACT = '{"cents":9007199254740993,"share":1.0}'

APP = """
from streamflow import App, tumbling

app = App("shop", topic_partitions=3, on_process_error="dead_letter")
orders = app.stream("orders", key=str, value=str)
long = orders.filter(lambda order: len(order) > 1 / (order != "bad"), name="long-orders")
long.group_by_key().count(name="counts").to_stream().to("counts")
orders.group_by_key().windowed_by(tumbling("1m")).count(name="per-minute")
long.group_by(lambda order: order[:5], key=str).count(name="kinds")
places = app.global_table("places", key=str, value=str, name="places")
orders.left_join(places, lambda order, place: order, on=lambda order: order, value=str, name="placed").to("placed")
app.table("prices", key=str, value=str, name="prices", history="100000d")
app.table("users", key=str, value=str, name="users")
app.table("amounts", key=str, value=dict, name="amounts")
"""


@dataclass
class Shop:
    running: Running
    shell: Shell
    urls: list[str]

    def ask(self, target: str) -> Any:
        with urllib.request.urlopen(self.urls[0] + target, timeout=30) as answer:
            return json.load(answer)


@dataclass
class Look:
    """The page, and what it had to complain about."""

    page: Page
    said: list[str] = field(default_factory=list[str])


def reads(page: Page, where: str, text: str) -> None:
    """Wait until it does."""
    from playwright.sync_api import expect

    expect(page.locator(where)).to_have_text(text, timeout=PATIENCE)


def holds(page: Page, where: str, text: str) -> None:
    """Wait until the text is in it."""
    from playwright.sync_api import expect

    expect(page.locator(where)).to_contain_text(text, timeout=PATIENCE)


def hidden(page: Page, where: str) -> None:
    """Wait until it is not to be seen."""
    from playwright.sync_api import expect

    expect(page.locator(where)).to_be_hidden(timeout=PATIENCE)


def told(tasks: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
    """An answer of `/tasks?all=1` with these tasks, each with what is not said of it."""
    one = {
        "worker": "http://w",
        "subtopology": "s",
        "partition": 0,
        "state": "RUNNING",
        "processed": 1,
        "inputs": [],
        "outputs": [],
        "dropped": [],
        "stores": [],
    }
    workers = [{"id": "w-1", "worker": "http://w", "tasks": len(tasks)}]
    found = {"worker": "http://w", "state": "RUNNING", "standbys": [], "unreachable": [], "unassigned": []}
    return {**found, "tasks": [one | task for task in tasks], "workers": workers, **others}


def listens(pid: int, port: int) -> bool:
    """Whether a process listens on a port of this machine."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    fds = Path(f"/proc/{pid}/fd")
    return any(os.readlink(fd) in inodes for fd in fds.iterdir())
