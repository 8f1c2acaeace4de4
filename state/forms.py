"""The form a value has in the layers, on disk, and in the hands of whoever holds a handle.

A store whose values cannot change in place may keep the objects themselves in
its layers and encode them once a commit. Any other keeps bytes there, because a
user's function may change an object after it was put.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from streamflow.errors import StateError
from streamflow.serdes import Serde
from streamflow.state.keys import pack_int64
from streamflow.state.layers import Pair
from streamflow.state.spec import StoreSpec

Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Form:
    """How one handle's keys and values become the store's and back; None: they are the same already."""

    key_in: Convert | None
    key_out: Convert | None
    value_in: Convert | None
    value_out: Convert | None

    def key(self, key: Any) -> bytes:
        """A key as bytes."""
        data: bytes | None = key if self.key_in is None else self.key_in(key)
        if data is None:
            raise StateError("a store has no row for the key None; drop such records before they reach it")
        return data

    def value(self, value: Any) -> Any:
        """A value of the store as the holder wants it."""
        return value if self.value_out is None else self.value_out(value)


def form_of(spec: StoreSpec, objects: bool, *, key_raw: bool, value_raw: bool) -> Form:
    """The conversions of a handle over a store that keeps objects or bytes in its layers."""
    key, value = spec.key, spec.value
    key_in, key_out = (None, None) if key_raw else (key.serialize, key.deserialize)
    if objects == (not value_raw):
        return Form(key_in, key_out, None, None)
    inward, outward = (value.deserialize, value.serialize) if objects else (value.serialize, value.deserialize)
    return Form(key_in, key_out, inward, outward)


def row_encoder(spec: StoreSpec, objects: bool) -> Callable[[Pair], bytes | None]:
    """A pair of the layers as a row's bytes on disk; None for a deleted row."""
    serialize = spec.value.serialize if objects else _as_it_is
    if not spec.timestamped:
        return (lambda pair: serialize(pair[0])) if objects else itemgetter(0)
    if objects and spec.value.layout:
        return _number_encoder(spec.value)

    def encode(pair: Pair) -> bytes | None:
        value, timestamp = pair
        if value is None or (data := serialize(value)) is None:
            return None
        return pack_int64(timestamp) + data

    return encode


def _number_encoder(value: Serde[Any]) -> Callable[[Pair], bytes | None]:
    """The same for numbers of a fixed size: timestamp and value are packed in one go."""
    pack = struct.Struct(">q" + value.layout).pack

    def encode(pair: Pair) -> bytes | None:
        number, timestamp = pair
        if number is None:
            return None
        try:
            return pack(timestamp, number)
        except (struct.error, OverflowError):
            return pack_int64(timestamp) + (value.serialize(number) or b"")  # raises, in the serde's words

    return encode


def row_decoder(spec: StoreSpec, objects: bool) -> Callable[[bytes], Pair]:
    """A row's bytes on disk as a pair of the layers; timestamp 0 where the store keeps none."""
    deserialize = spec.value.deserialize if objects else _as_it_is
    if not spec.timestamped:
        return lambda row: (deserialize(row), 0)
    return lambda row: (deserialize(row[8:]), int.from_bytes(row[:8], "big", signed=True))


def _as_it_is(value: Any) -> Any:
    return value
