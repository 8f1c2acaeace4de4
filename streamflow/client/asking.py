"""What a client asks and how it reads the answers, without a connection: `drivers.py` has those.

Each question is a generator. It yields a `Request`, which somebody sends, or a number of seconds, for which somebody
waits, and is sent the `Reply`; so the words are written once and serve both kinds of programs.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote, quote_from_bytes, urlencode

import msgspec

from streamflow.clock import milliseconds
from streamflow.errors import StreamflowError

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

AGAIN = 0.1  # seconds until a worker that could not answer is asked again, unless it says itself
UNREACHABLE = 0


class ClientError(StreamflowError):
    """A worker refused the question; ``status`` is HTTP's. The text is its own sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class NoAnswer(StreamflowError):
    """No worker could answer within the time-out: none was reached, or the state was moving all the while."""


class Place(NamedTuple):
    """Where a record that was written lies."""

    topic: str
    partition: int
    offset: int


class Entry(NamedTuple, Generic[K, V]):
    """A row of a table. ``timestamp`` in milliseconds, None where the store keeps none."""

    key: K
    value: V
    timestamp: int | None


class Window(NamedTuple, Generic[V]):
    """A window (or session) of one key, its times in milliseconds."""

    start: int
    end: int
    value: V
    timestamp: int | None


@dataclass(frozen=True)
class Request:
    """One request to one worker."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout: float


@dataclass(frozen=True)
class Reply:
    """Its answer; status `UNREACHABLE` with the reason as body where there was none."""

    status: int
    body: bytes
    retry_after: float | None = None

    @property
    def sentence(self) -> str:
        """What the worker says in words."""
        try:
            return str(msgspec.json.decode(self.body, type=dict[str, Any])["error"])
        except (msgspec.MsgspecError, KeyError):
            return self.body[:200].decode("utf-8", "replace")


Asking = Generator[Request | float, Reply, T]


@dataclass(frozen=True)
class Group:
    """The workers of one application. ``urls`` are any of them; ``timeout`` is how long to try, in seconds."""

    urls: Sequence[str]
    token: str | None
    timeout: float

    def ask(
        self, method: str, target: str, body: bytes | None = None, wait: float = 0.0, **headers: str
    ) -> Asking[Reply]:
        """Ask one worker after the other until one answers with something else than 503."""
        until = time.monotonic() + self.timeout + wait
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            named["Authorization"] = f"Bearer {self.token}"
        attempt = 0
        while True:
            url = self.urls[attempt % len(self.urls)].rstrip("/") + target
            reply = yield Request(method, url, named, body, max(0.1, until - time.monotonic()))
            if reply.status not in (UNREACHABLE, 503):
                return reply
            rest = until - time.monotonic()
            if rest <= 0:
                raise NoAnswer(f"{url}: {reply.sentence}")
            attempt += 1
            others = attempt % len(self.urls) != 0  # not all have been asked
            yield 0.0 if others else min(rest, reply.retry_after or AGAIN)

    def write(self, topic: str, key: object, value: object, id: str | None, timestamp: int | None) -> Asking[Place]:
        """Write an event; asked again it is not written again."""
        given: dict[str, str] = {}
        if timestamp is not None:
            given["timestamp"] = str(timestamp)
        query = urlencode(given) + ("" if key is None else f"{'&' if given else ''}key={quoted(key)}")
        kind, body = _body(value)
        target = f"/topics/{quote(topic, safe='')}" + (f"?{query}" if query else "")
        reply = yield from self.ask("POST", target, body, Content_Type=kind, Idempotency_Key=id or str(uuid.uuid4()))
        if reply.status not in (200, 201):
            raise ClientError(reply.status, reply.sentence)
        told = msgspec.json.decode(reply.body, type=dict[str, Any])
        return Place(told["topic"], told["partition"], told["offset"])


@dataclass(frozen=True)
class Questions(Generic[K, V]):
    """What can be asked of one store. ``key`` and ``value`` make objects of JSON."""

    group: Group
    name: str
    key: Callable[[Any], K]
    value: Callable[[Any], V]
    stale: bool = False
    """Whether an older answer will do."""

    def entry(self, key: K, **given: Any) -> Asking[Entry[K, V] | None]:
        """The row of a key."""
        reply = yield from self._of_key("keys", key, given)
        if reply is None:
            return None
        return self._entry(msgspec.json.decode(reply, type=dict[str, Any]), key)

    def page(self, cursor: str | None, **given: Any) -> Asking[tuple[list[Entry[K, V]], str | None]]:
        """Rows in the order of keys, and where the next ones begin."""
        reply = yield from self._ask("/keys", {**given, "cursor": cursor})
        told = msgspec.json.decode(reply or b"{}", type=dict[str, Any])
        return [self._entry(each) for each in told["entries"]], told["cursor"]

    def windows(self, word: str, key: K, **given: Any) -> Asking[list[Window[V]]]:
        """The windows or sessions of a key, oldest first."""
        reply = yield from self._of_key(word, key, given)
        rows = msgspec.json.decode(reply or b"[]", type=list[dict[str, Any]])
        return [Window(each["start"], each["end"], self._value(each), each["timestamp"]) for each in rows]

    def _of_key(self, word: str, key: K, given: dict[str, Any]) -> Asking[bytes | None]:
        return (yield from self._ask(f"/{word}/{quoted(key)}", given))

    def _ask(self, path: str, given: dict[str, Any]) -> Asking[bytes | None]:
        """The body; None for 404 of a row. Raises `ClientError`."""
        wait, after = given.pop("wait", None), given.pop("after", None)
        if wait is not None:
            given["wait"] = f"{milliseconds(wait, 'wait')}ms"
        if after is not None:
            given["after"] = after.offset if isinstance(after, Place) else after
            given["topic"] = after.topic if isinstance(after, Place) else None
        if self.stale:
            given["stale"] = "allow"
        query = "&".join(f"{name}={quoted(each)}" for name, each in given.items() if each is not None)
        target = f"/stores/{quote(self.name, safe='')}{path}" + (f"?{query}" if query else "")
        reply = yield from self.group.ask("GET", target, wait=0.0 if wait is None else milliseconds(wait) / 1000)
        if reply.status == 404 and "no row with this key" in reply.sentence:
            return None
        if reply.status != 200:
            raise ClientError(reply.status, reply.sentence)
        return reply.body

    def _entry(self, told: dict[str, Any], key: K | None = None) -> Entry[K, V]:
        its = key if key is not None else self.key(_bytes_or(told["key"], told.get("key_encoding")))
        return Entry(its, self._value(told), told["timestamp"])

    def _value(self, told: dict[str, Any]) -> V:
        return self.value(_bytes_or(told["value"], told.get("encoding")))


def converter(kind: Any) -> Callable[[Any], Any]:
    """How JSON becomes a value of a type; None: it stays what it is.

    >>> converter(int)(7), converter(bytes)("a"), converter(None)([1])
    (7, b'a', [1])
    """
    if kind is None:
        return lambda found: found
    if kind is bytes:
        return lambda found: found.encode() if isinstance(found, str) else found
    return lambda found: msgspec.convert(found, kind, strict=True)


def quoted(key: object) -> str:
    """A key (or parameter) as it stands in an address: `streamflow/http/text.py` tells how.

    >>> quoted("a/b"), quoted(b"\\xff"), quoted(-4), quoted({"id": 7})
    ('a%2Fb', '%FF', '-4', '%7B%22id%22%3A7%7D')
    """
    if isinstance(key, bytes):
        return quote_from_bytes(key, safe="")
    if isinstance(key, str | int | float | uuid.UUID) and not isinstance(key, bool):
        return quote(str(key), safe="")
    return quote_from_bytes(msgspec.json.encode(key), safe="")


def _body(value: object) -> tuple[str, bytes]:
    if isinstance(value, bytes):
        return "application/octet-stream", value
    if isinstance(value, str):
        return "text/plain", value.encode()
    return "application/json", msgspec.json.encode(value)


def _bytes_or(found: Any, encoding: str | None) -> Any:
    return base64.b64decode(found) if encoding == "base64" else found


Wait = str | timedelta | None
