"""`GlobalKTable`: a table that every worker has whole."""

from __future__ import annotations

from typing import Generic, TypeVar

from streamflow.builder import Builder, Known

K = TypeVar("K")
V = TypeVar("V")


class GlobalKTable(Generic[K, V]):
    """All rows of a topic in every worker, with keys of type ``K`` and values of type ``V``; made by `App.global_table`.

    Streams are joined with it by ``stream.join(table, joiner, on=...)``. It is read beside the tasks, not in the order
    of time with them, and its updates give no results.
    """

    def __init__(self, builder: Builder, store: str, key: Known, value: Known) -> None:
        self._builder = builder
        self._store = store
        self._key = key
        self._value = value

    @property
    def store(self) -> str:
        """The name of the store that keeps the rows."""
        return self._store
