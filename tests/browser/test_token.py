"""The page of workers that want a token: it holds nothing before somebody has given it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.looking import PATIENCE, holds, reads
from tests.browser.needed import CHROMIUM
from tests.cli.shell import Shell

if TYPE_CHECKING:
    from playwright.sync_api import Browser

assert CHROMIUM

TOKEN = "a-token-of-this-test"
APP = """
from streamflow import App

app = App("guarded", topic_partitions=1)
app.table("users", key=str, value=str, name="users")
"""


def test_a_page_without_the_token_shows_nothing_and_with_it_everything(tmp_path: Path, browser: Browser) -> None:
    shell = Shell(tmp_path)
    shell.write("app.py", APP)
    with shell.started("run", "app.py", "--http", "127.0.0.1:0", "--http-token", TOKEN) as running:
        address = "http://" + running.says("http://").split("http://")[1].split()[0]
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        holds(page, "#state", "this worker wants its token")
        assert page.locator("#graph [data-step]").count() == 0
        assert page.locator("#setting-rows tr").count() == 0
        page.fill("#token", "another-token-altogether")
        page.click("#login button")
        page.wait_for_selector("#login:not([hidden])")
        page.fill("#token", TOKEN)
        page.click("#login button")
        reads(page, "#state", "running")
        assert page.locator("#graph [data-step='users']").count() == 1
        holds(page, "#setting-rows", "given, not shown")
        assert TOKEN not in page.content()
        assert not page.is_visible("#login")
        page.close()
