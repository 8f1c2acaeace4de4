"""A store of several partitions as one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from streamflow.errors import StreamflowError
from streamflow.log.partitioner import partition_of
from streamflow.serdes import Serde
from streamflow.state.spec import StoreSpec


class Partitioned:
    """A store that lies in several partitions: keys are asked where they lie, scans go over all of them in key order."""

    _KEYED = frozenset(
        {
            "get", "put", "delete", "put_if_absent", "get_with_timestamp", "fetch", "get_pair", "put_pair",
            "find", "fetch_session", "remove", "history", "latest_time",
        }
    )  # fmt: skip

    def __init__(self, handles: Mapping[int, Any], spec: StoreSpec, partitions: int) -> None:
        self.name = spec.name
        self._handles = handles
        self._spec = spec
        self._partitions = partitions

    def put_all(self, items: Iterable[tuple[Any, Any]]) -> None:
        """Put every ``(key, value)``."""
        for key, value in items:
            self.put(key, value)

    def __getattr__(self, word: str) -> Any:
        of_one = getattr(next(iter(self._handles.values())), word)

        def keyed(key: Any, *args: Any, **options: Any) -> Any:
            session = self._spec.kind == "session" and word in ("put", "remove")
            return getattr(self._holder(key.key if session else key), word)(key, *args, **options)

        def everywhere(*args: Any, **options: Any) -> Any:
            found = [getattr(handle, word)(*args, **options) for handle in self._handles.values()]
            if all(isinstance(one, int) for one in found):
                return sum(found)
            reverse = bool(inspect.signature(of_one).bind(*args, **options).arguments.get("reverse"))
            return iter(sorted((row for one in found for row in one), key=self._place, reverse=reverse))

        return keyed if word in self._KEYED else everywhere

    def _holder(self, key: Any) -> Any:
        """Where a key lies: by its bytes, unless a partitioner of the user's has put it elsewhere."""
        encoded = self._spec.key.serialize(key)
        if encoded is None:
            raise StreamflowError(f"store {self.name!r} has no row of the key None")
        first = self._handles[placed(encoded, self._spec.key, self._partitions)]
        return next((one for one in (first, *self._handles.values()) if self._holds(one, key)), first)

    def _holds(self, handle: Any, key: Any) -> bool:
        if self._spec.kind == "window":
            return any(True for _ in handle.fetch(key, None, None))
        if self._spec.kind == "session":
            return any(True for _ in handle.fetch(key))
        return handle.get(key) is not None

    def _place(self, row: tuple[Any, ...]) -> tuple[bytes, int, int]:
        if self._spec.kind in ("key_value", "versioned"):
            return self._spec.key.serialize(row[0]) or b"", 0, 0
        key, start, end = row[0]
        first, second = (end, start) if self._spec.kind == "session" else (start, end)
        return self._spec.key.serialize(key) or b"", first, second


def placed(key: bytes, serde: Serde[Any], partitions: int) -> int:
    """The partition of a key's bytes."""
    return partition_of(key if serde.placed_by is None else key[serde.placed_by], partitions)
