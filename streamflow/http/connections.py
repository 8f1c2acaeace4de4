"""The connections of a server: so many, and none for ever.

What a connection may hold on to is a place among `MOST`, a request that comes letter by letter, and an answer that
nobody reads. Each has an end here; without one a few hundred idle sockets would keep everybody else out.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import web

MOST = 512
"""Connections at once; the next ones are told to come again."""
ASK_WITHIN = 15.0
"""Seconds until the first request must be there, line and headers."""
READ_WITHIN = 30.0
"""Seconds in which nothing may be read of an answer that lies in the socket."""
KEPT = 30.0
"""Seconds that a connection is kept without a request."""
LOOK = 1.0

_BUSY = b'{"error":"too many connections to this worker; come again in a moment"}'
_TURNED_AWAY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BUSY), _BUSY)
)


class Connections(web.Server):
    """aiohttp's server with an end to everything."""

    def __init__(self, handler: Any, most: int = MOST, **options: Any) -> None:
        super().__init__(handler, keepalive_timeout=KEPT, lingering_time=1.0, **options)
        self.most = most
        self.turned_away = 0
        self.cut = 0
        self._silent: dict[Any, float] = {}  # no request yet, since
        self._unread: dict[Any, tuple[int, float]] = {}  # so many bytes of an answer wait, since
        self._open: dict[Any, asyncio.Transport] = {}
        self._endless: dict[Any, asyncio.Task[Any]] = {}
        self._looking: asyncio.Task[None] | None = None

    def __call__(self) -> Any:
        """A protocol for a connection that was just accepted."""
        if len(self._open) >= self.most:
            self.turned_away += 1
            return _TurnedAway()
        return super().__call__()

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open[handler] = transport
        self._silent[handler] = self._now()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        for each in (self._open, self._silent, self._unread):
            each.pop(handler, None)
        if (task := self._endless.pop(handler, None)) is not None:
            task.cancel()

    def asked(self, handler: Any) -> None:
        """A whole request has come on this connection."""
        self._silent.pop(handler, None)

    def endless(self, handler: Any) -> None:
        """The answer that is being given ends with the connection: cancel it then."""
        if (task := asyncio.current_task()) is not None and handler in self._open:
            self._endless[handler] = task

    async def shutdown(self, timeout: float | None = None) -> None:
        if self._looking is not None:
            self._looking.cancel()
        await super().shutdown(timeout)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _look(self) -> None:
        """Until no connection is left."""
        while self._open:
            await asyncio.sleep(LOOK)
            now = self._now()
            for handler, transport in list(self._open.items()):
                waiting = transport.get_write_buffer_size()
                size, since = self._unread.get(handler, (0, now))
                if waiting != size:
                    self._unread[handler] = waiting, now
                elif waiting and now - since > READ_WITHIN:
                    self._cut(transport)
                if now - self._silent.get(handler, now) > ASK_WITHIN:
                    self._cut(transport)

    def _cut(self, transport: asyncio.Transport) -> None:
        self.cut += 1
        transport.abort()


class _TurnedAway(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(_TURNED_AWAY)
        transport.close()
