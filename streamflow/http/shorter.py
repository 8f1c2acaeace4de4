"""An answer that need not be sent, or not whole: 304 for what the asker has already, gzip for what is large."""

from __future__ import annotations

from hashlib import blake2b

from aiohttp import web
from aiohttp.web_response import ContentCoding

from streamflow.http.asked import Asked
from streamflow.http.forward import FORWARDED

WORTH = 1024  # bytes from which compressing pays


def shorter(asked: Asked, request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """The response to a request, with an ``ETag`` where the route knows 304, or a shorter one in its place.

    The tag is weak: it is that of the content, however it is compressed. Workers among themselves are left alone.
    """
    if not isinstance(response, web.Response) or FORWARDED in request.headers or response.status != 200:
        return response
    body = response.body
    if not isinstance(body, bytes):
        return response
    if 304 in asked.route.answers:
        tag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
        if _names(request.headers.get("If-None-Match", ""), tag):
            kept = {name: value for name, value in response.headers.items() if name.startswith("X-Streamflow-")}
            response = web.Response(status=304, headers=kept)
        response.headers["ETag"] = tag
        response.headers["Cache-Control"] = "private, no-cache"
    if response.status == 200 and len(body) >= WORTH:
        response.headers["Vary"] = "Accept-Encoding"
        if request.method != "HEAD" and _takes_gzip(request.headers.get("Accept-Encoding", "")):
            response.enable_compression(ContentCoding.gzip)
    return response


def _names(given: str, tag: str) -> bool:
    """Whether an ``If-None-Match`` names this (weak) tag, or any.

    >>> _names('"a", W/"b"', 'W/"b"'), _names("*", 'W/"b"'), _names('W/"c"', 'W/"b"'), _names('"b"', 'W/"b"')
    (True, True, False, True)
    """
    found = [each.strip() for each in given.split(",")]
    return "*" in found or any(each.removeprefix("W/") == tag.removeprefix("W/") for each in found)


def _takes_gzip(given: str) -> bool:
    """Whether an ``Accept-Encoding`` allows gzip.

    >>> _takes_gzip("br, gzip;q=0.5"), _takes_gzip("gzip;q=0"), _takes_gzip("identity")
    (True, False, False)
    """
    for each in given.lower().split(","):
        name, _, weight = each.strip().partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
