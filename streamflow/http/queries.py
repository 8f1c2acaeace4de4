"""Routes of the user's own beside streamflow's, and how their handlers ask for state.

    from aiohttp import web
    from streamflow.http import queries

    routes = web.RouteTableDef()

    @routes.get("/customers/{id}")
    async def customer(request):
        found = await queries(request).get("customers", request.match_info["id"])
        return web.json_response(found) if found else web.json_response({"error": "nobody"}, status=404)

    app.http_routes(routes)

They are aiohttp's handlers, on the worker's loop and port: what blocks in one of them holds up the tasks. Who may ask is
settled before (`guard.py`). A question goes to the worker that holds the key, as over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

import msgspec
from aiohttp import web

from streamflow.errors import ConfigError, SerdeError
from streamflow.http.asked import asked
from streamflow.http.forward import Question
from streamflow.http.routes import ROUTES
from streamflow.http.text import key_bytes
from streamflow.query import WrongQuestion
from streamflow.serdes import Serde

if TYPE_CHECKING:
    from streamflow.http.answers import Answers

_OURS = {route.segments[0] for route in ROUTES}


class Queries:
    """The stores of the application, wherever they lie. Keys and values are objects, as in the script.

    Raises `UnknownStore`, `WrongQuestion` and `Unavailable` of `streamflow.query`; a handler that lets them pass answers
    404, 400 and 503 with ``Retry-After``.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def get(self, store: str, key: Any, *, as_of: int | None = None) -> Any:
        """The committed value of a key, or None; of a versioned table the one that was valid at ``as_of``."""
        site = self._answers.site(store)
        bound = "" if as_of is None else f"?as_of={as_of}"
        rows = await self._ask(f"/stores/{_quoted(store)}/keys/{self._key(store, key)}{bound}")
        if len(rows) > 1:
            raise WrongQuestion(f"{len(rows)} partitions of {store!r} hold a row with this key")
        return site.spec.value.deserialize(rows[0][2]) if rows else None

    async def windows(
        self, store: str, key: Any, first: int = 0, last: int | None = None
    ) -> list[tuple[int, int, Any]]:
        """``(start, end, value)`` of a key's windows that start from ``first`` to ``last`` (milliseconds), oldest first."""
        spec = self._answers.site(store).spec
        bounds = f"?limit=10000&from={first}" + ("" if last is None else f"&to={last}")
        rows = await self._ask(f"/stores/{_quoted(store)}/windows/{self._key(store, key)}{bounds}")
        return [(start, spec.end(start), spec.value.deserialize(value)) for start, value, _ in sorted(rows)]

    async def sessions(
        self, store: str, key: Any, first: int = 0, last: int | None = None
    ) -> list[tuple[int, int, Any]]:
        """``(start, end, value)`` of a key's sessions that reach into ``first`` to ``last``, oldest first."""
        spec = self._answers.site(store).spec
        bounds = f"?limit=10000&from={first}" + ("" if last is None else f"&to={last}")
        rows = await self._ask(f"/stores/{_quoted(store)}/sessions/{self._key(store, key)}{bounds}")
        return [(start, end, spec.value.deserialize(value)) for start, end, value, _ in sorted(rows)]

    async def _ask(self, target: str) -> list[Any]:
        question = asked("GET", target)
        found = await self._answers.question(question)
        assert isinstance(found, Question)
        return await self._answers.forwarder.ask(found, target)

    def _key(self, store: str, key: Any) -> str:
        return quote_from_bytes(key_text(self._answers.site(store).spec.key, key), safe="")


QUERIES: web.AppKey[Queries] = web.AppKey("streamflow.queries", Queries)


def queries(request: web.Request) -> Queries:
    """What the handler of a route asks for state. See the module for an example."""
    return request.app[QUERIES]


def application(routes: Iterable[Any], answers: Answers) -> web.Application | None:
    """The user's routes as an application of aiohttp's, None if there are none. Raises `ConfigError`."""
    found = list(routes)
    if not found:
        return None
    made = web.Application()
    made[QUERIES] = Queries(answers)
    made.add_routes(found)
    for resource in made.router.resources():
        first = resource.canonical.split("/")[1] if "/" in resource.canonical else ""
        if first in _OURS or first[:1] == "{":
            raise ConfigError(
                f"http_routes has {resource.canonical!r}; /{first} belongs to streamflow, so begin otherwise"
            )
    return made


def key_text(serde: Serde[Any], key: Any) -> bytes:
    """A key as it is written in a path: what `key_bytes` makes the same bytes of.

    >>> from streamflow.serdes import serde_of
    >>> key_text(serde_of(int), -7), key_text(serde_of(str), "a/b"), key_text(serde_of(dict), {"id": 7})
    (b'-7', b'a/b', b'{"id":7}')
    """
    try:
        data = serde.serialize(key)
    except (SerdeError, TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise WrongQuestion(f"{key!r:.60} is no key of this store: {error}") from error
    for text in _texts(key, data):
        with suppress(WrongQuestion):
            if key_bytes(serde, text) == data:
                return text
    raise WrongQuestion(f"{key!r:.60} cannot be written as text, so no other worker can be asked for it")


def _texts(key: Any, data: bytes | None) -> Iterable[bytes]:
    """Ways to write a key, the plain ones first."""
    if data is not None:
        yield data
    yield str(key).encode("utf-8", "surrogateescape")
    with suppress(TypeError, msgspec.MsgspecError):
        yield msgspec.json.encode(key._asdict() if hasattr(key, "_asdict") else key)


def _quoted(name: str) -> str:
    return quote_from_bytes(name.encode("utf-8", "replace"), safe="")
