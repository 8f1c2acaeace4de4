"""The answer to each route of the table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from html import escape
from typing import Any

import msgspec
from aiohttp import web

from streamflow.http import openapi, status
from streamflow.http.asked import Asked, Refused, cursor_of
from streamflow.http.forward import FORWARDED, Forwarder, Question
from streamflow.http.routes import ROUTES
from streamflow.http.text import key_bytes, prefix_bytes, shown_key, shown_value
from streamflow.metrics import Metrics
from streamflow.query import (
    SLICE,
    Local,
    Owners,
    Row,
    SessionRow,
    Site,
    Span,
    Unavailable,
    UnknownStore,
    WindowRow,
    WrongQuestion,
    oldest,
    sites,
)
from streamflow.runtime.worker import Worker
from streamflow.state.spec import StoreSpec

Answer = web.Response | Question
_JSON = msgspec.json.Encoder()


class Answers:
    """Everything a worker can say. ``topology`` has ``describe to_dict to_mermaid to_svg``."""

    def __init__(self, worker: Worker, topology: Any, address: Callable[[], str]) -> None:
        self.owners = Owners(worker.membership, worker.clock)
        self.forwarder = Forwarder(self.owners)
        self._worker = worker
        self._topology = topology
        self._address = address
        self._local = Local(worker)
        self._metrics = Metrics(worker)
        self._sites = sites(worker.plan)
        self._routes: dict[str, Callable[[Asked, web.BaseRequest], Awaitable[Answer]]] = {
            "index": self._index,
            "stores": self._stores,
            "key": self._key,
            "keys": self._keys,
            "windows": self._windows,
            "sessions": self._sessions,
            "topology": self._topology_as,
            "tasks": self._tasks,
            "live": self._live,
            "ready": self._ready,
            "metrics": self._metrics_text,
            "openapi": self._openapi,
        }

    async def answer(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        """The response to a request that fits the table. Raises `Refused` and the errors of `streamflow.query`."""
        answer = await self._routes[asked.route.name](asked, request)
        if isinstance(answer, web.Response):
            return answer
        if (header := request.headers.get(FORWARDED)) is not None:
            body = await self.forwarder.answer(answer, header)
            return web.Response(body=body, content_type="application/msgpack")
        return _json(await answer.render(await self.forwarder.ask(answer, asked.target)))

    # --- state

    def _site(self, asked: Asked, kind: str) -> Site:
        name = asked.path["store"].decode("utf-8", "backslashreplace")
        site = self._sites.get(name)
        if site is None:
            known = ", ".join(sorted(self._sites)) or "none"
            raise UnknownStore(f"no store is called {name[:100]!r}; known are: {known}")
        if site.spec.kind != kind:
            path = {"window": "windows", "session": "sessions"}.get(site.spec.kind, "keys")
            raise WrongQuestion(f"{name!r} is a {site.spec.kind} store; ask /stores/{name}/{path}/{{key}}")
        return site

    async def _stores(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json({"stores": [status.store(site) for site in self._sites.values()]})

    async def _key(self, asked: Asked, request: web.BaseRequest) -> Question:
        site = self._site(asked, "key_value")
        key = key_bytes(site.spec.key, asked.path["key"])

        async def local(partitions: Sequence[int]) -> list[Row]:
            return self._local.get(site, partitions, key)

        async def render(rows: list[Row]) -> bytes:
            if not rows:
                raise Refused(404, f"store {site.spec.name!r} has no row with this key")
            if len(rows) > 1:
                held = ", ".join(str(partition) for _, partition, _, _ in sorted(rows))
                raise Refused(409, f"the partitions {held} each hold a row with this key; something else placed it")
            return _JSON.encode(_entry(site.spec, rows[0]))

        return Question(site, site.holding(key), local, Row, render)

    async def _keys(self, asked: Asked, request: web.BaseRequest) -> Question:
        site, given = self._site(asked, "key_value"), asked.parameters
        limit: int = given["limit"]
        span = _span(site.spec, given)

        async def local(partitions: Sequence[int]) -> list[Row]:
            return await self._local.rows(site, partitions, span)

        async def render(rows: list[Row]) -> bytes:
            rows.sort()
            page = rows[:limit]
            more = cursor_of(*page[-1][:2]) if len(rows) > limit else None
            return _JSON.encode({"entries": await _shown(_entry, site.spec, page), "cursor": more})

        return Question(site, site.partitions, local, Row, render)

    async def _windows(self, asked: Asked, request: web.BaseRequest) -> Question:
        site, given = self._site(asked, "window"), asked.parameters
        key = key_bytes(site.spec.key, asked.path["key"])
        first, last, limit = given["from"], given["to"], given["limit"]
        if first > last:
            raise WrongQuestion(f"from is {first} and to is {last}; from must not be behind to")

        async def local(partitions: Sequence[int]) -> list[WindowRow]:
            return await self._local.windows(site, partitions, key, first, last, limit)

        async def render(rows: list[WindowRow]) -> bytes:
            return _JSON.encode(await _shown(_window, site.spec, oldest(rows, limit)))

        return Question(site, site.holding(key), local, WindowRow, render)

    async def _sessions(self, asked: Asked, request: web.BaseRequest) -> Question:
        site, given = self._site(asked, "session"), asked.parameters
        key = key_bytes(site.spec.key, asked.path["key"])
        first, last, limit = given["from"], given["to"], given["limit"]
        if first > last:
            raise WrongQuestion(f"from is {first} and to is {last}; from must not be behind to")

        async def local(partitions: Sequence[int]) -> list[SessionRow]:
            return await self._local.sessions(site, partitions, key, first, last, limit)

        async def render(rows: list[SessionRow]) -> bytes:
            return _JSON.encode(await _shown(_session, site.spec, sorted(rows)[:limit]))

        return Question(site, site.holding(key), local, SessionRow, render)

    # --- the worker

    async def _topology_as(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        topology = self._topology
        match asked.parameters["format"]:
            case "text":
                return web.Response(text=topology.describe())
            case "mermaid":
                return web.Response(text=topology.to_mermaid())
            case "svg":
                return web.Response(text=topology.to_svg(), content_type="image/svg+xml")
            case _:
                return _json(topology.to_dict())

    async def _tasks(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        worker = self._worker
        mine = status.tasks(worker)
        found: dict[str, Any] = {"worker": self._address(), "state": worker.state}
        if not asked.parameters["all"]:
            return _json(found | {"tasks": mine})
        others = [member for member in await self.owners.members() if member.id != self.owners.me]
        asking = [self.forwarder.get(member, "/tasks", {}) for member in others]
        unreachable: list[str] = []
        for body in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(body, bytes):
                mine.extend(msgspec.json.decode(body)["tasks"])
            elif isinstance(body, Unavailable):
                unreachable.append(str(body))
            else:
                raise body
        mine.sort(key=lambda each: each["task"])
        unassigned = await status.unassigned(worker.plan, self.owners)
        return _json(found | {"tasks": mine, "unreachable": unreachable, "unassigned": unassigned})

    async def _live(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json({"status": "live"})

    async def _ready(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        if (why := await status.not_ready(self._worker, self.owners)) is not None:
            raise Unavailable(why)
        return _json({"status": "ready"})

    async def _metrics_text(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": self._metrics.content_type})

    async def _openapi(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json(openapi.document(self._worker.plan.app_id, self._address()))

    async def _index(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        title = f"streamflow: {self._worker.plan.app_id}"
        if "text/html" not in request.headers.get("Accept", ""):
            lines = [f"GET {route.path:<32} {route.summary}" for route in ROUTES]
            return web.Response(text="\n".join([title, "", *lines, ""]))
        rows = "".join(f"<tr><td>{_link(route.path)}</td><td>{escape(route.summary)}</td></tr>" for route in ROUTES)
        head = f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title>"
        page = f"{head}<h1>{escape(title)}</h1><table>{rows}</table>"
        return web.Response(text=page, content_type="text/html")


def _span(spec: StoreSpec, given: dict[str, Any]) -> Span:
    low = b"" if given["from"] is None else key_bytes(spec.key, given["from"], "from")
    high = None if given["to"] is None else key_bytes(spec.key, given["to"], "to")
    prefix = b"" if given["prefix"] is None else prefix_bytes(spec.key, given["prefix"])
    if high is not None and low > high:
        raise WrongQuestion(
            "from lies behind to in the order of keys, which is that of their bytes: "
            "negative numbers come after all others"
        )
    # One row more than the page: it tells whether there is a next one.
    return Span(low, high, prefix, given["limit"] + 1, given["cursor"])


def _entry(spec: StoreSpec, row: Row) -> dict[str, Any]:
    key, _, value, timestamp = row
    return {**shown_key(spec.key, key), **shown_value(spec.value, value), **_time(spec, timestamp)}


def _window(spec: StoreSpec, row: WindowRow) -> dict[str, Any]:
    start, value, timestamp = row
    times = {"start": start, "end": spec.end(start)}
    return {**times, **shown_value(spec.value, value), **_time(spec, timestamp)}


def _session(spec: StoreSpec, row: SessionRow) -> dict[str, Any]:
    start, end, value, timestamp = row
    return {"start": start, "end": end, **shown_value(spec.value, value), **_time(spec, timestamp)}


def _time(spec: StoreSpec, timestamp: int) -> dict[str, int | None]:
    return {"timestamp": timestamp if spec.timestamped else None}


async def _shown(show: Callable[[StoreSpec, Any], dict[str, Any]], spec: StoreSpec, rows: list[Any]) -> list[Any]:
    """Rows as they are told, giving way to the worker's loop now and then."""
    found: list[Any] = []
    for at in range(0, len(rows), SLICE):
        if at:
            await asyncio.sleep(0)
        found.extend([show(spec, row) for row in rows[at : at + SLICE]])
    return found


def _json(answer: Any) -> web.Response:
    body = answer if isinstance(answer, bytes) else _JSON.encode(answer)
    return web.Response(body=body, content_type="application/json")


def _link(path: str) -> str:
    return escape(path) if "{" in path else f'<a href="{escape(path)}">{escape(path)}</a>'
