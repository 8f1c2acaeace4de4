"""A base in memory: a dict and its sorted keys. What it holds ends with the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from streamflow.state.layers import Layer


class MemoryBase:
    """See `contract.Base`.

    >>> base = MemoryBase()
    >>> base.write([(b"a", b"1"), (b"b", b"2")], meta=b"m")
    >>> list(base.scan(b"", None, reverse=True)), base.meta()
    ([(b'b', b'2'), (b'a', b'1')], b'm')
    """

    def __init__(self, path: str = "(memory)") -> None:
        self.path = path
        self._rows: Layer[bytes] = Layer()
        self._meta: bytes | None = None

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def scan(self, low: bytes, high: bytes | None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """The rows as they are now; a write during the scan does not show in it."""
        rows = self._rows
        keys = rows.between(low, high)
        if reverse:
            keys.reverse()
        return iter([(key, rows[key]) for key in keys])

    def write(
        self,
        items: Iterable[tuple[bytes, bytes | None]],
        meta: bytes,
        expired: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """All of it, or nothing if ``items`` raises."""
        items = list(items)
        rows = self._rows
        for low, high in expired:
            for key in rows.between(low, high):
                rows.forget(key)
        for key, value in items:
            if value is None:
                rows.forget(key)
            else:
                rows[key] = value
        self._meta = meta

    def meta(self) -> bytes | None:
        return self._meta

    def size(self) -> int:
        """How many rows."""
        return len(self._rows)

    def figures(self) -> dict[str, int]:
        """Nothing: its rows are counted, and no file."""
        return {}

    def close(self) -> None:
        """Nothing to do: a store that is opened again over this object finds its rows."""
