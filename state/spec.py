"""What a store is, as declared: its kind, its serdes, how long it keeps what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from streamflow.serdes import Serde


@dataclass(frozen=True)
class StoreSpec:
    """One store of a topology.

    ``timestamped`` stores keep the record's timestamp beside the value (8 bytes big endian in front of it).
    Window stores need ``retention_ms`` and ``window_ms``, session and versioned stores the former; ``duplicates``
    keeps several values per key and start.
    ``source_topic`` is the topic that serves as changelog instead of one of the store's own (table sources,
    under optimisation). ``logged=False`` has no changelog: its content ends with the task. ``end_of(start)`` tells where
    windows end that differ in length. ``ttl_ms`` and ``max_entries`` are of key-value stores that forget (0: they do not).
    """

    name: str
    kind: Literal["key_value", "window", "session", "versioned"]
    key: Serde[Any]
    value: Serde[Any]
    base: Literal["rocksdb", "memory"] = "rocksdb"
    timestamped: bool = True
    logged: bool = True
    retention_ms: int = 0
    window_ms: int = 0
    duplicates: bool = False
    source_topic: str | None = None
    end_of: Callable[[int], int] | None = None
    ttl_ms: int = 0
    max_entries: int = 0

    def end(self, start: int) -> int:
        """Where the window ends that begins at ``start``."""
        return start + self.window_ms if self.end_of is None else self.end_of(start)

    @property
    def segmented(self) -> bool:
        """Its rows lie by segments of time, which expire as a whole."""
        return self.kind in ("window", "session")

    @property
    def tail(self) -> int:
        """How many bytes stand behind the key in a changelog: the start of a window (and a sequence number), or the
        end and the start of a session."""
        return 16 if self.kind == "session" else 12 if self.duplicates else 8
