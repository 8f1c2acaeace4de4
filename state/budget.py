"""The memory that all stores of a process may take together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

DEFAULT_BYTES = 128 * 1024 * 1024
ROW_BYTES = 64 * 1024 * 1024


class Buffered(Protocol):
    """A store that holds written rows in memory and can be asked to write them to disk in the background."""

    def buffered(self) -> int:
        """Bytes of its write buffer."""
        ...

    def unload(self) -> None:
        """Begin to write the buffer to disk, without waiting."""
        ...


class Budget:
    """One bound for the block cache and the write buffers of every RocksDB in the process, and one for the rows that
    their stores keep at hand as Python's objects.

    Half of ``total_bytes`` may be write buffers, and they count against the cache, so the whole is the bound. It is
    exceeded for moments while buffers are on their way to disk, and each open store adds some 200 KB that no budget
    sees. ``row_bytes`` is shared equally by the open stores. What is not written down yet has a bound of its own.
    """

    def __init__(self, total_bytes: int = DEFAULT_BYTES, row_bytes: int = ROW_BYTES) -> None:
        self.total_bytes = total_bytes
        self.row_bytes = row_bytes
        self._shared: Any = None
        self._stores: WeakSet[Buffered] = WeakSet()

    def shared(self, make: Callable[[int], Any]) -> Any:
        """Cache and buffer manager, made by ``make(total_bytes)`` when first asked for."""
        if self._shared is None:
            self._shared = make(self.total_bytes)
        return self._shared

    def row_room(self) -> int:
        """Bytes that one store's rows at hand may take."""
        return self.row_bytes // max(1, len(self._stores))

    def join(self, store: Buffered) -> None:
        """Count a store's buffer."""
        self._stores.add(store)

    def leave(self, store: Buffered) -> None:
        """The store is closed."""
        self._stores.discard(store)

    def relieve(self) -> None:
        """After a write: while buffers are over their half, the largest goes to disk.

        RocksDB itself asks only the store that writes, so many idle ones would keep what they have for ever.
        """
        if self._shared is not None and self._shared[1].get_usage() > self.total_bytes // 2:
            largest = max(self._stores, key=lambda store: store.buffered(), default=None)
            if largest is not None:
                largest.unload()

    def used(self) -> int:
        """Bytes in use now: blocks and write buffers."""
        return 0 if self._shared is None else int(self._shared[0].get_usage())
