"""The REST service: commands by request and response in front, events behind.

POST /orders             202 when the order is durable; with ?wait=5s the verdict, if it is there by then
                         (an Idempotency-Key becomes the order's id: sent again with the same, it is placed once)
GET  /orders/{id}        the order, and what the services said about it so far; ?wait=5s waits for the verdict

It keeps nothing. A write is an event, a read is the view's; while the view is away a request waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from examples.orders.goods import PRICES, customers
from examples.orders.model import Order
from streamflow.clock import milliseconds
from streamflow.errors import StreamflowError

PATIENCE = 30.0  # seconds
REPARTITION = "view-by-id-repartition"
View = web.AppKey("View", aiohttp.ClientSession)


async def ask(app: web.Application, method: str, path: str, until: float, **request: Any) -> tuple[int, Any]:
    """What the view answers; again while it is not there, or in between two owners."""
    while True:
        try:
            async with app[View].request(method, path, **request) as response:
                if response.status not in (409, 503):
                    return response.status, await response.json()
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            pass
        if time.monotonic() > until:
            raise web.HTTPServiceUnavailable(text="the view is away; ask again", headers={"Retry-After": "1"})
        await asyncio.sleep(0.1)


async def caught_up(app: web.Application, until: float) -> None:
    """Wait until the view has read all orders that are there now: first where they come in, then where they go on."""
    for name in ("orders", REPARTITION):

        async def places(name: str = name) -> list[dict[str, Any]]:
            _, told = await ask(app, "GET", "/topics", until)
            return next(topic["partitions"] for topic in told["topics"] if topic["name"] == name)

        ends = [place["end"] for place in await places()]
        while any((p["committed"] or 0) < end for p, end in zip(await places(), ends, strict=True) if end > p["start"]):
            if time.monotonic() > until:
                raise web.HTTPServiceUnavailable(text="the view is behind; ask again", headers={"Retry-After": "1"})
            await asyncio.sleep(0.1)


async def found(app: web.Application, id: str) -> dict[str, Any]:
    """The view's row of an order. That there is none is believed only of a view that has read everything."""
    until, pause = time.monotonic() + PATIENCE, 0.05
    path = f"/stores/orders-view/keys/{id}"
    for last in (False, False, False, False, True):
        if last:
            await caught_up(app, until)
        status, row = await ask(app, "GET", path, until)
        if status == 200 and row["value"]["order"] is not None:
            return dict(row["value"])
        if not last:
            await asyncio.sleep(pause := pause * 2)
    raise web.HTTPNotFound(text=f"there is no order {id}")


def patience(request: web.Request) -> float:
    """The seconds of ``?wait=``. Raises 400 before anything is written."""
    try:
        return milliseconds(request.query.get("wait", "0s"), "wait") / 1000
    except StreamflowError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


async def decided(app: web.Application, id: str, wait: float) -> dict[str, Any]:
    """The row, as soon as it is decided or so many seconds have passed."""
    until = time.monotonic() + wait
    while (row := await found(app, id))["state"] == "pending" and time.monotonic() < until:
        await asyncio.sleep(0.2)
    return row


def shown(row: dict[str, Any]) -> web.Response:
    place = f"/orders/{row['order']['id']}"
    return web.json_response(row, status=202 if row["state"] == "pending" else 200, headers={"Location": place})


async def place(request: web.Request) -> web.Response:
    id, wait = request.headers.get("Idempotency-Key") or uuid.uuid4().hex, patience(request)
    if not id.replace("-", "").isalnum() or not id.isascii() or len(id) > 100:
        raise web.HTTPBadRequest(text="an Idempotency-Key is made of letters, digits and -")
    try:
        order = msgspec.convert({**msgspec.json.decode(await request.read()), "id": id}, Order)
    except (msgspec.MsgspecError, TypeError) as error:
        raise web.HTTPBadRequest(text=f"the body is no order: {error}") from error
    status, told = await ask(
        request.app, "POST", "/topics/orders", time.monotonic() + PATIENCE, params={"key": order.customer},
        data=msgspec.json.encode(order), headers={"Idempotency-Key": id, "Content-Type": "application/json"},
    )  # fmt: skip
    if status not in (200, 201):
        return web.json_response(told, status=status)
    if wait:
        return shown(await decided(request.app, id, wait))
    return shown({"order": msgspec.to_builtins(order), "state": "pending"})


async def look(request: web.Request) -> web.Response:
    response = shown(await decided(request.app, request.match_info["id"], patience(request)))
    response.set_status(200)
    return response


async def shop(request: web.Request) -> web.Response:
    return web.json_response({"prices": PRICES, "customers": [*customers(10), "somebody unknown"]})


async def page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(Path(__file__).with_name("page.html"))


def service(view: str) -> web.Application:
    app = web.Application()
    app.add_routes([web.post("/orders", place), web.get("/orders/{id:[-a-zA-Z0-9]{1,100}}", look)])
    app.add_routes([web.get("/shop", shop), web.get("/", page)])

    async def connected(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=200)
        async with aiohttp.ClientSession(view, timeout=aiohttp.ClientTimeout(5), connector=connector) as app[View]:
            yield

    app.cleanup_ctx.append(connected)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.orders.rest")
    parser.add_argument("--view", default="http://127.0.0.1:8081", help="where the view answers")
    parser.add_argument("--port", type=int, default=8080)
    asked = parser.parse_args()
    web.run_app(service(asked.view), host="127.0.0.1", port=asked.port, print=None)
