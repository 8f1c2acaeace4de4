"""The record in hand, for the few who ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from streamflow.record import Headers


class _StandIn:
    """Plain, for there is one for each update that a commit lets go on: a named tuple takes three times as long."""

    __slots__ = ("headers", "offset", "timestamp")

    def __init__(self, timestamp: int, headers: Headers) -> None:
        self.offset = -1
        self.timestamp = timestamp
        self.headers = headers


class _Bearing(NamedTuple):
    """The record in hand, with the headers of another."""

    offset: int
    timestamp: int
    headers: Headers


class Context:
    """Where the record in hand came from.

    ``record`` is the record as the log gave it; everything else is read from it only when asked for.
    ``partition_time`` is the greatest time seen in its partition, -1 before the first record.
    """

    __slots__ = ("partition", "partition_time", "record", "topic")

    def __init__(self) -> None:
        self.topic = ""
        self.partition = -1
        self.partition_time = -1
        self.record: Any = None

    def stand_in(self, timestamp: int, headers: Headers) -> None:
        """What comes next is no record of the log, but has a time and headers like one."""
        self.record = _StandIn(timestamp, headers)

    @property
    def offset(self) -> int:
        """The record's offset."""
        return int(self.record.offset)

    @property
    def timestamp(self) -> int:
        """The record's own timestamp, in milliseconds."""
        return int(self.record.timestamp)

    @property
    def headers(self) -> Headers:
        """The record's headers."""
        headers: Headers = self.record.headers
        return headers

    def bearing(self, headers: Headers, emit: Callable[..., None], *record: Any) -> None:
        """``emit(*record)`` as if the record in hand had these headers."""
        own = self.record
        self.record = _Bearing(own.offset, own.timestamp, headers)
        try:
            emit(*record)
        finally:
            self.record = own
