"""Serdes: a type or an explicit choice -> bytes and back.

Scalars are written as Java's serdes write them, everything else as JSON through
msgspec. A type is turned into a serde once, when the graph is built.
"""

from streamflow.serdes.base import Serde, Typed, shown, unreadable, unwritable
from streamflow.serdes.compound import change_serde, presence, windowed_by_size
from streamflow.serdes.resolve import serde_of, windowed
from streamflow.serdes.scalars import float64, int32, int64, nothing, raw, string, uuid
from streamflow.serdes.structured import is_immutable, json, msgpack, type_name

__all__ = [
    "Serde",
    "Typed",
    "change_serde",
    "float64",
    "int32",
    "int64",
    "is_immutable",
    "json",
    "msgpack",
    "nothing",
    "presence",
    "raw",
    "serde_of",
    "shown",
    "string",
    "type_name",
    "unreadable",
    "unwritable",
    "uuid",
    "windowed",
    "windowed_by_size",
]
