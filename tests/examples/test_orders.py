"""The order system under fire: its services are killed while customers order, and the topics are checked afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from examples.orders.check import Outcome, check, fraud
from examples.orders.decide import TIME_OUT
from examples.orders.decide import app as decide
from examples.orders.inventory import app as inventory
from examples.orders.model import Decision, Order, Verdict
from examples.orders.system import System
from streamflow.testing import TopologyTestDriver

ROOT = Path(__file__).parents[2]


def two_free_ports() -> int:
    """The first of two that nobody listens on."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def test_orders_survive_the_killing_of_their_services(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    command = [sys.executable, "-m", "examples.orders.demo", "--orders", "300", "--kills", "3", "--outage", ""]
    command += [
        "--clients",
        "16",
        "--seed",
        str(seed),
        "--home",
        str(tmp_path / "home"),
        "--port",
        str(two_free_ports()),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 services killed meanwhile" in ran.stdout
    assert "fraud rewound" in ran.stdout
    assert "all 300 orders seen by the GET after their POST" in ran.stdout


def test_the_rest_service_tells_what_it_cannot_take_and_what_is_not_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    system = System(home, f"embedded://{home / 'log'}", two_free_ports())
    body = {"customer": "ann", "product": "figs", "quantity": 2, "price": 100}

    async def ask(http: aiohttp.ClientSession, method: str, path: str, **request: Any) -> tuple[int, str]:
        until = time.monotonic() + 60
        while True:
            try:
                async with http.request(method, path, **request) as response:
                    if response.status != 503 or time.monotonic() > until:
                        return response.status, await response.text()
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < until, system.said("rest")
            await asyncio.sleep(0.05)

    async def talk() -> list[tuple[int, str]]:
        async with aiohttp.ClientSession(system.url) as http:
            mine, other = {"Idempotency-Key": "mine"}, {"Idempotency-Key": "no/slash"}
            return [
                await ask(http, "GET", "/orders/nobodys"),
                await ask(http, "POST", "/orders", data="{"),
                await ask(http, "POST", "/orders", json={"customer": "ann"}),
                await ask(http, "POST", "/orders", json=body, headers=other),
                await ask(http, "POST", "/orders?wait=soon", json=body),
                await ask(http, "POST", "/orders?wait=300ms", json=body, headers=mine),
                await ask(http, "POST", "/orders", json=body, headers=mine),
                await ask(http, "POST", "/orders", json=body | {"quantity": 3}, headers=mine),
                await ask(http, "GET", "/orders/mine"),
                await ask(http, "GET", "/"),
            ]

    try:
        system.start("view")
        system.start("rest")
        told = asyncio.run(talk())
    finally:
        system.abandon()
    assert [status for status, _ in told] == [404, 400, 400, 400, 400, 202, 202, 400, 200, 200], told
    assert told[0][1] == "there is no order nobodys"
    assert json.loads(told[5][1])["state"] == "pending"
    assert json.loads(told[8][1])["order"].items() >= (body | {"id": "mine"}).items()


def order(id: str = "o", quantity: int = 2) -> Order:
    return Order(id, "ann", "figs", quantity, 100, 1)


def test_an_order_is_decided_once_when_all_verdicts_are_in_and_leaves_no_row() -> None:
    with TopologyTestDriver(decide) as driver:
        verdicts = driver.input_topic("verdicts")
        for check in ("fraud", "details", "payment"):
            verdicts.pipe("o", Verdict("o", check, True))
        driver.input_topic("orders").pipe("ann", order())
        decisions = driver.output_topic("decisions")
        assert decisions.read() is None
        verdicts.pipe("o", Verdict("o", "inventory", False, "none left"))
        assert decisions.read_key_values() == [("o", Decision(order(), False, ["inventory: none left"]))]
        assert list(driver.store("open").all()) == []


def test_an_order_that_is_not_answered_in_time_is_refused_once_and_what_comes_late_changes_nothing() -> None:
    with TopologyTestDriver(decide) as driver:
        driver.input_topic("orders").pipe("ann", order())
        decisions, verdicts = driver.output_topic("decisions"), driver.input_topic("verdicts")
        for check in ("fraud", "details", "payment"):
            verdicts.pipe("o", Verdict("o", check, True))
        driver.advance_wall_clock(f"{TIME_OUT + 2000}ms")
        driver.advance_wall_clock(f"{TIME_OUT + 2000}ms")
        refused = Decision(order(), False, ["inventory: no answer in time"], ["inventory"])
        assert decisions.read_key_values() == [("o", refused)]
        verdicts.pipe("o", Verdict("o", "inventory", True))
        assert decisions.read() is None
        assert list(driver.store("open").all()) == []


@pytest.mark.parametrize("decided_first", [False, True])
def test_what_is_refused_gives_its_stock_back_even_when_it_was_decided_before_the_inventory_saw_it(
    decided_first: bool,
) -> None:
    with TopologyTestDriver(inventory) as driver:
        driver.input_topic("stock").pipe("figs", 3)
        orders, decisions = driver.input_topic("orders"), driver.input_topic("decisions")
        steps: list[Callable[[], None]] = [
            lambda: orders.pipe("ann", order()),
            lambda: decisions.pipe("o", Decision(order(), False, ["fraud"])),
        ]
        for step in reversed(steps) if decided_first else steps:
            step()
        orders.pipe("ann", order("p", 3))
        moves = [
            (record.value.change, record.value.left) for record in driver.output_topic("stock-moves").read_records()
        ]
        assert moves == ([(0, 3), (-3, 0)] if decided_first else [(-2, 1), (2, 3), (-3, 0)])
        assert list(driver.store("reservations").all()) == [("p", 3)]


def a_good_day() -> dict[str, list[dict[str, Any]]]:
    """The topics after one accepted order."""
    body = {"id": "o", "customer": "ann", "product": "figs", "quantity": 2, "price": 100, "number": 1}
    verdicts = [{"order": "o", "check": c, "passed": True} for c in ("details", "fraud", "inventory", "payment")]
    rows: dict[str, list[tuple[str, Any]]] = {
        "customers": [("ann", {"card_limit": 300})],
        "stock": [("figs", 5)],
        "orders": [("ann", body)],
        "verdicts": [("o", verdict) for verdict in verdicts],
        "decisions": [("o", {"order": body, "accepted": True, "why": [], "timed_out": []})],
        "stock-moves": [("figs", {"order": "o", "product": "figs", "change": -2, "left": 3})],
        "payments": [("o", {"order": "o", "customer": "ann", "amount": 200})],
        "emails": [("o", {})],
    }
    return {
        topic: [{"key": key, "value": value, "timestamp": 0} for key, value in found] for topic, found in rows.items()
    }


def checked(topics: dict[str, list[dict[str, Any]]]) -> Outcome:
    placed = {"o": {name: value for name, value in topics["orders"][0]["value"].items() if name != "id"}}
    return check(lambda topic, kind: topics[topic], placed, {"o": "accepted"}, limit=1000)


def test_the_checker_finds_nothing_where_all_is_right() -> None:
    assert checked(a_good_day()).wrong == []


@pytest.mark.parametrize("topic", ["orders", "verdicts", "decisions", "stock-moves", "payments", "emails"])
@pytest.mark.parametrize("times", [0, 2])
def test_the_checker_notices_a_record_that_is_lost_or_doubled(topic: str, times: int) -> None:
    topics = a_good_day()
    last = topics[topic].pop()
    placed = {"o": {name: value for name, value in a_good_day()["orders"][0]["value"].items() if name != "id"}}
    topics[topic] += [last] * times
    assert check(lambda topic, kind: topics[topic], placed, {"o": "accepted"}, limit=1000).wrong


def test_the_checker_sums_a_customers_orders_up_to_a_pause() -> None:
    times: dict[str, int] = defaultdict(int, {"b": 10_000, "c": 20_001})
    orders = [
        {"value": {"id": id, "customer": "ann", "quantity": 1, "price": 60}, "timestamp": times[id]} for id in "abc"
    ]
    assert fraud(orders, 100) == {"a": True, "b": False, "c": True}
