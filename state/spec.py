"""What a store is, as declared: its kind, its serdes, how long it keeps what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from streamflow.serdes import Serde


@dataclass(frozen=True)
class StoreSpec:
    """One store of a topology.

    ``timestamped`` stores keep the record's timestamp beside the value (8 bytes big endian in front of it).
    Window stores need ``retention_ms`` and ``window_ms``; ``duplicates`` keeps several values per key and start.
    ``source_topic`` is the topic that serves as changelog instead of one of the store's own (table sources,
    under optimisation). ``logged=False`` has no changelog: its content ends with the task.
    """

    name: str
    kind: Literal["key_value", "window"]
    key: Serde[Any]
    value: Serde[Any]
    base: Literal["rocksdb", "memory"] = "rocksdb"
    timestamped: bool = True
    logged: bool = True
    retention_ms: int = 0
    window_ms: int = 0
    duplicates: bool = False
    source_topic: str | None = None
