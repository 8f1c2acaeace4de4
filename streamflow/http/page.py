"""The page for people: files of this package, sent as they are. They hold no data, so they are sent without a token.

The page may load from the worker that served it and from nowhere else, and runs no script but its own: what it shows
is whatever somebody wrote into a topic.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from aiohttp import web

from streamflow.http.asked import Refused

FOLDER = Path(__file__).parent / "dashboard"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def file(name: str) -> web.Response:
    """One of the page's files. Raises `Refused`."""
    if name not in _names():
        raise Refused(404, f"the page has no file {name[:60]!r}; it has {', '.join(sorted(_names()))}")
    path = FOLDER / name
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return web.Response(body=_read(name), content_type=KINDS[path.suffix], charset="utf-8", headers=headers)


@cache
def _names() -> frozenset[str]:
    return frozenset(path.name for path in FOLDER.iterdir() if path.suffix in KINDS)


@cache
def _read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()
