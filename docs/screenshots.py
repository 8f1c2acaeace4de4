"""Makes the pictures of the page that the README shows: ``make screenshots``. Needs Chromium and what ``make test`` sets up.

A small shop runs on two workers in a temporary folder while orders come in; the page has been open for a while.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.needed import QUIET
from tests.cli.shell import Shell, until

FOLDER = Path(__file__).parent / "pages"
POINTS = 13  # of the charts: a minute
APP = """
from streamflow import App, tumbling

app = App("shop", topic_partitions=4)
orders = app.stream("orders", key=str, value=str)
large = orders.filter(lambda order: len(order) > 8, name="large-orders")
large.group_by(lambda order: order[:7], key=str).count(name="by-kind").to_stream().to("kinds")
orders.group_by_key().windowed_by(tumbling("1m")).count(name="per-minute")
users = app.table("users", key=str, value=str, name="users")
orders.join(users, lambda order, user: f"{order} for {user}", value=str, name="with-user").to("named")
"""


def orders(shell: Shell, most: int) -> None:
    """Up to so many orders."""
    lines = "".join(f"u{n % 9}|order {n % 5} number {n}\n" for n in range(random.randint(most // 3, most)))
    shell.good("produce", "orders", "--key-separator", "|", text=lines)


def flows(page: Page) -> bool:
    """Whether the picture has figures that are not nothing."""
    return not (page.text_content("[data-step='orders-source'] .live") or "0/s").startswith("0/s")


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("there is no browser; bring one with 'apt-get install chromium'")
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(Path(folder))
        shell.write("app.py", APP)
        users = "".join(f"u{n}|user {n}\n" for n in range(9))
        shell.good("produce", "users", "--key-separator", "|", "--partitions", "4", text=users)
        shell.good("produce", "orders", "--key-separator", "|", "--partitions", "4", text="u1|first\n")
        with shell.started("run", "app.py", "--workers", "2", "--http", "127.0.0.1:0") as running:
            address = "http://" + running.says("http://", times=2).split("http://")[1].split()[0]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
                for scheme in ("light", "dark"):
                    page = browser.new_context(viewport={"width": 1180, "height": 1230}, color_scheme=scheme).new_page()
                    page.goto(address)
                    while len(page.locator("#rate-chart polyline").get_attribute("points").split()) < POINTS:
                        orders(shell, 900)
                        page.wait_for_timeout(1_500)
                    page.click("g[data-step='by-kind']")
                    page.evaluate("window.scrollTo(0, 0)")
                    orders(shell, 3_000)
                    until(lambda page=page: flows(page), lambda: running.err)
                    page.screenshot(path=FOLDER / f"page-{scheme}.png")
                browser.close()


if __name__ == "__main__":
    main()
