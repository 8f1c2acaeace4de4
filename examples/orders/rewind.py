"""The fraud service rewound: every order there ever was judged anew by a stricter rule, into a view beside the old verdicts."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from examples.orders.system import ROOT, STREAMFLOW, System

VIEW = "fraud-strict"
PATIENCE = 120.0  # seconds for all of it


def rewind(system: System, limit: int, orders: int) -> dict[str, bool]:
    """Reset the stopped service, replay it with ``limit``, and ask its new view until it has all ``orders``."""
    options = ["--broker", system.broker, "--state-dir", str(system.home / "state")]
    command = [*STREAMFLOW, "reset", "examples/orders/fraud.py", "--to-earliest", "--yes", *options]
    reset = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if reset.returncode:
        raise RuntimeError(f"'{' '.join(command)}' ended with {reset.returncode}: {reset.stderr}")
    system.start("fraud", http=True, FRAUD_LIMIT=str(limit), FRAUD_VIEW=VIEW)
    until = time.monotonic() + PATIENCE
    while len(found := rows(system.view)) < orders:
        if time.monotonic() > until:
            raise RuntimeError(f"{VIEW} has {len(found)} of {orders} rows:\n{system.said('fraud')}")
        time.sleep(0.2)
    system.stop()
    return found


def rows(url: str) -> dict[str, bool]:
    """The new view, a page at a time; empty while it cannot be asked."""
    found: dict[str, bool] = {}
    cursor: str | None = ""
    try:
        while cursor is not None:
            page = ask(
                f"{url}/stores/{VIEW}/keys?{urlencode({'limit': 1000} | ({'cursor': cursor} if cursor else {}))}"
            )
            found |= {entry["key"]: entry["value"]["passed"] for entry in page["entries"]}
            cursor = page["cursor"]
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return {}
    return found


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)
