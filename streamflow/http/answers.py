"""The answer to each route of the table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from streamflow.http import openapi, page, status
from streamflow.http.asked import Asked, Refused, cursor_of, without
from streamflow.http.catalogue import catalogue
from streamflow.http.changes import Changes
from streamflow.http.events import Events
from streamflow.http.forward import FORWARDED, Forwarder, Question, url_of
from streamflow.http.history import STEP_MS, History, together
from streamflow.http.letters import Letters
from streamflow.http.routes import ROUTES
from streamflow.http.text import key_bytes, prefix_bytes, shown_key, shown_value
from streamflow.http.topics import Topics
from streamflow.http.waiting import Patience
from streamflow.http.writer import Writer
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

Answer = web.StreamResponse | Question
_JSON = msgspec.json.Encoder()


class Answers:
    """Everything a worker can say. ``topology`` has ``describe to_dict to_mermaid to_svg``."""

    def __init__(
        self,
        worker: Worker,
        topology: Any,
        address: Callable[[], str],
        token: str | None = None,
        settings: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.owners = Owners(worker.membership, worker.clock)
        self.forwarder = Forwarder(self.owners, token)
        self._worker = worker
        self._topology = topology
        self._address = address
        self._local = Local(worker)
        self._stale = Local(worker, stale=True)
        self._settings = settings
        self.history = History()
        self._metrics = Metrics(worker)
        self._sites = sites(worker.plan)
        topics = catalogue(worker.plan, worker.roster.rules.dead_letter_topic)
        self.writer = Writer(worker.log)
        self.changes = Changes(worker.log)
        self._letters = Letters(topics, worker.roster.rules.dead_letter_topic, worker.log)
        self._events = Events(topics, self.writer, worker.clock)
        self._topics = Topics(topics, worker.log, worker.plan.app_id)
        self._routes: dict[str, Callable[[Asked, Any], Awaitable[Answer]]] = {
            "index": self._index,
            "page": self._page,
            "stores": self._stores,
            "key": self._key,
            "keys": self._keys,
            "windows": self._windows,
            "sessions": self._sessions,
            "changes": self._changes_of,
            "topology": self._topology_as,
            "tasks": self._tasks,
            "history": self._history,
            "settings": self._settings_told,
            "topics": self._topic_list,
            "records": self._records,
            "write": self._write,
            "letters": self._letters_of,
            "replay": self._replay,
            "live": self._live,
            "ready": self._ready,
            "metrics": self._metrics_text,
            "openapi": self._openapi,
        }

    async def answer(self, asked: Asked, request: web.BaseRequest) -> web.StreamResponse:
        """The response to a request that fits the table. Raises `Refused` and the errors of `streamflow.query`."""
        answer = await self._routes[asked.route.name](asked, request)
        if isinstance(answer, web.StreamResponse):
            return answer
        if (header := request.headers.get(FORWARDED)) is not None:
            body = await self.forwarder.answer(answer, header)
            return web.Response(body=body, content_type="application/msgpack", headers=answer.headers)
        if asked.parameters.get("redirect") and (owner := await self.forwarder.owner(answer)) is not None:
            return web.Response(
                status=307, headers={"Location": url_of(owner.address) + without(asked.target, "redirect")}
            )
        response = _json(await answer.render(await self.forwarder.ask(answer, asked.target)))
        response.headers.update(answer.headers)
        return response

    # --- state

    async def question(self, asked: Asked) -> Answer:
        """What a request for state comes to, before anybody is asked."""
        return await self._routes[asked.route.name](asked, None)

    def _named(self, asked: Asked) -> Site:
        return self.site(asked.path["store"].decode("utf-8", "backslashreplace"))

    def site(self, name: str) -> Site:
        """Where a store lies. Raises `UnknownStore`."""
        site = self._sites.get(name)
        if site is None:
            known = ", ".join(sorted(self._sites)) or "none"
            raise UnknownStore(f"no store is called {name[:100]!r}; known are: {known}")
        return site

    def _site(self, asked: Asked, kind: str) -> Site:
        site = self._named(asked)
        name = site.spec.name
        found = "key_value" if site.spec.kind == "versioned" else site.spec.kind
        if found != kind:
            path = {"window": "windows", "session": "sessions"}.get(site.spec.kind, "keys")
            raise WrongQuestion(f"{name!r} is a {site.spec.kind} store; ask /stores/{name}/{path}/{{key}}")
        return site

    async def _stores(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json({"stores": [status.store(site) for site in self._sites.values()]})

    async def _key(self, asked: Asked, request: Any = None) -> Question:
        site = self._site(asked, "key_value")
        key = key_bytes(site.spec.key, asked.path["key"])

        as_of: int | None = asked.parameters["as_of"]
        if as_of is not None and site.spec.kind != "versioned":
            raise WrongQuestion(f"{site.spec.name!r} keeps no history; as_of is for tables with history=")

        reader = self._reader(asked)

        async def local(partitions: Sequence[int]) -> list[Row]:
            return reader.get(site, partitions, key, as_of)

        async def render(rows: list[Row]) -> bytes:
            if not rows:
                raise Refused(404, f"store {site.spec.name!r} has no row with this key")
            if len(rows) > 1:
                held = ", ".join(str(partition) for _, partition, _, _ in sorted(rows))
                raise Refused(409, f"the partitions {held} each hold a row with this key; something else placed it")
            return _JSON.encode(_entry(site.spec, rows[0]))

        return self._waiting(Question(site, site.holding(key), local, Row, render), asked)

    async def _keys(self, asked: Asked, request: Any = None) -> Question:
        site, given = self._site(asked, "key_value"), asked.parameters
        limit: int = given["limit"]
        span = _span(site.spec, given)

        reader = self._reader(asked)

        async def local(partitions: Sequence[int]) -> list[Row]:
            return await reader.rows(site, partitions, span)

        async def render(rows: list[Row]) -> bytes:
            rows.sort()
            page = rows[:limit]
            more = cursor_of(*page[-1][:2]) if len(rows) > limit else None
            return _JSON.encode({"entries": await _shown(_entry, site.spec, page), "cursor": more})

        return self._question(Question(site, site.partitions, local, Row, render), asked)

    async def _windows(self, asked: Asked, request: Any = None) -> Question:
        site, given = self._site(asked, "window"), asked.parameters
        key = key_bytes(site.spec.key, asked.path["key"])
        first, last, limit = given["from"], given["to"], given["limit"]
        if first > last:
            raise WrongQuestion(f"from is {first} and to is {last}; from must not be behind to")

        reader = self._reader(asked)

        async def local(partitions: Sequence[int]) -> list[WindowRow]:
            return await reader.windows(site, partitions, key, first, last, limit)

        async def render(rows: list[WindowRow]) -> bytes:
            return _JSON.encode(await _shown(_window, site.spec, oldest(rows, limit)))

        return self._waiting(Question(site, site.holding(key), local, WindowRow, render), asked)

    async def _sessions(self, asked: Asked, request: Any = None) -> Question:
        site, given = self._site(asked, "session"), asked.parameters
        key = key_bytes(site.spec.key, asked.path["key"])
        first, last, limit = given["from"], given["to"], given["limit"]
        if first > last:
            raise WrongQuestion(f"from is {first} and to is {last}; from must not be behind to")

        reader = self._reader(asked)

        async def local(partitions: Sequence[int]) -> list[SessionRow]:
            return await reader.sessions(site, partitions, key, first, last, limit)

        async def render(rows: list[SessionRow]) -> bytes:
            return _JSON.encode(await _shown(_session, site.spec, sorted(rows)[:limit]))

        return self._waiting(Question(site, site.holding(key), local, SessionRow, render), asked)

    def _reader(self, asked: Asked) -> Local:
        return self._stale if asked.parameters["stale"] else self._local

    def _question(self, question: Question, asked: Asked) -> Question:
        """The question, to be answered by anybody who has a copy if an older answer will do."""
        if not asked.parameters["stale"]:
            return question
        return replace(question, standing=partial(self._stale.standing, question.site))

    def _waiting(self, question: Question, asked: Asked) -> Question:
        question = self._question(question, asked)
        if (patience := Patience.of(asked.parameters)) is None:
            return question
        if question.standing is not None:
            raise WrongQuestion("wait and after are for the newest answer; leave them or stale=allow away")
        local = patience.reader(self._local, question.site, question.local)
        return replace(question, local=local, patience=patience.seconds)

    async def _changes_of(self, asked: Asked, request: web.BaseRequest) -> web.StreamResponse:
        return await self.changes.stream(self._named(asked), asked, request)

    # --- topics

    async def _topic_list(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json(await self._topics.listing())

    async def _records(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json(await self._topics.page(asked))

    async def _write(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        status, place = await self._events.post(asked, request)
        response = _json(place)
        response.set_status(status)
        return response

    async def _letters_of(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json(await self._letters.listing(asked))

    async def _replay(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json(await self._letters.again(asked))

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
                return _json(status.topology(topology.to_dict(), self._worker.plan))

    async def _tasks(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        worker = self._worker
        mine = status.tasks(worker, self._address())
        copies = status.standbys(worker, self._address())
        found: dict[str, Any] = {"worker": self._address(), "state": worker.state, "standbys": copies}
        if not asked.parameters["all"]:
            return _json(found | {"tasks": mine})
        bodies, unreachable = await self._others("/tasks")
        for told in bodies:
            mine.extend(told["tasks"])
            copies.extend(told["standbys"])
        mine.sort(key=lambda each: each["task"])
        copies.sort(key=lambda each: (each["task"], each["worker"]))
        unassigned = await status.unassigned(worker.plan, self.owners)
        every = {"tasks": mine, "unreachable": unreachable, "unassigned": unassigned}
        return _json(found | every | {"workers": [status.member(each) for each in await self.owners.members()]})

    async def _others(self, target: str) -> tuple[list[Any], list[str]]:
        """What all other workers answer, and why some do not."""
        others = [member for member in await self.owners.members() if member.id != self.owners.me]
        asking = [self.forwarder.get(member, target, {}) for member in others]
        told: list[Any] = []
        unreachable: list[str] = []
        for body in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(body, bytes):
                told.append(msgspec.json.decode(body))
            elif isinstance(body, Unavailable):
                unreachable.append(str(body))
            else:
                raise body
        return told, unreachable

    async def _history(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        since: int = asked.parameters["since"]
        others, unreachable = await self._others(f"/history?since={since}") if asked.parameters["all"] else ([], [])
        theirs = [[(each["time"], each["rate"], each["lag"]) for each in told["points"]] for told in others]
        points = together([self.history.since(since), *theirs])
        return _json({"step_ms": STEP_MS, "points": points, "unreachable": unreachable})

    async def _settings_told(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return _json({"settings": self._settings})

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
        title = "streamflow"  # no more than that, for it is told without a token
        if "text/html" not in request.headers.get("Accept", ""):
            lines = [f"{route.method:<4} {route.path:<32} {route.summary}" for route in ROUTES]
            return web.Response(text="\n".join([title, "", *lines, ""]))
        return page.file("index.html")

    async def _page(self, asked: Asked, request: web.BaseRequest) -> web.Response:
        return page.file(asked.path["file"].decode("utf-8", "replace"))


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
