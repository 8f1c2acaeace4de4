"""The topology on the page: drawn so that it can be read, and with what flows through it."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tests.browser.looking import PATIENCE, Look, Shop, holds, reads, told
from tests.browser.needed import CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Page

assert CHROMIUM

BEYOND = """(() => { const place = document.getElementById("graph");
return place.scrollWidth > place.clientWidth + 1 || place.scrollHeight > place.clientHeight + 1; })()"""


BETWEEN = "shop-kinds-repartition"


def node(step: str) -> str:
    return f"#graph [data-step='{step}']"


def test_no_two_steps_lie_on_each_other(look: Look) -> None:
    boxes: list[dict[str, float]] = look.page.locator("#graph [data-step] rect").evaluate_all(
        "nodes => nodes.map(n => { const {x, y, width, height} = n.getBBox(); return {x, y, width, height}; })"
    )
    for a, b in combinations(boxes, 2):
        beside = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
        assert beside or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"], (a, b)


def test_a_graph_that_goes_on_says_so_and_can_be_seen_whole(look: Look) -> None:
    page = look.page
    assert page.is_visible("#graph-hint") == page.evaluate(BEYOND)
    page.set_viewport_size({"width": 360, "height": 700})
    holds(page, "#graph-hint", "The graph goes on")
    assert page.evaluate(BEYOND)
    page.click("#graph-whole")
    reads(page, "#graph-hint", "")
    assert not page.evaluate(BEYOND)
    page.click("#graph-whole")
    holds(page, "#graph-hint", "The graph goes on")


def test_a_step_tells_its_types_and_leads_to_its_store_and_its_topic(shop: Shop, look: Look) -> None:
    page = look.page
    page.click(node("counts"))
    holds(
        page, "#step", "counts: Count · written at app.py:7 · keeps or asks counts (key_value, key string, value int64)"
    )
    page.click("#step-doors button")
    reads(page, "#rows-say", "7 rows")
    page.focus(node("orders-source"))
    page.keyboard.press("Enter")
    holds(page, "#step", "reads orders (key string, value string)")
    page.keyboard.press("Tab")
    page.click("#step-doors button")
    holds(page, "#records-say", "records")
    assert page.input_value("#topic") == "orders"
    assert not look.said


def test_a_table_that_every_worker_has_stands_beside_those_who_ask_it(shop: Shop, look: Look) -> None:
    [table] = shop.ask("/topology")["globals"]
    holds(look.page, "#graph svg", "On every worker")
    look.page.click(node(table["name"]))
    holds(look.page, "#step", "reads places (key string, value string)")
    holds(look.page, "#step", "goes to placed")
    look.page.click("#step-doors button >> nth=0")
    reads(look.page, "#rows-say", "1 rows")


def test_tab_stops_once_at_the_graph_and_arrows_go_through_it(look: Look) -> None:
    page = look.page
    focused = "document.activeElement.dataset.step"
    assert page.locator("#graph [tabindex='0']").count() == 1
    page.focus(node("counts"))
    across = page.locator(f"{node('counts')} rect").bounding_box()
    below = page.locator(f"{node('counts-to-stream')} rect").bounding_box()
    assert across and below
    forth, back = ("ArrowDown", "ArrowUp") if below["y"] > across["y"] + 1 else ("ArrowRight", "ArrowLeft")
    page.keyboard.press(forth)
    assert page.evaluate(focused) == "counts-to-stream"
    page.keyboard.press("Enter")
    holds(page, "#step", "counts-to-stream: ToStream")
    page.keyboard.press(back)
    assert page.evaluate(focused) == "counts"
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(focused) == "counts"


def test_rates_lag_and_errors_stand_at_the_steps_and_on_the_ways_between(look: Look) -> None:
    """One who says of `orders` that 100 more were read, and of `counts` that 40 more were written, at each look."""
    page, looks = look.page, 0

    def answer() -> dict[str, Any]:
        nonlocal looks
        looks += 1
        one = {"topic": "orders", "partition": 0, "position": 100 * looks, "committed": 0, "end": 0, "lag": 5}
        task = {
            "task": "s_0",
            "inputs": [one],
            "outputs": [{"topic": "counts", "sent": 40 * looks}, {"topic": BETWEEN, "sent": 70 * looks}],
            "dropped": [{"step": "long-orders", "reason": "error", "records": 3}],
        }
        return told([task])

    page.route("**/tasks?all=1", lambda route: route.fulfill(json=answer()))
    holds(page, node("long-orders"), "3 dropped")
    matches(page, f"{node('orders-source')} .live", r"[1-9][\d,.]*/s, lag 5")
    matches(page, f"{node('counts-sink')} .live", r"[1-9][\d,.]*/s out")
    matches(page, "#graph [data-flow]", r"[1-9][\d,.]*/s, lag 0")


def matches(page: Page, where: str, pattern: str) -> None:
    """Wait until the whole text of it does."""
    from playwright.sync_api import expect

    expect(page.locator(where)).to_have_text(re.compile(f"^{pattern}$"), timeout=PATIENCE)
