"""Is it all right? Everything worked out anew from the topics, in plain Python and without the services' code."""

from __future__ import annotations

import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CHECKS = ("details", "fraud", "inventory", "payment")
GAP_MS = 10_000

Records = list[dict[str, Any]]
Read = Callable[[str, str], Records]
"""``(topic, type of its values)`` -> its records as `streamflow consume --format json` tells them."""


@dataclass
class Outcome:
    """``wrong`` says in words what is; the rest are figures."""

    wrong: list[str] = field(default_factory=list[str])
    accepted: int = 0
    timed_out: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    left: dict[str, int] = field(default_factory=dict[str, int])

    def all_alike(self, what: str, wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> None:
        keys = [key for key in (*wanted, *(found.keys() - wanted.keys())) if wanted.get(key) != found.get(key)]
        if keys:
            key = keys[0]
            self.wrong.append(
                f"{what}: {len(keys)} of {len(wanted)} are wrong, {key} is {found.get(key)}, should be {wanted.get(key)}"
            )


def consume(streamflow: Sequence[str], broker: str) -> Read:
    """Read topics through ``streamflow consume``, given the command's first words."""

    def read(topic: str, kind: str) -> Records:
        options = ["--broker", broker, "--from-beginning", "--until-end", "--format", "json"]
        command = [*streamflow, "consume", topic, *options, "--key", "str", "--value", kind]
        told = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        return [json.loads(line) for line in told.splitlines()]

    return read


def fraud(orders: Records, limit: int) -> dict[str, bool]:
    """What the fraud service must have said: sums over the orders of a customer with pauses of at most the gap."""
    sums: dict[str, tuple[int, int]] = {}
    verdicts: dict[str, bool] = {}
    for record in orders:
        order, time = record["value"], record["timestamp"]
        last, total = sums.get(order["customer"], (time, 0))
        total = (total if time - last <= GAP_MS else 0) + order["quantity"] * order["price"]
        sums[order["customer"]] = time, total
        verdicts[order["id"]] = total <= limit
    return verdicts


def check(read: Read, placed: Mapping[str, dict[str, Any]], told: Mapping[str, str], limit: int) -> Outcome:
    """All topics against what was ``placed``, and what its clients were ``told``."""
    out = Outcome()
    orders = read("orders", "json")
    once = dict.fromkeys(placed, 1)
    out.all_alike("orders, each written once", once, Counter(r["value"]["id"] for r in orders))
    by_id = {r["value"]["id"]: r["value"] for r in orders}
    out.all_alike("orders, as they were placed", {id: o | {"id": id} for id, o in placed.items()}, by_id)
    numbers: dict[str, list[int]] = defaultdict(list)
    for record in orders:
        numbers[record["value"]["customer"]].append(record["value"]["number"])
    out.all_alike(
        "the order of a customer's orders", {c: list(range(1, len(n) + 1)) for c, n in numbers.items()}, numbers
    )

    verdicts = [r["value"] for r in read("verdicts", "json")]
    each = {(id, name): 1 for id in placed for name in CHECKS}
    out.all_alike("verdicts, one of each check", each, Counter((v["order"], v["check"]) for v in verdicts))
    passed = {(v["order"], v["check"]): v["passed"] for v in verdicts}
    mine = {id: passed.get((id, "fraud")) for id in by_id}
    out.all_alike("what fraud said", fraud(orders, limit), mine)
    sane = {id: 1 <= order["quantity"] <= 10 and order["price"] > 0 for id, order in by_id.items()}
    out.all_alike("what details said", sane, {id: passed.get((id, "details")) for id in by_id})
    limits = {r["key"]: r["value"]["card_limit"] for r in read("customers", "json")}
    covered = {id: o["quantity"] * o["price"] <= limits.get(o["customer"], -1) for id, o in by_id.items()}
    out.all_alike("what payment said", covered, {id: passed.get((id, "payment")) for id in by_id})

    decisions = [r["value"] for r in read("decisions", "json")]
    out.all_alike("decisions, one an order", once, Counter(d["order"]["id"] for d in decisions))
    decided = {d["order"]["id"]: d for d in decisions}
    for id, decision in decided.items():
        late = decision["timed_out"]
        in_time = all(passed.get((id, name)) for name in CHECKS if name not in late)
        if decision["accepted"] != (in_time and not late):
            out.wrong.append(f"decision on {id} is {decision}, its verdicts were {in_time=}")
    accepted = {id for id, decision in decided.items() if decision["accepted"]}
    said = {id: "accepted" if id in accepted else "refused" for id in decided}
    out.all_alike("what clients were told", told, {id: said.get(id) for id in told})

    ledger(out, read, by_id, accepted, passed)
    payments = [r["value"] for r in read("payments", "json")]
    out.all_alike("payments, once an accepted order", dict.fromkeys(accepted, 1), Counter(p["order"] for p in payments))
    amounts = {id: by_id[id]["quantity"] * by_id[id]["price"] for id in accepted & by_id.keys()}
    out.all_alike("what was paid", amounts, {p["order"]: p["amount"] for p in payments})
    out.all_alike("mails, one an order", once, Counter(r["key"] for r in read("emails", "json")))
    out.accepted = len(accepted)
    out.timed_out = sum(bool(decision["timed_out"]) for decision in decided.values())
    out.refused = Counter(name for (_, name), fine in passed.items() if not fine)
    return out


def compare(out: Outcome, read: Read, replayed: Mapping[str, bool], limit: int) -> int:
    """The view of a replay against the orders, and against what was said before; gives how many more it refuses."""
    out.all_alike("what fraud says after its rewind", fraud(read("orders", "json"), limit), replayed)
    before = {v["order"]: v["passed"] for r in read("verdicts", "json") if (v := r["value"])["check"] == "fraud"}
    out.all_alike(
        "what fraud said before its rewind",
        {id: True for id, fine in replayed.items() if fine},
        {id: before.get(id) for id, fine in replayed.items() if fine},
    )
    return sum(fine and not replayed.get(id) for id, fine in before.items())


def ledger(
    out: Outcome, read: Read, orders: dict[str, Any], accepted: set[str], passed: dict[tuple[str, str], bool]
) -> None:
    """Each move follows from the one before, none goes below zero, and what is gone is what was sold."""
    initial = {r["key"]: r["value"] for r in read("stock", "int")}
    left, reserved = Counter(initial), Counter[str]()
    for move in (r["value"] for r in read("stock-moves", "json")):
        product, order = move["product"], orders.get(move["order"])
        left[product] += move["change"]
        reserved[move["order"]] -= move["change"]
        if move["left"] != left[product] or left[product] < 0:
            out.wrong.append(f"stock after {move} should be {left[product]}, and not below zero")
        if order is None or reserved[move["order"]] not in (0, order["quantity"]):
            out.wrong.append(f"{move} leaves {reserved[move['order']]} reserved for {order}")
        if move["change"] < 0 and not passed.get((move["order"], "inventory")):
            out.wrong.append(f"{move}, but inventory said no")
    sold = Counter[str]()
    for id in accepted & orders.keys():
        sold[orders[id]["product"]] += orders[id]["quantity"]
    out.all_alike("stock, what there was less what was sold", {p: n - sold[p] for p, n in initial.items()}, left)
    out.left = left
