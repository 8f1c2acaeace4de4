"""The memory that all stores of a process may take together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

DEFAULT_BYTES = 128 * 1024 * 1024


class Budget:
    """One bound for the block cache and the write buffers of every RocksDB in the process.

    Half of ``total_bytes`` may be write buffers, and they count against the cache, so the whole is the bound;
    each open store adds some 200 KB that no budget sees. The layers above the base have a bound of their own.
    """

    def __init__(self, total_bytes: int = DEFAULT_BYTES) -> None:
        self.total_bytes = total_bytes
        self._shared: Any = None

    def shared(self, make: Callable[[int], Any]) -> Any:
        """The objects that hold the budget, made by ``make(total_bytes)`` when first asked for."""
        if self._shared is None:
            self._shared = make(self.total_bytes)
        return self._shared

    def used(self) -> int:
        """Bytes in use now: blocks and write buffers."""
        return 0 if self._shared is None else int(self._shared[0].get_usage())
