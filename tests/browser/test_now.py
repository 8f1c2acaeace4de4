"""What the page says of workers, tasks and what flows."""

from __future__ import annotations

from tests.browser.looking import Look, Shop, holds, reads, told
from tests.browser.needed import CHROMIUM
from tests.cli.shell import until

assert CHROMIUM

SLOW = """
window.most = window.over = 0;
let under = 0;
const before = window.fetch;
window.fetch = async (target, ...others) => {
  if (!String(target).startsWith("/tasks")) return before(target, ...others);
  window.most = Math.max(window.most, ++under);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  try { return await before(target, ...others); } finally { under--; window.over++; }
};
"""


def test_a_look_ends_before_the_next_one_begins(look: Look) -> None:
    page = look.page
    page.add_init_script(SLOW)
    page.reload()
    until(lambda: page.evaluate("window.over") >= 3, lambda: "a third look")
    assert page.evaluate("window.most") == 1


def test_a_worker_without_tasks_is_counted(look: Look) -> None:
    workers = [{"id": f"w-{n}", "worker": f"http://w{n}", "tasks": int(n == 0)} for n in range(3)]
    answer = told([{"task": "s_0"}], workers=workers)
    look.page.route("**/tasks?all=1", lambda route: route.fulfill(json=answer))
    reads(look.page, "#workers", "3")


def test_a_worker_that_is_started_again_under_the_same_address_is_told_of(look: Look) -> None:
    page, name = look.page, "w-1"

    def answer() -> object:
        return told([{"task": "s_0"}], workers=[{"id": name, "worker": "http://w", "tasks": 1}])

    page.route("**/tasks?all=1", lambda route: route.fulfill(json=answer()))
    holds(page, "#happened", "worker http://w has come")
    name = "w-2"
    holds(page, "#happened", "worker http://w is gone")


def test_a_source_shows_the_lag_of_its_own_topic_alone(look: Look) -> None:
    one = {"partition": 0, "position": 3, "committed": 3, "end": 10, "lag": 7}
    other = told([{"task": "s_0", "inputs": [{"topic": "late-orders", **one}]}])
    look.page.route("**/tasks?all=1", lambda route: route.fulfill(json=other))
    reads(look.page, "#lag", "7")
    holds(look.page, "#graph g[data-step='orders-source']", "lag 0")
    own = told([{"task": "s_0", "inputs": [{"topic": "orders", **one}]}])
    look.page.unroute("**/tasks?all=1")
    look.page.route("**/tasks?all=1", lambda route: route.fulfill(json=own))
    holds(look.page, "#graph g[data-step='orders-source']", "lag 7")


def test_copies_and_how_far_a_restore_is_stand_beside_the_task(look: Look) -> None:
    restore = {"store_records": 10_000, "remaining": 6_000, "records_per_second": 2_000.0, "seconds_left": 3.0}
    warm = {"task": "s_0", "worker": "http://host:8081", "warm": True, "lag": 0, "trouble": "", "restore": restore}
    cold = {**warm, "task": "s_1", "warm": False, "lag": 1_234}
    tasks = [{"task": "s_0"}, {"task": "s_1", "state": "RESTORING", "restore": restore}]
    answer = told(tasks, standbys=[warm, cold])
    look.page.route("**/tasks?all=1", lambda route: route.fulfill(json=answer))
    reads(look.page, "#restoring", "1")
    rows = look.page.locator("#task-rows .row")
    assert rows.nth(0).locator("span").all_text_contents()[:4] == ["s_0", "running", "http://w", "warm on :8081"]
    assert rows.nth(1).locator("span").all_text_contents()[1::2][:2] == [
        "restoring 40 %, 6,000 records to go, about 3 s",
        "1,234 behind on :8081, about 3 s",
    ]
    holds(look.page, "#trouble", "task s_1 is restoring 40 %, 6,000 records to go, about 3 s")


def test_after_the_worker_was_away_the_topology_is_that_of_today(shop: Shop, look: Look) -> None:
    page, topology = look.page, shop.ask("/topology")
    for sub in topology["subtopologies"]:
        for step in sub["steps"]:
            step["name"] = step["name"].replace("long-orders", "new-orders")
            for names in (step["parents"], step["children"], step["asks"]):
                names[:] = [name.replace("long-orders", "new-orders") for name in names]
    page.route("**/tasks?all=1", lambda route: route.abort())
    reads(page, "#state", "the worker does not answer; trying again")
    page.route("**/topology", lambda route: route.fulfill(json=topology))
    page.unroute("**/tasks?all=1")
    page.wait_for_selector("#graph [data-step='new-orders']")
    reads(page, "#state", "running")
