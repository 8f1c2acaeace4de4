"""The application once for all tests of the page, and the page for each: wide and light, narrow and dark.

Nothing of the browser is imported before a test asks for it, since it may be missing (`needed.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.looking import APP, EXACT, HOSTILE, PATIENCE, TASKS, Look, Shop, reads
from tests.cli.shell import Shell, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shell = Shell(tmp_path_factory.mktemp("shop"))
    shell.write("app.py", APP)
    lines = "".join(f"k{n % 7}:order {n}\n" for n in range(200))
    for topic, text in (
        ("orders", lines),
        ("users", f"{HOSTILE}:{HOSTILE}\n" + "".join(f"u{n}:user {n}\n" for n in range(300))),
        ("amounts", f"a:{EXACT}\n"),
        ("places", "p:a place\n"),
    ):
        shell.good("produce", topic, "--key-separator", ":", "--partitions", "3", text=text)
    prices = "".join(json.dumps({"key": "tea", "value": str(n), "timestamp": n * 1_000}) + "\n" for n in (3, 4))
    shell.good("produce", "prices", "--format", "json", "--partitions", "3", text=prices)
    with shell.started("run", "app.py", "--workers", "2", "--http", "127.0.0.1:0") as running:
        said = running.says("http://", times=2)
        shop = Shop(running, shell, [f"http://{piece.split()[0]}" for piece in said.split("http://")[1:3]])
        until(
            lambda: sum(t["state"] == "RUNNING" for t in shop.ask("/tasks?all=1")["tasks"]) == TASKS,
            lambda: running.err,
        )
        yield shop


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    from tests.browser.needed import CHROMIUM, QUIET

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(params=["light", "dark"])
def look(request: pytest.FixtureRequest, shop: Shop, browser: Browser) -> Iterator[Look]:
    narrow = request.param == "dark"
    size: Any = {"width": 375, "height": 740} if narrow else {"width": 1280, "height": 900}
    context = browser.new_context(viewport=size, color_scheme=request.param)
    context.set_default_timeout(PATIENCE)
    look = Look(context.new_page())
    look.page.on("console", lambda message: look.said.append(message.text) if message.type == "error" else None)
    look.page.on("pageerror", lambda error: look.said.append(str(error)))
    look.page.goto(shop.urls[0] + "/")
    look.page.wait_for_selector("#graph g[data-step]")
    reads(look.page, "#state", "running")
    yield look
    context.close()
