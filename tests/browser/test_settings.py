"""What the page tells of the past and of the settings."""

from __future__ import annotations

from tests.browser.looking import Look, Shop, holds, reads
from tests.browser.needed import CHROMIUM
from tests.cli.shell import until

assert CHROMIUM


def test_the_settings_stand_on_the_page(look: Look) -> None:
    rows = look.page.locator("#setting-rows tr")
    holds(look.page, "#setting-rows", "commit interval")
    shown = {row.locator("td").nth(0).text_content(): row.locator("td").nth(1).text_content() for row in rows.all()}
    assert shown["commit interval"] == "100 ms"
    assert shown["on process error"] == "dead_letter"
    assert shown["http token"] == "not set"


def test_a_page_that_was_opened_a_moment_ago_shows_what_was_before(shop: Shop, look: Look) -> None:
    points = until(
        lambda: len(found) > 1 and found if (found := shop.ask("/history?all=1")["points"]) else [],
        lambda: "two points of the history",
    )
    look.page.reload()
    line = look.page.locator("#rate-chart polyline")
    line.wait_for(state="attached")
    assert len((line.get_attribute("points") or "").split()) >= len(points)
    holds(look.page, "#rate-most", "at most since")


def test_an_hour_is_a_line_of_720_points(look: Look) -> None:
    page = look.page
    points = [{"time": 5_000 * n, "rate": float(n), "lag": 0} for n in range(720)]
    answer = {"step_ms": 5_000, "points": points, "unreachable": []}
    page.route("**/history?all=1*", lambda route: route.fulfill(json=answer))
    page.reload()
    reads(page, "#rate-most", ", 719 at most since 00:00:00 UTC")
    drawn = page.locator("#rate-chart polyline").get_attribute("points") or ""
    assert len(drawn.split()) == 720
