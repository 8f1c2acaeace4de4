"""What stands in front of a base: uncommitted rows, committed ones, and the rows read last.

    overlay     what the task changed since its last commit
    frozen      the part of it whose commit is on the wire
    committed   committed, as the operators left it
    cache       rows read from below, bounded; only a copy
    sinking     committed and on its way down: a flush fills it with pairs, a restore with rows as on disk
    base        committed, with its position

The upper layers hold *pairs*, ``(value, timestamp)``, where the value is the user's object if that cannot
change in place, else its bytes: which of the two is settled once a store. A deleted row is a `Tombstone`, a
pair that is false, so that one truth test tells a live row. In the base rows are bytes.

Layers keep their sorted keys only once somebody has scanned them, and then pay for new keys alone: a dict
remembers the order of insertion, so the keys that are not sorted yet are its newest ones.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from streamflow.state.contract import Base

Pair = tuple[Any, int]
"""A value (object or bytes) and its timestamp in milliseconds."""

V = TypeVar("V")

_CACHED_ROWS = 1_000_000
_CACHED_BYTES = 8 * 1024 * 1024
ROW_OVERHEAD = 150
"""Bytes of memory that a row takes beside its key and its value: the dict's slot, the pair, the timestamp."""
_FEW = 32


class Tombstone(tuple[None, int]):
    """The pair of a deleted row: ``(None, timestamp of the deletion)``. It is false."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


GONE = Tombstone((None, 0))
_MISSING: Any = object()

Undo = list[Any]
"""What one record changed: ``(layer, key, pair before or None)``, or a function that takes it back."""


def rollback(undo: Undo, to: int = 0) -> None:
    """Take back everything noted in ``undo`` but its first ``to`` notes, newest first, and forget these notes.

    >>> layer, undo = Layer(), []
    >>> undo.append((layer, b"a", None)); layer[b"a"] = (1, 0)
    >>> rollback(undo); layer, undo
    ({}, [])
    """
    while len(undo) > to:
        note = undo.pop()
        if callable(note):
            note()
            continue
        layer, key, before = note
        if before is None:
            layer.forget(key)
        else:
            layer[key] = before


class Layer(dict[bytes, V]):
    """Rows by key. Rows are put as in any dict; they are removed only by `forget` and `clear`."""

    __slots__ = ("_sorted",)

    def __init__(self) -> None:
        super().__init__()
        self._sorted: list[bytes] | None = None

    def between(self, low: bytes, high: bytes | None) -> list[bytes]:
        """The keys with ``low <= key < high``, ascending.

        >>> layer = Layer(); layer.update({b"b": 2, b"a": 1, b"c": 3})
        >>> layer.between(b"a", b"c")
        [b'a', b'b']
        """
        keys = self._in_order()
        first = bisect_left(keys, low)
        return keys[first : len(keys) if high is None else bisect_left(keys, high, first)]

    def behind(self, low: bytes, count: int) -> bytes | None:
        """The key ``count`` places behind the first one from ``low`` on; None if there are not so many.

        >>> layer = Layer(); layer.update({b"b": 2, b"a": 1, b"c": 3})
        >>> layer.behind(b"aa", 1), layer.behind(b"aa", 2)
        (b'c', None)
        """
        keys = self._in_order()
        at = bisect_left(keys, low) + count
        return keys[at] if at < len(keys) else None

    def _in_order(self) -> list[bytes]:
        keys = self._sorted
        if keys is None:
            keys = self._sorted = sorted(self)
        elif unsorted := len(self) - len(keys):
            newest = islice(reversed(self), unsorted)
            if unsorted < _FEW:
                for key in newest:
                    insort(keys, key)
            else:
                keys.extend(newest)
                keys.sort()
        return keys

    def forget(self, key: bytes) -> None:
        """Remove a row, if it is there."""
        if super().pop(key, _MISSING) is _MISSING or not self._sorted:
            return
        at = bisect_left(self._sorted, key)
        if at < len(self._sorted) and self._sorted[at] == key:
            del self._sorted[at]

    def clear(self) -> None:
        """Remove all rows."""
        super().clear()
        if self._sorted:
            self._sorted.clear()


class Cache:
    """Rows read last, in two generations: a full young one becomes the old one, and what was old is forgotten.

    Each generation has up to ``rows`` rows or about ``size`` bytes, which may be set anew at any time.
    """

    def __init__(self, rows: int = _CACHED_ROWS, size: int = _CACHED_BYTES) -> None:
        self.young: dict[bytes, Pair] = {}
        self.old: dict[bytes, Pair] = {}
        self.size = size
        self._rows = rows
        self._used = 0

    def keep(self, key: bytes, pair: Pair, size: int) -> None:
        """Remember a row of about ``size`` bytes."""
        self.young[key] = pair
        self._used += size
        if len(self.young) >= self._rows or self._used >= self.size:
            self._turn()

    def take_over(self, rows: Layer[Pair], row_bytes: int) -> None:
        """Rows that leave a layer above: the newest are kept, older knowledge about any of them is dropped."""
        room = min(self._rows, self.size // max(row_bytes, 1))
        if len(rows) > room:
            self.clear()
        self.young.update(islice(reversed(rows.items()), room))
        self._used += min(len(rows), room) * row_bytes
        if len(self.young) >= self._rows or self._used >= self.size:
            self._turn()

    def clear(self) -> None:
        self.young.clear()
        self.old.clear()
        self._used = 0

    def _turn(self) -> None:
        # The dicts stay the same objects: whoever looks rows up holds their methods.
        self.old.clear()
        self.old.update(self.young)
        self.young.clear()
        self._used = 0


class Layers:
    """All layers of one store over its base; ``encode`` and ``decode`` go between a pair and a row of the base.

    ``room`` gives the bytes that the cache may take just now.
    """

    def __init__(
        self,
        base: Base,
        encode: Callable[[Pair], bytes | None],
        decode: Callable[[bytes], Pair],
        room: Callable[[], int] = lambda: 2 * _CACHED_BYTES,
    ) -> None:
        self.base = base
        self.encode = encode
        self.decode = decode
        self.overlay: Layer[Pair] = Layer()
        self.frozen: Layer[Pair] = Layer()
        self.committed: Layer[Pair] = Layer()
        self.sinking: Layer[Pair | bytes | None] = Layer()
        self.cache = Cache()
        self._room = room

    def below_overlay(self) -> Callable[[bytes], Pair | None]:
        """A function that finds a live row which the overlay does not know."""
        in_frozen, in_committed = self.frozen.get, self.committed.get
        in_young, in_old = self.cache.young.get, self.cache.old.get
        load = self._load

        def find(key: bytes) -> Pair | None:
            pair = in_frozen(key)
            if pair is None:
                pair = in_committed(key)
                if pair is None:
                    pair = in_young(key)
                    if pair is None:
                        pair = in_old(key)
                        if pair is None:
                            pair = load(key)
            return pair if pair else None

        return find

    def above_sinking(self) -> Callable[[bytes], Pair | None]:
        """The same for a row that is known not to be further down than the committed layer."""
        in_frozen, in_committed = self.frozen.get, self.committed.get

        def find(key: bytes) -> Pair | None:
            pair = in_frozen(key)
            if pair is None:
                pair = in_committed(key)
            return pair if pair else None

        return find

    def committed_row(self, key: bytes) -> Pair | None:
        """A live row as of the last commit; leaves the cache to the task."""
        pair = self.committed.get(key)
        return self._below_cache(key)[0] or None if pair is None else pair or None

    def scan(
        self, low: bytes, high: bytes | None, reverse: bool = False, *, committed_only: bool = False
    ) -> Iterator[tuple[bytes, Pair]]:
        """Live rows with ``low <= key < high`` as they are now: later changes do not show in a scan under way."""
        above: dict[bytes, Any] = {}
        layers = (
            (self.sinking, self.committed)
            if committed_only
            else (self.sinking, self.committed, self.frozen, self.overlay)
        )
        for layer in layers:
            if layer:
                for key in layer.between(low, high):
                    above[key] = layer[key]
        below = self.base.scan(low, high, reverse)
        if above:
            return _merged(sorted(above, reverse=reverse), above, below, reverse, self.decode)
        decode = self.decode
        return ((key, decode(row)) for key, row in below)

    def stride(self, low: bytes, high: bytes | None, rows: int) -> bytes | None:
        """A bound up to ``high``, such that no committed layer has more than ``rows`` keys from ``low`` to it."""
        bounds = [high, self.committed.behind(low, rows), self.sinking.behind(low, rows)]
        return min((bound for bound in bounds if bound is not None), default=None)

    def freeze(self) -> None:
        """Set the overlay aside for a commit; what comes next goes into an empty one."""
        self.frozen.update(self.overlay)
        self.overlay.clear()

    def commit(self) -> None:
        """The frozen rows are committed."""
        self.committed.update(self.frozen)
        self.frozen.clear()

    def commit_overlay(self) -> None:
        """All rows of the overlay are committed; nothing may be frozen."""
        self.committed.update(self.overlay)
        self.overlay.clear()

    def drop(self) -> None:
        """Forget all that is not committed."""
        self.overlay.clear()
        self.frozen.clear()

    def sink(self, row_bytes: int) -> None:
        """Let the committed layer sink; its rows stay at hand in the cache."""
        if self.committed:
            self.sinking.update(self.committed)
            self.cache.size = self._room() // 2
            self.cache.take_over(self.committed, row_bytes)
            self.committed.clear()

    def on_disk(self, keys: Iterable[bytes]) -> list[tuple[bytes, bytes | None]]:
        """Sinking rows as the base is to have them."""
        sinking, encode = self.sinking, self.encode
        return [
            (key, row if row is None or row.__class__ is bytes else encode(row))  # type: ignore[arg-type]
            for key in keys
            for row in (sinking[key],)
        ]

    def _load(self, key: bytes) -> Pair:
        pair, size = self._below_cache(key)
        self.cache.keep(key, pair, len(key) + size + ROW_OVERHEAD)
        return pair

    def _below_cache(self, key: bytes) -> tuple[Pair, int]:
        """A row of the sinking layer or the base, and about how many bytes it has."""
        row: Any = self.sinking.get(key, _MISSING)
        if row is _MISSING:
            row = self.base.get(key)
        if row.__class__ is bytes:
            return self.decode(row), len(row)
        return (GONE if row is None else row), 0


def _merged(
    keys: list[bytes],
    above: dict[bytes, Any],
    below: Iterator[tuple[bytes, bytes]],
    reverse: bool,
    decode: Callable[[bytes], Pair],
) -> Iterator[tuple[bytes, Pair]]:
    """Two ordered sources as one; where both know a key the upper one stands."""
    at, last = 0, len(keys)
    for key, row in below:
        while at < last and (keys[at] > key if reverse else keys[at] < key):
            if (pair := _live(above[keys[at]], decode)) is not None:
                yield keys[at], pair
            at += 1
        if at < last and keys[at] == key:
            if (pair := _live(above[key], decode)) is not None:
                yield key, pair
            at += 1
        else:
            yield key, decode(row)
    for key in keys[at:]:
        if (pair := _live(above[key], decode)) is not None:
            yield key, pair


def _live(row: Any, decode: Callable[[bytes], Pair]) -> Pair | None:
    if row.__class__ is bytes:
        return decode(row)
    return row or None
