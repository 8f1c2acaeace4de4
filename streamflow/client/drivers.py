"""Who sends what `asking.py` asks: with the standard library, or with aiohttp in a program that has a loop."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, TypeVar

from streamflow.client.asking import UNREACHABLE, Asking, Reply, Request

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def run(asking: Asking[T]) -> T:
    """Ask and wait for the answer."""
    try:
        wanted = next(asking)
        while True:
            if isinstance(wanted, Request):
                wanted = asking.send(_sent(wanted))
            else:
                time.sleep(wanted)
                wanted = next(asking)
    except StopIteration as end:
        found: T = end.value
        return found


async def arun(asking: Asking[T], session: aiohttp.ClientSession) -> T:
    """The same without blocking the loop."""
    try:
        wanted = next(asking)
        while True:
            if isinstance(wanted, Request):
                wanted = asking.send(await _asent(wanted, session))
            else:
                await asyncio.sleep(wanted)
                wanted = next(asking)
    except StopIteration as end:
        found: T = end.value
        return found


def _sent(request: Request) -> Reply:
    made = urllib.request.Request(request.url, request.body, dict(request.headers), method=request.method)
    try:
        with _OPENER.open(made, timeout=request.timeout) as answer:
            return Reply(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.read(), _seconds(error.headers.get("Retry-After")))
    except OSError as error:
        return Reply(UNREACHABLE, str(error).encode())


async def _asent(request: Request, session: aiohttp.ClientSession) -> Reply:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=request.timeout)
    try:
        async with session.request(
            request.method,
            request.url,
            data=request.body,
            headers=request.headers,
            timeout=timeout,
            allow_redirects=False,
        ) as answer:
            return Reply(answer.status, await answer.read(), _seconds(answer.headers.get("Retry-After")))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Reply(UNREACHABLE, (str(error) or type(error).__name__).encode())


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdigit() else None
