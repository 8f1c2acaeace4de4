"""Serdes: a type or an explicit choice -> bytes and back.

Scalars are written as Java's serdes write them, everything else as JSON through
msgspec. A type is turned into a serde once, when the graph is built. Avro,
Protobuf, JSON Schema and the registry are imported when they are first named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from streamflow.serdes.base import Serde, Typed, for_topic, shown, unreadable, unwritable
from streamflow.serdes.compound import (
    change_serde,
    presence,
    session_windowed_key,
    windowed_by_end,
    windowed_by_size,
)
from streamflow.serdes.resolve import serde_of, session_windowed, windowed
from streamflow.serdes.scalars import float64, int32, int64, nothing, raw, string, uuid
from streamflow.serdes.structured import is_immutable, json, msgpack, type_name

if TYPE_CHECKING:
    from streamflow.serdes.avro_serde import avro
    from streamflow.serdes.faust_serde import faust
    from streamflow.serdes.json_schema_serde import json_schema
    from streamflow.serdes.protobuf_serde import protobuf
    from streamflow.serdes.registry import RegistryUnavailable, SchemaRegistry

__all__ = [
    "RegistryUnavailable",
    "SchemaRegistry",
    "Serde",
    "Typed",
    "avro",
    "change_serde",
    "faust",
    "float64",
    "for_topic",
    "int32",
    "int64",
    "is_immutable",
    "json",
    "json_schema",
    "msgpack",
    "nothing",
    "presence",
    "protobuf",
    "raw",
    "serde_of",
    "session_windowed",
    "session_windowed_key",
    "shown",
    "string",
    "type_name",
    "unreadable",
    "unwritable",
    "uuid",
    "windowed",
    "windowed_by_end",
    "windowed_by_size",
]

_LATER = {
    "avro": "avro_serde",
    "faust": "faust_serde",
    "json_schema": "json_schema_serde",
    "protobuf": "protobuf_serde",
    "RegistryUnavailable": "registry",
    "SchemaRegistry": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
