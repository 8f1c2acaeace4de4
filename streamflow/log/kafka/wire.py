"""The requests that are made of a broker, where aiokafka has none or an older one.

An `Api` is a table of versions, each with the schemas of its request and its
answer; a call of it goes out in the newest version that it and the broker both
know. Versions from ``flexible`` on end every structure with tagged fields.

Source: Kafka's documentation, "Protocol"; the types are aiokafka's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    Bytes,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

TEXT: Any = String("utf-8")
COMPACT: Any = CompactString("utf-8")
COMPACT_BYTES: Any = CompactBytes()
TAGS: Any = ("tags", TaggedFields)


def send(connection: Any, request: Any) -> Any:
    """The answer to a request, to be awaited. Raises `KafkaConnectionError` when it cannot even be sent.

    Between the end of a connection and aiokafka's hearing of it, uvloop refuses to write with a RuntimeError.
    """
    try:
        return connection.send(request)
    except RuntimeError as error:
        connection.close()
        raise KafkaConnectionError(f"the connection has just been closed ({error})") from error


class Uuid(AbstractType[bytes]):  # type: ignore[misc]
    """16 bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: Any) -> bytes:
        return bytes(data.read(16))


class RawBytes(AbstractType[bytes]):  # type: ignore[misc]
    """Bytes behind an int32 length, handed out as they are."""

    encode: ClassVar[Any] = Bytes.encode

    @classmethod
    def decode(cls, data: Any) -> bytes:
        length = int.from_bytes(data.read(4), "big", signed=True)
        return b"" if length <= 0 else bytes(data.read(length))


class Api:
    """One kind of request in all versions that are spoken here."""

    def __init__(self, key: int, flexible: int, versions: Mapping[int, tuple[Schema, Schema]]) -> None:
        self.key = key
        self.classes: dict[int, type[RequestStruct]] = {}
        for version, (asked, answered) in sorted(versions.items(), reverse=True):
            answer = type(
                f"Response{key}v{version}",
                (Response,),
                {"API_KEY": key, "API_VERSION": version, "SCHEMA": answered},
            )
            self.classes[version] = type(
                f"Request{key}v{version}",
                (RequestStruct,),
                {
                    "API_KEY": key,
                    "API_VERSION": version,
                    "SCHEMA": asked,
                    "RESPONSE_TYPE": answer,
                    "FLEXIBLE_VERSION": version >= flexible,
                },
            )

    def __call__(self, *fields: Any, only: int | None = None) -> Call:
        """A call with these fields, in the order of the newest schema; ``only`` asks for one version."""
        return Call(self, fields, only)

    def version(self, known: Mapping[int, tuple[int, int]]) -> int | None:
        """The version in which a broker that knows these would be spoken to; None if there is none."""
        low, high = known.get(self.key, (0, -1))
        return next((version for version in self.classes if low <= version <= high), None)


class Unspoken(Exception):
    """The broker knows no version of a request that is known here."""


class Call:
    """A request before it is known in which version it goes out."""

    def __init__(self, api: Api, fields: tuple[Any, ...], only: int | None) -> None:
        self.api = api
        self.fields = fields
        self._only = only

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> RequestStruct:
        """What aiokafka's connection sends."""
        version = self._only if self._only is not None else self.api.version(versions)
        if version is None:
            raise Unspoken(f"the broker is too old, or too new: it has no request {self.api.key} that is known here")
        return self.api.classes[version](*self.fields)


def structs(*fields: Any) -> Any:
    """An array of structures."""
    return Array(*fields)


def compact(*fields: Any) -> Any:
    """The same in a flexible version."""
    return CompactArray(*fields, TAGS)


METADATA = Api(
    3,
    9,
    {
        12: (
            Schema(
                ("topics", compact(("id", Uuid), ("name", COMPACT))),
                ("create", Boolean),
                ("authorized", Boolean),
                TAGS,
            ),
            Schema(
                ("throttle", Int32),
                ("brokers", compact(("id", Int32), ("host", COMPACT), ("port", Int32), ("rack", COMPACT))),
                ("cluster", COMPACT),
                ("controller", Int32),
                (
                    "topics",
                    compact(
                        ("error", Int16),
                        ("name", COMPACT),
                        ("id", Uuid),
                        ("internal", Boolean),
                        (
                            "partitions",
                            compact(
                                ("error", Int16),
                                ("number", Int32),
                                ("leader", Int32),
                                ("epoch", Int32),
                                ("replicas", CompactArray(Int32)),
                                ("isr", CompactArray(Int32)),
                                ("offline", CompactArray(Int32)),
                            ),
                        ),
                        ("operations", Int32),
                    ),
                ),
                TAGS,
            ),
        )
    },
)

API_VERSIONS = Api(
    18,
    99,  # the answer's header is never flexible, for it tells which versions there are; the request's own is, see below
    {
        3: (
            Schema(TAGS, ("name", COMPACT), ("version", COMPACT), ("more", TaggedFields)),
            Schema(
                ("error", Int16),
                ("keys", compact(("key", Int16), ("low", Int16), ("high", Int16))),
                ("throttle", Int32),
                TAGS,
            ),
        )
    },
)
"""Version 3, which alone tells the features: the first field of the request stands for the tags of its flexible header."""

FETCH = Api(
    1,
    12,
    {
        11: (
            Schema(
                ("replica", Int32),
                ("max_wait", Int32),
                ("min_bytes", Int32),
                ("max_bytes", Int32),
                ("isolation", Int8),
                ("session", Int32),
                ("session_epoch", Int32),
                (
                    "topics",
                    structs(
                        ("name", TEXT),
                        (
                            "partitions",
                            structs(
                                ("number", Int32),
                                ("leader_epoch", Int32),
                                ("offset", Int64),
                                ("log_start", Int64),
                                ("max_bytes", Int32),
                            ),
                        ),
                    ),
                ),
                ("forgotten", structs(("name", TEXT), ("partitions", Array(Int32)))),
                ("rack", TEXT),
            ),
            Schema(
                ("throttle", Int32),
                ("error", Int16),
                ("session", Int32),
                (
                    "topics",
                    structs(
                        ("name", TEXT),
                        (
                            "partitions",
                            structs(
                                ("number", Int32),
                                ("error", Int16),
                                ("high_watermark", Int64),
                                ("last_stable", Int64),
                                ("log_start", Int64),
                                ("aborted", structs(("producer", Int64), ("first", Int64))),
                                ("preferred", Int32),
                                ("records", RawBytes),
                            ),
                        ),
                    ),
                ),
            ),
        )
    },
)

LIST_OFFSETS = Api(
    2,
    6,
    {
        5: (
            Schema(
                ("replica", Int32),
                ("isolation", Int8),
                (
                    "topics",
                    structs(
                        ("name", TEXT),
                        ("partitions", structs(("number", Int32), ("leader_epoch", Int32), ("timestamp", Int64))),
                    ),
                ),
            ),
            Schema(
                ("throttle", Int32),
                (
                    "topics",
                    structs(
                        ("name", TEXT),
                        (
                            "partitions",
                            structs(
                                ("number", Int32),
                                ("error", Int16),
                                ("timestamp", Int64),
                                ("offset", Int64),
                                ("leader_epoch", Int32),
                            ),
                        ),
                    ),
                ),
            ),
        )
    },
)

OFFSET_FETCH = Api(
    9,
    6,
    {
        7: (
            Schema(
                ("group", COMPACT),
                ("topics", compact(("name", COMPACT), ("partitions", CompactArray(Int32)))),
                ("require_stable", Boolean),
                TAGS,
            ),
            Schema(
                ("throttle", Int32),
                (
                    "topics",
                    compact(
                        ("name", COMPACT),
                        (
                            "partitions",
                            compact(
                                ("number", Int32),
                                ("offset", Int64),
                                ("leader_epoch", Int32),
                                ("metadata", COMPACT),
                                ("error", Int16),
                            ),
                        ),
                    ),
                ),
                ("error", Int16),
                TAGS,
            ),
        )
    },
)

_PRODUCED = structs(
    ("number", Int32),
    ("error", Int16),
    ("offset", Int64),
    ("timestamp", Int64),
    ("log_start", Int64),
    ("records", structs(("index", Int32), ("message", TEXT))),
    ("message", TEXT),
)
PRODUCE = Api(
    0,
    9,
    {
        8: (
            Schema(
                ("transactional_id", TEXT),
                ("acks", Int16),
                ("timeout", Int32),
                ("topics", structs(("name", TEXT), ("partitions", structs(("number", Int32), ("records", Bytes))))),
            ),
            Schema(("topics", structs(("name", TEXT), ("partitions", _PRODUCED))), ("throttle", Int32)),
        )
    },
)
PRODUCE_V2 = Api(
    0,
    9,
    {
        12: (
            Schema(
                ("transactional_id", COMPACT),
                ("acks", Int16),
                ("timeout", Int32),
                (
                    "topics",
                    compact(("name", COMPACT), ("partitions", compact(("number", Int32), ("records", COMPACT_BYTES)))),
                ),
                TAGS,
            ),
            Schema(
                (
                    "topics",
                    compact(
                        ("name", COMPACT),
                        (
                            "partitions",
                            compact(
                                ("number", Int32),
                                ("error", Int16),
                                ("offset", Int64),
                                ("timestamp", Int64),
                                ("log_start", Int64),
                                ("records", compact(("index", Int32), ("message", COMPACT))),
                                ("message", COMPACT),
                            ),
                        ),
                    ),
                ),
                ("throttle", Int32),
                TAGS,
            ),
        )
    },
)
"""Under transactions V2: the broker adds the partition to the transaction by itself."""

_OFFSETS_ASKED = compact(
    ("name", COMPACT),
    ("partitions", compact(("number", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", COMPACT))),
)
_OFFSETS_TOLD = Schema(
    ("throttle", Int32),
    ("topics", compact(("name", COMPACT), ("partitions", compact(("number", Int32), ("error", Int16))))),
    TAGS,
)
_OFFSETS = (
    Schema(
        ("transactional_id", COMPACT),
        ("group", COMPACT),
        ("producer", Int64),
        ("epoch", Int16),
        ("generation", Int32),
        ("member", COMPACT),
        ("instance", COMPACT),
        ("topics", _OFFSETS_ASKED),
        TAGS,
    ),
    _OFFSETS_TOLD,
)
TXN_OFFSET_COMMIT = Api(28, 3, {3: _OFFSETS})
TXN_OFFSET_COMMIT_V2 = Api(28, 3, {5: _OFFSETS})
"""Under transactions V2: the broker adds the group to the transaction by itself."""

END_TXN_V2 = Api(
    26,
    3,
    {
        5: (
            Schema(("transactional_id", COMPACT), ("producer", Int64), ("epoch", Int16), ("commit", Boolean), TAGS),
            Schema(("throttle", Int32), ("error_code", Int16), ("producer", Int64), ("epoch", Int16), TAGS),
        )
    },
)
"""Answers the producer id and epoch of the next transaction."""
