"""The HTTP server of a worker, on the worker's own loop.

Whatever a request holds, the answer is a status that the table of routes names: 2xx, a 4xx with a sentence, or 503 with
``Retry-After``. Who may ask is `guard.py`; how many and how long, `connections.py`.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from streamflow.errors import ConfigError
from streamflow.http.answers import Answers
from streamflow.http.asked import Refused, asked
from streamflow.http.connections import Connections
from streamflow.http.guard import MOST_FIELD_BYTES, Guard
from streamflow.http.queries import application
from streamflow.http.shorter import shorter
from streamflow.query import Unavailable, UnknownStore, WrongQuestion
from streamflow.runtime.worker import Worker

logger = logging.getLogger("streamflow.http")

RETRY_AFTER = "1"
FAREWELL = 1.0  # seconds for what is being answered when the server closes
_QUIET = logging.getLogger("streamflow.http.protocol")
_QUIET.setLevel(logging.CRITICAL)  # what is no HTTP gets its 400 and is nobody's news
ANSWER_WITHIN = 30.0
"""Seconds for one answer, reading of its body included."""
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Server:
    """A running server. ``address`` is its URL as other workers and people reach it."""

    def __init__(
        self,
        worker: Worker,
        topology: Any,
        guard: Guard,
        routes: Iterable[Any] = (),
        settings: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.address = ""
        self.host = ""
        self.port = 0
        self.guard = guard
        self._worker = worker
        self._answers = Answers(worker, topology, lambda: self.address, guard.token, settings)
        self._following: asyncio.Task[None] | None = None
        own = application(routes, self._answers)
        self._own = None if own is None else web.AppRunner(own)
        self.connections = Connections(
            self._handle,
            access_log=None,
            logger=_QUIET,
            max_line_size=MOST_FIELD_BYTES,
            max_field_size=MOST_FIELD_BYTES,
        )
        self._runner = web.ServerRunner(self.connections, shutdown_timeout=FAREWELL)

    async def start_on(self, sock: socket.socket, host: str) -> None:
        """Answer on a socket that listens already."""
        await self._setup()
        await web.SockSite(self._runner, sock).start()
        self.host, self.port = host, sock.getsockname()[1]
        self.address = f"http://{_reachable(host)}:{self.port}"

    async def start(self, host: str, port: int, port_range: int) -> None:
        """Listen on the first free port from ``port`` on (0: any). Raises `ConfigError` when none can be had."""
        await self._setup()
        ports = range(port, min(port + max(port_range, 1), 65_536)) if port else range(1)
        for candidate in ports:
            site = web.TCPSite(self._runner, host, candidate)
            try:
                await site.start()
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                await self.close()
                why = error.strerror or error
                raise ConfigError(f"HTTP cannot listen on {host} port {candidate}: {why}") from error
            listening: tuple[Any, ...] = self._runner.addresses[0]
            self.host, self.port = host, listening[1]
            self.address = f"http://{_reachable(host)}:{self.port}"
            return
        await self.close()
        tried = f"port {ports[0]} is" if len(ports) == 1 else f"the ports {ports[0]} to {ports[-1]} are all"
        raise ConfigError(f"HTTP cannot listen on {host}: {tried} in use; name another with --http")

    async def _setup(self) -> None:
        if self._own is not None:
            await self._own.setup()
            assert self._own.server is not None
            self.connections.request_factory = self._own.server.request_factory
        await self._runner.setup()
        self._following = asyncio.get_running_loop().create_task(self._answers.history.follow(self._worker))

    async def close(self) -> None:
        """Stop listening, finish what is being answered, close connections to other workers."""
        if self._following is not None:
            self._following.cancel()
        self._answers.changes.close()
        await self._runner.cleanup()
        if self._own is not None:
            await self._own.cleanup()
        await self._answers.writer.close()
        await self._answers.forwarder.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        response: web.StreamResponse
        self.connections.asked(request.protocol)
        try:
            self.guard.check(request.method, request.raw_path, request.headers)
            try:
                question = asked(request.method, request.raw_path)
            except Refused as refused:
                if refused.status == 404 and self._own is not None:
                    return await self._by_the_user(self._own, request)
                raise
            if request.body_exists and question.route.body is None:
                raise Refused(400, f"{request.method} takes no body here", Connection="close")
            if endless := question.route.name == "changes":
                self.connections.endless(request.protocol)
            async with asyncio.timeout(None if endless else ANSWER_WITHIN):
                response = shorter(question, request, await self._answers.answer(question, request))
        except TimeoutError:
            response = _error(
                503,
                f"no answer within {ANSWER_WITHIN:.0f} seconds",
                {"Retry-After": RETRY_AFTER, "Connection": "close"},
            )
        except web.HTTPException:
            raise  # the user's own handler answers so
        except Refused as refused:
            response = _error(refused.status, str(refused), refused.headers)
        except UnknownStore as error:
            response = _error(404, str(error))
        except WrongQuestion as error:
            response = _error(400, str(error))
        except Unavailable as error:
            response = _error(503, str(error), {"Retry-After": RETRY_AFTER})
        except Exception:
            logger.exception("a defect: %s %s", request.method, request.raw_path)
            response = _error(500, "this is a defect of streamflow; the worker's log has the details")
        if response.headers.get("Connection") == "close":
            response.force_close()
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    async def _by_the_user(self, own: web.AppRunner, request: web.BaseRequest) -> web.StreamResponse:
        """The answer of the user's own handler."""
        assert own.server is not None
        try:
            response: web.StreamResponse = await own.server.request_handler(request)
        except (Refused, UnknownStore, WrongQuestion, Unavailable, web.HTTPException):
            raise
        except Exception:
            logger.exception("a handler of the application raised: %s %s", request.method, request.raw_path)
            response = _error(500, "the application's own handler raised; the worker's log has the details")
        return response


async def serve(
    worker: Worker,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    topology: Any,
    routes: Iterable[Any] = (),
    port_range: int = 20,
    token: str | None = None,
    allow_remote: bool = False,
    sock: socket.socket | None = None,
    address: str | None = None,
    settings: Sequence[Mapping[str, Any]] = (),
) -> Server:
    """Serve a worker's state, health and metrics until `Server.close`. Call it before `Worker.run`.

    The worker learns its address here and tells the group, so that other workers find it. A busy port moves to the
    next free one of ``port_range``; ``port`` 0 takes any. ``host`` must be a loopback address unless there is a
    ``token`` (see `guard.py`), or ``allow_remote`` says that whoever reaches the port may read all state and write to
    the topics that the application reads. ``sock`` is a socket that listens
    already, in place of ``host`` and ``port``; the worker may then run, if it was told the address before: that
    ``address``, where it is not that of the socket.
    ``settings`` is what `/settings` tells (`streamflow.http.settings.told`).
    Raises `ConfigError`.

        server = await serve(worker, host="127.0.0.1", port=8080, topology=app.topology)
        print(server.address)
    """
    if sock is not None:
        host = str(sock.getsockname()[0])
    local = await _is_loopback(host)
    if not local and token is None and not allow_remote:
        raise ConfigError(
            f"HTTP on {host!r} could be reached from other machines, and anybody there could read all state; "
            "listen on 127.0.0.1, give it a token, or allow it explicitly"
        )
    server = Server(worker, topology, Guard(token, local, frozenset({host.lower()})), routes, settings)
    await (server.start(host, port, port_range) if sock is None else server.start_on(sock, host))
    if address is not None:
        server.address = address
    worker.address = server.address
    return server


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode({"error": sentence})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def _is_loopback(host: str) -> bool:
    """Whether every address of a name is one of this machine alone."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"HTTP cannot listen on {host!r}: {error}; write 127.0.0.1 or a name of this machine"
        ) from error
    addresses = [str(info[4][0]).partition("%")[0] for info in found]
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


def _reachable(host: str) -> str:
    """A host under which others reach what listens on it: a wildcard is no address."""
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
