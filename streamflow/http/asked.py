"""From the first line of a request to a route and its parameters, or a refusal in a sentence.

The target is taken apart as bytes: a key may hold any, ``%2F`` and ``%00`` among them, so nothing may be decoded before
the path is cut at its slashes.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from streamflow.errors import StreamflowError
from streamflow.http.routes import ROUTES, Parameter, Route

LONGEST = 8_000
"""The longest target in letters: below what the server reads as one line."""

_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_PARTITION = 4  # bytes of the partition in front of a cursor's key


class Refused(StreamflowError):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Asked:
    """A request that fits the table. ``path`` holds its ``{names}`` as bytes.

    ``parameters`` has every parameter of the route: read, or still bytes where its kind is ``key`` or ``prefix``.
    """

    route: Route
    target: str
    path: dict[str, bytes]
    parameters: dict[str, Any]


def asked(method: str, target: str) -> Asked:
    """What a request asks. Raises `Refused`.

    >>> asked("GET", "/stores/counts/keys/a%2Fb?").path
    {'store': b'counts', 'key': b'a/b'}
    """
    if len(target) > LONGEST:
        raise Refused(414, f"the address has {len(target):,} letters; {LONGEST:,} is the longest")
    path, _, query = target.partition("?")
    segments = path.split("/")
    if segments[0] or len(segments) < 2:
        raise Refused(400, "the address must begin with a slash")
    fitting = [(route, found) for route in ROUTES if (found := _match(route, segments[1:])) is not None]
    for route, found in fitting:
        if method == route.method or (method == "HEAD" and route.method == "GET"):
            return Asked(route, target, found, _parameters(route, query))
    if fitting:
        methods = sorted({route.method for route, _ in fitting})
        known = ", ".join(["GET, HEAD" if each == "GET" else each for each in methods])
        advice = "state is read with GET" if methods == ["GET"] else f"possible is {known}"
        raise Refused(405, f"{method[:20]} is not possible here; {advice}", Allow=known)
    raise Refused(404, "there is nothing at this address; / lists what there is, and a slash in a key is written %2F")


def _match(route: Route, segments: list[str]) -> dict[str, bytes] | None:
    pattern = route.segments
    if len(pattern) != len(segments):
        return None
    found: dict[str, bytes] = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if wanted[:1] == "{":
            found[wanted[1:-1]] = unquote_to_bytes(given)
        elif wanted != given:
            return None
    return found


def _parameters(route: Route, query: str) -> dict[str, Any]:
    known = {parameter.name: parameter for parameter in route.parameters}
    given: dict[str, bytes] = {}
    for piece in filter(None, query.split("&")):
        raw_name, _, raw = piece.partition("=")
        name = _unquoted(raw_name).decode("utf-8", "replace")
        if name not in known:
            has = f"its parameters are {', '.join(known)}" if known else "it takes none"
            raise Refused(400, f"{route.path} has no parameter {name[:60]!r}; {has}")
        if name in given:
            raise Refused(400, f"parameter {name!r} is given twice")
        given[name] = _unquoted(raw)
    return {
        name: _read(parameter, given[name]) if name in given else parameter.default for name, parameter in known.items()
    }


def _unquoted(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " "))


def _read(parameter: Parameter, data: bytes) -> Any:
    kind, name = parameter.kind, parameter.name
    if kind in ("key", "prefix"):
        return data  # what it means depends on the store
    text = data.decode("utf-8", "replace")
    if kind == "cursor":
        return _cursor(text)
    if kind == "text":
        return text
    if kind == "flag":
        if text not in ("0", "1"):
            raise Refused(400, f"{name} is {text[:60]!r}; write 0 or 1")
        return text == "1"
    if kind == "choice":
        if text not in parameter.choices:
            raise Refused(400, f"{name} is {text[:60]!r}; write one of {', '.join(parameter.choices)}")
        return text
    number = int(text) if _INTEGER.fullmatch(text) else None
    if number is None or not parameter.least <= number <= parameter.most:
        raise Refused(400, f"{name} is {text[:60]!r}; write a whole number from {parameter.least} to {parameter.most}")
    return number


def without(target: str, name: str) -> str:
    """A path and query without one of its parameters.

    >>> without("/a?x=1&redirect=1&y=2", "redirect"), without("/a?redirect=1", "redirect")
    ('/a?x=1&y=2', '/a')
    """
    path, _, query = target.partition("?")
    rest = "&".join(piece for piece in query.split("&") if _unquoted(piece.partition("=")[0]).decode() != name)
    return f"{path}?{rest}" if rest else path


def cursor_of(key: bytes, partition: int) -> str:
    """The cursor of a page that ends with this row: partition and key, in base64.

    >>> _cursor(cursor_of(b"a", 3))
    (b'a', 3)
    """
    return base64.urlsafe_b64encode(partition.to_bytes(_PARTITION, "big") + key).rstrip(b"=").decode()


def _cursor(text: str) -> tuple[bytes, int]:
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        data = b""
    if len(data) < _PARTITION:
        raise Refused(400, f"cursor is {text[:60]!r}; write the cursor of the page before as it came, or none")
    return data[_PARTITION:], int.from_bytes(data[:_PARTITION], "big")
