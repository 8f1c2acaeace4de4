"""What the two sides of a foreign-key join send each other.

    subscription   flags (01: hash) || instruction || uint32 partition || hash || the left row's key
    response       flags (01: hash, 02: value) || hash || the right row's value

A hash is 16 bytes of BLAKE2b over the left row's value as its serde writes it; a row that is not there has none.
Integers are big endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from hashlib import blake2b
from typing import Any, NamedTuple

from streamflow.serdes.base import Serde, unreadable, wrapped

HASH = 16
_FRONT = struct.Struct(">BBI")


class Ask(IntEnum):
    """What a left row asks of the right side."""

    FORGET = 0
    """Take the subscription away, and say nothing."""
    FORGET_AND_ANSWER = 1
    """Take it away, and say that there is nothing."""
    ANSWER = 2
    """Say what there is, or that there is nothing."""
    ANSWER_IF_THERE = 3
    """Say what there is, or nothing at all."""


class Subscription(NamedTuple):
    """A left row subscribes to a right one. ``partition`` is where the answer goes."""

    hash: bytes | None
    ask: int
    key: bytes
    partition: int


class Response(NamedTuple):
    """What the right side has for a left row whose value had this hash. ``partition`` is not on the wire."""

    hash: bytes | None
    value: Any
    partition: int = -1


def digest(data: bytes | None) -> bytes | None:
    """The hash of a value's bytes."""
    return None if data is None else blake2b(data, digest_size=HASH).digest()


def _subscription_out(told: Subscription) -> bytes:
    return _FRONT.pack(told.hash is not None, told.ask, told.partition) + (told.hash or b"") + told.key


def _subscription_in(data: bytes | None) -> Any:
    try:
        has_hash, ask, partition = _FRONT.unpack_from(data or b"")
    except struct.error:
        raise unreadable("subscription", data or b"") from None
    assert data is not None
    end = _FRONT.size + (HASH if has_hash else 0)
    return Subscription(data[_FRONT.size : end] or None, ask, data[end:], partition)


subscription: Serde[Subscription] = Serde(_subscription_out, _subscription_in, "subscription", immutable=True)
"""
>>> asked = Subscription(None, Ask.FORGET, b"key", 3)
>>> subscription.deserialize(subscription.serialize(asked)) == asked
True
"""


def response(inner: Serde[Any]) -> Serde[Response]:
    """Responses with values of ``inner``.

    >>> from streamflow.serdes.scalars import string
    >>> response(string).deserialize(response(string).serialize(Response(b"0" * 16, "a", 3)))
    Response(hash=b'0000000000000000', value='a', partition=-1)
    """
    write, read, name = inner.serialize, inner.deserialize, f"response({inner.name})"

    def serialize(told: Response) -> bytes:
        value = write(told.value)
        flags = (told.hash is not None) | (value is not None) << 1
        return bytes((flags,)) + (told.hash or b"") + (value or b"")

    def deserialize(data: bytes | None) -> Any:
        if not data or data[0] > 3:
            raise unreadable(name, data or b"")
        end = 1 + (HASH if data[0] & 1 else 0)
        return Response(data[1:end] or None, read(data[end:]) if data[0] & 2 else None)

    return wrapped(response, inner, Serde(serialize, deserialize, name, inner.immutable))
