"""The order system of the catalogue as its users meet it: orders posted over HTTP to a worker, verdicts waited for.

Loudly skipped where the catalogue's files are not; ``STREAMFLOW_SHARED`` is the folder that holds them.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.cli.shell import Shell

SHARED = Path(os.environ.get("STREAMFLOW_SHARED", Path(__file__).parents[3] / "shared"))
FILE = SHARED / "examples_catalogue" / "orders-end-to-end.json"
SCRIPT = Path(__file__).parents[2] / "examples" / "kafka_streams" / "orders_end_to_end.py"
DEADLINE = 60.0

if not FILE.is_file():
    pytest.skip(
        f"NOT RUN: {FILE} is not there; set STREAMFLOW_SHARED to the folder that holds examples_catalogue/",
        allow_module_level=True,
    )


def ask(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=20) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def post(url: str, body: Any) -> tuple[int, Any]:
    """Once the worker takes events."""
    until = time.monotonic() + DEADLINE
    while (answer := ask(url, body))[0] in (409, 503) and time.monotonic() < until:
        time.sleep(0.05)
    return answer


def row(address: str, store: str, key: str, states: tuple[str, ...] = ()) -> Any:
    """The row of a key, once it is there and in one of these states."""
    until = time.monotonic() + DEADLINE
    while True:
        status, told = ask(f"{address}/stores/{store}/keys/{key}")
        if status == 200 and (not states or told["value"]["state"] in states):
            return told["value"]
        assert time.monotonic() < until, (status, told)
        time.sleep(0.05)


@pytest.mark.parametrize("scenario", json.loads(FILE.read_text())["http"], ids=lambda scenario: scenario["name"])
def test_who_posts_an_order_gets_its_verdict(scenario: dict[str, Any], tmp_path: Path) -> None:
    stock = re.findall(r"(\w+) (\d+)", scenario["before"].partition(":")[2])
    posted = verdicts = 0
    with Shell(tmp_path).started("run", str(SCRIPT), "--http", "127.0.0.1:0") as running:
        address = "http://" + running.says("http://").split("http://")[1].split()[0]
        for product, count in stock:
            assert post(f"{address}/topics/warehouse-inventory?key={product}", int(count))[0] == 201
            assert row(address, "warehouse", product) == int(count)
        for step in scenario["steps"]:
            if "POST" in step:
                status, told = post(f"{address}/topics/orders?key={step['body']['id']}", step["body"])
                assert status == step["status"], told
                posted += 1
            else:
                found = row(address, "orders-store", step["GET"].split("/")[3], ("VALIDATED", "FAILED"))
                wanted = step.get("body") or step["body_has"]
                assert found | wanted == found
                verdicts += 1
    assert posted == verdicts > 0
