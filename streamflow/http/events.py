"""An event from a request: its value by the topic's serde, its key, its place; and writing it.

The body is the value:

    application/json           JSON, read by the type that the application gives the topic (bytes: taken as it is)
    text/plain                 the text, for topics of str
    application/octet-stream   the record's bytes as they are, if the application can read them

An event that the application could not read is refused, so that it cannot stop the application.
"""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from streamflow.clock import Clock
from streamflow.errors import SerdeError
from streamflow.http.asked import Asked, Refused
from streamflow.http.catalogue import KnownTopic
from streamflow.http.text import key_bytes
from streamflow.http.writer import ID_HEADER, Writer, Written
from streamflow.log.partitioner import partition_of
from streamflow.query import WrongQuestion
from streamflow.record import TopicPartition
from streamflow.serdes import Serde

MOST_BYTES = 900_000
"""The largest body: what fits into a record with its key and headers (a Kafka broker takes a megabyte)."""
LONGEST_ID = 200
OURS = "streamflow."

_TAKEN = ("application/json", "text/plain", "application/octet-stream")
_WRONG = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    SerdeError,
    msgspec.MsgspecError,
)
_UNREADABLE = (
    web.PayloadAccessError,
    web.RequestPayloadError,
    HttpProcessingError,  # chunks or a compression that are none
    ConnectionError,  # it does not come to its end
    EOFError,
    ValueError,
)


class Events:
    """Takes events in for the topics of one application."""

    def __init__(self, topics: dict[str, KnownTopic], writer: Writer, clock: Clock) -> None:
        self._topics = topics
        self._writer = writer
        self._clock = clock
        self._turn = itertools.count()

    def topic(self, name: str) -> KnownTopic:
        """A topic that takes events. Raises `Refused`."""
        topic = self._topics.get(name)
        takes = ", ".join(sorted(each.name for each in self._topics.values() if each.takes_events)) or "none does"
        if topic is None:
            raise Refused(404, f"the application has no topic {name[:100]!r}; those that take events: {takes}")
        if not topic.takes_events:
            what = " and ".join(topic.roles)
            raise Refused(403, f"topic {name!r} is a {what} of the application; those that take events: {takes}")
        return topic

    async def post(self, asked: Asked, request: web.BaseRequest) -> tuple[int, dict[str, Any]]:
        """Write the event of a request; the status and the body of the answer."""
        topic = self.topic(asked.path["topic"].decode("utf-8", "backslashreplace"))
        given = asked.parameters
        key = None if given["key"] is None else _key(topic, given["key"])
        value = value_bytes(topic.value, await body(request), request.content_type if _typed(request) else "")
        at, done = await self.write(
            topic,
            key,
            value,
            timestamp=given["timestamp"],
            partition=given["partition"],
            headers=_headers(given["headers"]),
            id=_id(request.headers.getall("Idempotency-Key", [])),
        )
        place = {"topic": at.topic, "partition": at.partition, "offset": done.offset}
        return (200 if done.again else 201), place

    async def write(
        self,
        topic: KnownTopic,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int | None = None,
        partition: int | None = None,
        headers: list[tuple[str, bytes]],
        id: bytes | None = None,
    ) -> tuple[TopicPartition, Written]:
        """Write one event; where it lies. Raises `Unavailable` and `WrongQuestion`."""
        if value is None and key is None:
            raise WrongQuestion("value is null and there is no key; a null deletes the row of a key, so give ?key=")
        if len(value or b"") + len(key or b"") > MOST_BYTES:
            raise Refused(
                413, f"the event has more than {MOST_BYTES:,} bytes; keep large things elsewhere and send a link"
            )
        if partition is None:
            partition = self._place(topic, key, value, id)
        if not 0 <= partition < topic.partitions:
            raise WrongQuestion(
                f"partition is {partition}; {topic.name!r} has the partitions 0 to {topic.partitions - 1}"
            )
        at = TopicPartition(topic.name, partition)
        when = self._clock.now_ms() if timestamp is None else timestamp
        return at, await self._writer.write(at, (key, value, when, headers), id)

    def _place(self, topic: KnownTopic, key: bytes | None, value: bytes | None, id: bytes | None) -> int:
        if topic.partitioner is not None:
            try:
                place = topic.partitioner(
                    topic.name, topic.key.deserialize(key), topic.value.deserialize(value), topic.partitions
                )
                return int(place)
            except Exception as error:
                raise WrongQuestion(
                    f"the partitioner of {topic.name!r} raised {type(error).__name__}: {error}"
                ) from error
        if key is not None:
            by = topic.key.placed_by
            return partition_of(key if by is None else key[by], topic.partitions)
        if id is not None:
            return partition_of(id, topic.partitions)  # so that it is looked for where it was put
        return next(self._turn) % topic.partitions


def _typed(request: web.BaseRequest) -> bool:
    return "Content-Type" in request.headers


def _key(topic: KnownTopic, text: bytes) -> bytes:
    try:
        return key_bytes(topic.key, text, "key")
    except WrongQuestion as error:
        raise WrongQuestion(str(error).replace("this store", f"topic {topic.name!r}")) from error


async def body(request: web.BaseRequest) -> bytes:
    """The body, if it is not too large."""
    if (request.content_length or 0) > MOST_BYTES:
        raise Refused(
            413, f"the body has {request.content_length:,} bytes; {MOST_BYTES:,} is the most", Connection="close"
        )
    found = bytearray()
    try:
        async for piece in request.content.iter_any():
            found += piece
            if len(found) > MOST_BYTES:
                raise Refused(413, f"the body has more than {MOST_BYTES:,} bytes", Connection="close")
    except _UNREADABLE as error:
        raise Refused(400, f"the body cannot be read: {error}", Connection="close") from error
    return bytes(found)


def value_bytes(serde: Serde[Any], data: bytes, media: str) -> bytes | None:
    """The bytes of the record's value. Raises `WrongQuestion` that names the field, and `Refused` for another type.

    >>> from streamflow.serdes import serde_of
    >>> value_bytes(serde_of(int), b"7", "application/json")
    b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07'
    """
    media = media or "application/json"
    if media not in _TAKEN and not media.endswith("+json"):
        raise Refused(415, f"Content-Type is {media[:60]!r}; write one of {', '.join(_TAKEN)}")
    try:
        if media == "application/octet-stream":
            serde.deserialize(data)
            return data
        if media == "text/plain":
            if serde.name not in ("string", "raw"):
                raise Refused(415, f"text/plain is for values of str; this topic's are {serde.name}: send JSON")
            return data if serde.name == "raw" else serde.serialize(data.decode())
        return _from_json(serde, data)
    except _WRONG as error:
        raise WrongQuestion(f"the body is no {_named(serde)}: {error}") from error
    except Refused:
        raise
    except Exception as error:  # a serde of the user's may raise anything
        raise WrongQuestion(f"the body is no {_named(serde)}: {type(error).__name__}: {error}") from error


def _from_json(serde: Serde[Any], data: bytes) -> bytes | None:
    found = msgspec.json.decode(data)
    name = serde.name
    if found is None:
        return None
    if name.startswith("json("):
        return serde.serialize(serde.deserialize(data))
    if name == "raw":
        return data
    kinds: dict[str, tuple[Any, str]] = {
        "string": (str, "a string in quotes"), "int32": (int, "a whole number"), "int64": (int, "a whole number"),
        "float64": ((int, float), "a number"), "uuid": (str, "a UUID in quotes"),
    }  # fmt: skip
    if name in kinds:
        kind, words = kinds[name]
        if not isinstance(found, kind) or isinstance(found, bool):
            raise ValueError(f"expected {words}, got {type(found).__name__}")
        return serde.serialize(UUID(found) if name == "uuid" else float(found) if name == "float64" else found)
    made = serde.serialize(found)
    serde.deserialize(made)
    return made


def _named(serde: Serde[Any]) -> str:
    return serde.name[5:-1] if serde.name.startswith("json(") else serde.name


def _headers(text: str | None) -> list[tuple[str, bytes]]:
    if text is None:
        return []
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise WrongQuestion(f'headers is {text[:60]!r}; write JSON such as {{"name": "text"}} ({error})') from error
    if ours := next((name for name in found if name.startswith(OURS)), None):
        raise WrongQuestion(f"headers has {ours[:60]!r}; names that begin with {OURS!r} are streamflow's own")
    return [(name, data.encode()) for name, data in found.items()]


def _id(given: list[str]) -> bytes | None:
    if not given:
        return None
    if len(given) > 1 or not 0 < len(given[0]) <= LONGEST_ID or not given[0].isascii() or not given[0].isprintable():
        raise WrongQuestion(f"Idempotency-Key must be there once and have 1 to {LONGEST_ID} printable ASCII letters")
    return given[0].encode()


__all__ = ["ID_HEADER", "Events", "body", "value_bytes"]
