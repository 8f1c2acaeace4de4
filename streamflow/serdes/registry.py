"""Schema registries that speak Confluent's REST interface: an id for a schema, a schema for an id.

A value written under a registry stands in a frame, so that whoever reads it can
ask for the schema it was written with:

    0   int8    always 0
    1   int32   id of the schema in the registry, big endian
    5           the value (for Protobuf: message indexes first, see `protobuf_serde`)

Ids and schemas never change their meaning, so each is asked for once a process.
Calls block, are few, and end within their time-out: a schema is looked up when
the first value of its kind is met.

Source: Confluent's documentation, "Schema Registry API Reference" and "Wire format".
"""

from __future__ import annotations

import base64
import json
import os
import struct
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from streamflow.errors import ConfigError, LogUnavailable, SerdeError

FRAME = struct.Struct(">bI")
SubjectNaming = Literal["topic", "record", "topic_record"] | Callable[[str, str, str], str]
"""Which subject a schema stands under. ``topic``: ``orders-value``; ``record``: the record's full name;
``topic_record``: ``orders-com.shop.Order``; or ``f(topic, "key" or "value", record) -> subject``."""

_ASK_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class RegistryUnavailable(LogUnavailable):
    """The registry could not be reached, or not just now; asking again may work."""


@dataclass(frozen=True)
class Reference:
    """Another schema that a schema uses: its name there, the subject it stands under, and its version."""

    name: str
    subject: str
    version: int


class Registered(NamedTuple):
    """A schema as the registry keeps it. ``kind`` is AVRO, PROTOBUF or JSON."""

    text: str
    kind: str
    references: tuple[Reference, ...] = ()


class SchemaRegistry:
    """A client of one registry, shared by all serdes that name it.

    ``url`` may hold a user and a password (``https://user:secret@host``); so may ``STREAMFLOW_REGISTRY_AUTH`` as
    ``user:secret``. ``auto_register=False`` writes only with schemas that are there already. ``subject`` says which
    subject a schema stands under. ``timeout`` in seconds is that of one call.

    Raises `RegistryUnavailable` when nobody answers, and `SerdeError` for a refusal, in the registry's own words.
    """

    def __init__(
        self, url: str, *, auto_register: bool = True, subject: SubjectNaming = "topic", timeout: float = 10.0
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"a schema registry is named like http://host:8081, not {_without_secret(url)!r}")
        if not callable(subject) and subject not in ("topic", "record", "topic_record"):
            raise ConfigError(
                f"subject is {subject!r}; write 'topic', 'record', 'topic_record' or f(topic, role, record)"
            )
        self.url = _without_secret(url).rstrip("/")
        self.auto_register = auto_register
        self._subject = subject
        self._timeout = timeout
        self._auth = _auth(parts)
        self._lock = threading.Lock()
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, Registered] = {}

    def __repr__(self) -> str:
        return f"SchemaRegistry({self.url!r})"

    def subject(self, topic: str | None, role: str, record: str) -> str:
        """The subject of what is written to ``topic`` as ``role`` (key or value); by the record's name without a topic."""
        if callable(self._subject):
            return self._subject(topic or "", role, record)
        if topic is None or self._subject == "record":
            return record
        return f"{topic}-{role}" if self._subject == "topic" else f"{topic}-{record}"

    def id_of(self, subject: str, schema: Registered) -> int:
        """The id of a schema under a subject; it is registered there if that is allowed."""
        known = subject, schema.text
        if (found := self._ids.get(known)) is not None:
            return found
        with self._lock:
            path = f"/subjects/{urllib.parse.quote(subject, safe='')}"
            answer = self._call("POST", f"{path}/versions" if self.auto_register else path, _asked(schema), subject)
            self._ids[known] = number = int(answer["id"])
        return number

    def version_of(self, subject: str, schema: Registered) -> int:
        """The version that a registered schema has under its subject."""
        path = f"/subjects/{urllib.parse.quote(subject, safe='')}"
        return int(self._call("POST", path, _asked(schema), subject)["version"])

    def schema(self, number: int) -> Registered:
        """The schema with an id."""
        if (found := self._schemas.get(number)) is not None:
            return found
        with self._lock:
            answer = self._call("GET", f"/schemas/ids/{number}", None, f"id {number}")
            references = tuple(Reference(r["name"], r["subject"], r["version"]) for r in answer.get("references") or ())
            self._schemas[number] = registered = Registered(
                answer["schema"], answer.get("schemaType") or "AVRO", references
            )
        return registered

    def referenced(self, reference: Reference) -> Registered:
        """The schema that a reference means."""
        path = f"/subjects/{urllib.parse.quote(reference.subject, safe='')}/versions/{reference.version}"
        return self.schema(int(self._call("GET", path, None, reference.subject)["id"]))

    def _call(self, method: str, path: str, body: Any, what: str) -> Any:
        import urllib.error  # these take 20 ms to import, which only those who have a registry pay
        import urllib.request

        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Accept": "application/vnd.schemaregistry.v1+json, application/json"},
        )
        if body is not None:
            request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        if self._auth is not None:
            request.add_header("Authorization", self._auth)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = _message(error)
            if error.code in _ASK_AGAIN:
                raise RegistryUnavailable(f"schema registry {self.url} answered {error.code}: {text}") from None
            raise SerdeError(f"schema registry {self.url} refused {what} with {error.code}: {text}") from None
        except (OSError, ValueError) as error:
            raise RegistryUnavailable(f"schema registry {self.url} cannot be reached: {error}") from None


def registry_of(given: SchemaRegistry | str | None) -> SchemaRegistry | None:
    """A registry, or the one behind a URL; serdes that name the same URL share what was looked up.

    >>> registry_of("http://127.0.0.1:8081") is registry_of("http://127.0.0.1:8081")
    True
    """
    if not isinstance(given, str):
        return given
    return _BY_URL.setdefault(given, SchemaRegistry(given))


_BY_URL: dict[str, SchemaRegistry] = {}


def frame(number: int) -> bytes:
    """What stands before a value.

    >>> frame(7).hex()
    '0000000007'
    """
    return FRAME.pack(0, number)


def unframe(data: bytes, expected: str) -> tuple[int, bytes]:
    """The schema's id and what stands behind the frame; a `SerdeError` for bytes without one."""
    if len(data) < FRAME.size or data[0] != 0:
        raise SerdeError(
            f"expected {expected} behind the frame of a schema registry (a zero and 4 bytes of id), found "
            f"{len(data)} bytes beginning {data[:8]!r}; was it written without a registry?"
        )
    return FRAME.unpack_from(data)[1], data[FRAME.size :]


def _asked(schema: Registered) -> dict[str, Any]:
    asked: dict[str, Any] = {"schema": schema.text}
    if schema.kind != "AVRO":
        asked["schemaType"] = schema.kind
    if schema.references:
        asked["references"] = [vars(reference) for reference in schema.references]
    return asked


def _auth(parts: urllib.parse.SplitResult) -> str | None:
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    elif not (pair := os.environ.get("STREAMFLOW_REGISTRY_AUTH", "")):
        return None
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _without_secret(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _message(error: Any) -> str:
    body: str = error.read().decode(errors="replace")
    try:
        told: Any = json.loads(body)
        return str(told["message"])
    except (ValueError, TypeError, KeyError):
        return body[:300] or str(error.reason)
