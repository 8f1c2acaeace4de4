"""Customers in a hurry: they place orders over HTTP, look at each at once, and try again when nobody answers."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from examples.orders import goods

PATIENCE = 120.0  # seconds that a client tries
WAITS = 0.1  # of the orders: POST waits for the verdict
INSISTS = 0.05  # of the orders: sent once more with the same id, as by somebody who clicked twice


@dataclass
class Placed:
    """What the clients did. ``orders`` has the body of each order that was taken."""

    orders: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    verdicts: dict[str, str] = field(default_factory=dict[str, str])
    seen: int = 0
    unseen: list[str] = field(default_factory=list[str])
    tries: int = 0


class Client:
    """Orders for customers of its own, one after the other."""

    def __init__(self, http: aiohttp.ClientSession, placed: Placed, rng: random.Random, customers: list[str]) -> None:
        self.http, self.placed, self.rng, self.customers = http, placed, rng, customers
        self.numbers = dict.fromkeys(customers, 0)

    async def order(self, id: str) -> None:
        rng, customer = self.rng, self.rng.choice(self.customers)
        product = rng.choice(list(goods.PRICES))
        quantity = rng.choice((0, 11)) if rng.random() < 0.03 else rng.randint(1, 4)
        self.numbers[customer] += 1
        body = {"customer": customer, "product": product, "quantity": quantity, "price": goods.PRICES[product]}
        body["number"] = self.numbers[customer]
        path = "/orders?wait=5s" if rng.random() < WAITS else "/orders"
        for _ in range(2 if rng.random() < INSISTS else 1):
            status, told = await self.ask("POST", path, json=body, headers={"Idempotency-Key": id})
            if status not in (200, 202):
                raise RuntimeError(f"POST {body} was answered with {status}: {told}")
            if told["state"] != "pending":
                self.placed.verdicts[id] = told["state"]
        self.placed.orders[id] = body
        status, told = await self.ask("GET", f"/orders/{id}")
        if status == 200 and told["order"] == body | {"id": id}:
            self.placed.seen += 1
        else:
            self.placed.unseen.append(f"GET /orders/{id} after its POST: {status} {told}")

    async def ask(self, method: str, path: str, **request: Any) -> tuple[int, Any]:
        until = time.monotonic() + PATIENCE
        while True:
            self.placed.tries += 1
            try:
                async with self.http.request(method, path, **request) as response:
                    if response.status < 500:
                        json = response.content_type == "application/json"
                        return response.status, await (response.json() if json else response.text())
                    told = f"{response.status} {await response.text()}"
            except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
                told = repr(error)
            if time.monotonic() > until:
                raise RuntimeError(f"{method} {path} was not answered for {PATIENCE} s: {told}")
            await asyncio.sleep(0.1)


async def place(url: str, placed: Placed, *, count: int, clients: int, customers: int, seed: int) -> None:
    """``count`` orders from ``clients`` at the same time; ``placed`` fills."""
    names = list(goods.customers(customers))
    ids = iter([f"order-{n}" for n in range(count)])
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(60), connector=connector) as http:

        async def one(number: int) -> None:
            client = Client(http, placed, random.Random(f"{seed} {number}"), names[number::clients])
            for id in ids:
                await client.order(id)

        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(one(number))
