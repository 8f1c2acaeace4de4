"""A worker is killed or hangs while the page is open.

The page asks every second, and asking takes 3 s more where a worker does not answer. Measured on a busy machine, from the
signal to the page: killed 0.8 to 1.1 s, hanging 3.8 s. Of a worker that is killed without its group seeing it at once
(its machine is gone), the group says so after its session.
"""

from __future__ import annotations

import os
import signal

import pytest

from tests.browser.looking import TASKS, Look, Shop, holds, listens, reads
from tests.browser.needed import CHROMIUM

assert CHROMIUM


def process(shop: Shop, url: str) -> int:
    """The process that answers there."""
    port = int(url.rpartition(":")[2])
    [found] = [pid for pid in shop.running.children() if listens(pid, port)]
    return found


@pytest.mark.parametrize("look", ["light"], indirect=True)
def test_a_killed_worker_shows_and_so_does_the_one_in_its_place(shop: Shop, look: Look) -> None:
    other = next(task["worker"] for task in shop.ask("/tasks?all=1")["tasks"] if task["worker"] != shop.urls[0])
    os.kill(process(shop, other), signal.SIGKILL)
    holds(look.page, "#happened", f"worker {other} is gone")
    holds(look.page, "#happened", "has come")
    reads(look.page, "#running", f"{TASKS} of {TASKS}")
    reads(look.page, "#workers", "2")


@pytest.mark.parametrize("look", ["light"], indirect=True)
def test_a_worker_that_hangs_shows(shop: Shop, look: Look) -> None:
    said = shop.ask("/tasks?all=1")
    other = next(worker["worker"] for worker in said["workers"] if worker["worker"] != shop.urls[0])
    victim = process(shop, other)
    os.kill(victim, signal.SIGSTOP)
    try:
        holds(look.page, "#trouble", f"the worker at {other} holds the answer and cannot be asked: no answer in time")
    finally:
        os.kill(victim, signal.SIGCONT)
    reads(look.page, "#trouble", "")


@pytest.mark.parametrize("look", ["light"], indirect=True)
def test_the_worker_that_serves_the_page_hangs_and_the_page_says_so(shop: Shop, look: Look) -> None:
    victim = process(shop, shop.urls[0])
    os.kill(victim, signal.SIGSTOP)
    try:
        reads(look.page, "#state", "no answer of the worker for 3 s")
    finally:
        os.kill(victim, signal.SIGCONT)
    reads(look.page, "#state", "running")
