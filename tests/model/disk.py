"""One store: the base on disk and the layers before it.

    overlay     what was processed since the frozen one
    frozen      what a commit on the wire carries
    layer       committed, not yet written down (write-behind)
    base        committed, with the position it reflects

A base write is whole or absent (one RocksDB write batch); a power cut takes the
newest writes, never one from the middle. A flush of more than `CHUNK` entries
takes several writes: the first says where it is going (``flushing_to``), the
last sets the position, and between them the base is no prefix of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .data import META, NO_META, Change, Meta
from .wire import LOCAL, Steps

CHUNK = 1
UNSYNCED = 4


Commit = tuple[int, int]
"""Sequence number and id of a commit."""


class Content(NamedTuple):
    """All that a base holds; never changed in place.

    ``mark`` is the last commit of this changelog below ``position``. ``newest`` is the newest commit of which
    anything may be in ``data``: later than ``meta`` and ``position`` tell while a flush or a restore is half done,
    and what must still be in the log for the base to be believed.
    """

    data: dict[str, Any]
    position: int = 0
    mark: int = 0
    meta: Meta = NO_META
    newest: Commit = (0, 0)
    flushing_to: int | None = None


EMPTY = Content({})


class Base:
    """One directory of one process; survives the process."""

    def __init__(self, changelog: str, watch: Callable[[str, Content], None]) -> None:
        self.changelog = changelog
        self.content = EMPTY
        self._watch = watch
        self._before: list[Content] = []

    def write(self, changes: Iterable[Change], **fields: Any) -> None:
        """One write batch: changes, position and meta together."""
        data = dict(self.content.data)
        for key, value in changes:
            if value is None:
                data.pop(key, None)
            else:
                data[key] = value
        self.replace(self.content._replace(data=data, **fields))

    def replace(self, content: Content) -> None:
        """One write batch with this result."""
        self._before.append(self.content)
        del self._before[:-UNSYNCED]
        self.content = content
        self._watch(self.changelog, content)

    def power_cut(self, lost: int) -> None:
        """The newest ``lost`` writes never reached the disk."""
        for _ in range(min(lost, len(self._before))):
            self.content = self._before.pop()


class Store:
    """A base and its layers, as long as a process lives."""

    def __init__(self, base: Base, watch: Callable[[str, Content], None]) -> None:
        self.base = base
        self.changelog = base.changelog
        self.layer: dict[str, Any] = {}
        self.frozen: dict[str, Any] = {}
        self.overlay: dict[str, Any] = {}
        self._watch = watch
        self._open()

    def _open(self) -> None:
        _, self.position, self.mark, self.meta, self.newest, _ = self.base.content

    def get(self, key: str) -> Any:
        """The newest value, uncommitted ones included."""
        for layer in (self.overlay, self.frozen, self.layer):
            if key in layer:
                return layer[key]
        return self.base.content.data.get(key)

    def put(self, key: str, value: Any) -> None:
        """Into the overlay; None deletes."""
        self.overlay[key] = value

    def freeze(self) -> list[Change]:
        """The overlay becomes what the next commit carries: the last value of each key."""
        self.frozen, self.overlay = self.overlay, {}
        return list(self.frozen.items())

    def commit(self, meta: Meta, position: int | None) -> None:
        """The frozen changes are committed. ``position`` None: this commit did not write to our changelog."""
        self.layer.update(self.frozen)
        self.frozen = {}
        self.advance(meta, self.position if position is None else position)

    def advance(self, meta: Meta, position: int) -> None:
        """Layer and base together reflect ``position`` now, which ``meta`` covers."""
        self.position = position
        self.meta = meta
        self.mark = max(self.mark, meta.touched.get(self.changelog, 0))
        self.newest = (meta.seq, meta.id)
        self._watch(self.changelog, Content(self.view(), position))

    def drop(self) -> None:
        """Forget what is not committed."""
        self.overlay = {}
        self.frozen = {}

    def restore(self, records: Iterable[Change], position: int) -> None:
        """Changelog records, through the layer: it must never answer older than the base below it."""
        for key, value in records:
            if key != META:
                self.layer[key] = value
            elif isinstance(value, Meta):
                self.mark = max(self.mark, value.seq)
                self.remember(value)
            else:
                self.mark = max(self.mark, value)
        self.position = position

    def remember(self, meta: Meta) -> None:
        """Of several meta records the one of the highest commit counts."""
        if meta.seq >= self.meta.seq:
            self.meta = meta

    def flush(self) -> Steps[None]:
        """Write the layer down, with its position.

        A base that was left half way to ``flushing_to`` is a prefix again only when its position has passed that.
        """
        pending = list(self.layer.items())
        target = max(self.position, self.base.content.flushing_to or 0)
        while len(pending) > CHUNK:
            chunk, pending = pending[:CHUNK], pending[CHUNK:]
            self.base.write(chunk, newest=self.newest, flushing_to=target)
            yield LOCAL
        self.base.write(
            pending,
            position=self.position,
            mark=self.mark,
            meta=self.meta,
            newest=self.newest,
            flushing_to=target if target > self.position else None,
        )
        self.layer = {}

    def start_anew(self) -> None:
        """Move the base aside: it is not of this changelog's life."""
        self.base.replace(EMPTY)
        self.layer = {}
        self._open()

    def view(self) -> dict[str, Any]:
        """What a query sees: committed layer over base."""
        data = self.base.content.data | self.layer
        return {key: value for key, value in data.items() if value is not None}
