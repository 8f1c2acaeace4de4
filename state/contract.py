"""What a store is made of: a base on disk or in memory, and the layers in front of it.

Top to bottom, as a read passes them:

    overlay          what the task changed since its last commit
    frozen overlay   the part of it whose commit is on the wire (optional)
    committed layer  committed, not yet written down (write-behind)
    base             committed, with the changelog position it reflects

A `Base` only ever holds a committed prefix of the changelog. Queries read the
committed layer and the base, taken together; the task reads all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol


class Base(Protocol):
    """An ordered map of bytes to bytes that remembers what it reflects.

    Keys are compared as unsigned bytes. Raises `StoreCorrupt` when what it holds
    cannot be trusted and `StoreStalled` when it cannot write just now.
    """

    path: str

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, low: bytes, high: bytes | None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``low <= key < high`` (to the end if None), ascending or descending; checked to be whole."""
        ...

    def write(
        self,
        items: Iterable[tuple[bytes, bytes | None]],
        meta: bytes,
        expired: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """All or nothing: drop the ranges ``[low, high)`` of ``expired``, put pairs (None deletes), set the meta."""
        ...

    def meta(self) -> bytes | None:
        """The meta record of the last `write`, or None for a new store."""
        ...

    def size(self) -> int:
        """Roughly how many rows it holds."""
        ...

    def figures(self) -> Mapping[str, int]:
        """What a disk has to say of itself by the names of `streamflow.metrics`, bytes or 0 and 1; nothing in memory."""
        ...

    def close(self) -> None:
        """Write down what is buffered and free the directory's lock. Idempotent."""
        ...
