"""The page in a real browser: it says what the workers say, and runs nothing that somebody wrote into a topic."""

from __future__ import annotations

from pathlib import Path

from tests.browser.looking import HOSTILE, Look, Shop, reads, told
from tests.browser.needed import CHROMIUM

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
assert CHROMIUM


def test_what_is_on_the_page_is_what_the_workers_say(shop: Shop, look: Look) -> None:
    page = look.page
    said = shop.ask("/tasks?all=1")
    reads(page, "#lag", "0")
    assert page.text_content("#running") == f"{len(said['tasks'])} of {len(said['tasks'])}"
    assert page.text_content("#workers") == "2"
    shown = set(page.locator("#task-rows .row span:first-child").all_text_contents())
    assert shown == {task["task"] for task in said["tasks"]}
    topology = shop.ask("/topology")
    steps = {step["name"] for sub in topology["subtopologies"] for step in sub["steps"]}
    steps |= {table["name"] for table in topology["globals"]}
    assert set(page.locator("#graph g[data-step]").evaluate_all("nodes => nodes.map(n => n.dataset.step)")) == steps
    assert not look.said


def test_a_step_is_chosen_with_the_keyboard_and_tells_where_it_is_written(look: Look) -> None:
    page = look.page
    page.focus("#graph g[data-step='long-orders']")
    page.keyboard.press("Enter")
    told = page.text_content("#step") or ""
    assert told.startswith("long-orders: Filter")
    assert "written at app.py:6" in told


def test_the_theme_is_the_systems_until_somebody_chooses(look: Look) -> None:
    page = look.page
    back = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(back)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(back)
    assert light != dark
    page.focus("#theme")
    page.keyboard.press("Enter")
    assert page.evaluate(back) == light
    page.reload()
    assert page.evaluate(back) == light


def test_nothing_serious_is_found_by_axe_and_nothing_scrolls_sideways(look: Look) -> None:
    page = look.page
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.select_option("#store", "counts")
    page.click("#store-form button >> nth=0")
    page.wait_for_selector("#rows td")
    found = page.evaluate(AXE.read_text() + ";axe.run({resultTypes: ['violations']})")
    serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert not serious, [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in serious]


def test_ten_thousand_tasks_leave_a_few_rows_in_the_page(look: Look) -> None:
    page = look.page
    answer = told([{"task": f"task_{n}"} for n in range(10_000)])
    page.route("**/tasks?all=1", lambda route: route.fulfill(json=answer))
    reads(page, "#running", "10000 of 10000")
    assert page.locator("#task-rows .row").count() < 60
    page.evaluate("document.getElementById('task-list').scrollTop = 5000 * 28")
    page.wait_for_selector("#task-rows .row:has-text('task_5000')")
    page.fill("#task-filter", "task_9999")
    assert page.locator("#task-rows .row").count() == 1


def test_keys_and_values_are_text_whatever_they_are(look: Look) -> None:
    page = look.page
    page.select_option("#store", "users")
    page.click("#store-form button >> nth=0")
    page.wait_for_selector("#rows td")
    assert page.locator("#rows td").all_text_contents()[:2] == [HOSTILE, HOSTILE]
    page.select_option("#topic", "users")
    page.fill("#topic-key", HOSTILE)
    page.click("#topic-form button")
    page.wait_for_selector("#records td")
    assert page.locator("#records td").all_text_contents()[3:5] == [HOSTILE, HOSTILE]
    assert page.locator("img").count() == 0
    assert page.title() == "streamflow"
    assert not look.said
