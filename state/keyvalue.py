"""Key-value stores as operators, processors and queries hold them.

The two words of the hot path, `get_pair` and `put_pair`, are closures over the
overlay: a hit costs one look-up in a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from streamflow.errors import StateError
from streamflow.state.forms import Form
from streamflow.state.layers import Layers, Pair, Tombstone, Undo
from streamflow.state.spec import StoreSpec

K = TypeVar("K")
V = TypeVar("V")

Scan = Callable[[bytes, bytes | None, bool], Iterator[tuple[bytes, Pair]]]


class KeyValueView(Generic[K, V]):
    """What can be asked of a key-value store. Keys and values come in the form the view was made for.

    Scans are in unsigned byte order of the serialised keys, their bounds inclusive, None means open; a scan
    shows the store as it was when it began. ``with_timestamps=True`` gives ``(key, (value, timestamp))``.
    """

    get_pair: Callable[[K], tuple[V, int] | None]
    """``(value, timestamp)`` or None; the timestamp is in milliseconds."""

    def __init__(self, spec: StoreSpec, form: Form, find: Callable[[bytes], Pair | None], scan: Scan, layers: Layers):
        self.name = spec.name
        self._timestamped = spec.timestamped
        self._form = form
        self._scan = scan
        self._layers = layers
        self.get_pair = _getter(form, find)

    def get(self, key: K) -> V | None:
        """The value, or None."""
        pair = self.get_pair(key)
        return None if pair is None else pair[0]

    def get_with_timestamp(self, key: K) -> tuple[V, int] | None:
        """``(value, timestamp)``, or None."""
        self._need_timestamps()
        return self.get_pair(key)

    def range(
        self, low: K | None = None, high: K | None = None, reverse: bool = False, *, with_timestamps: bool = False
    ) -> Iterator[tuple[K, Any]]:
        """Rows with ``low <= key <= high``."""
        begin = b"" if low is None else self._form.key(low)
        end = None if high is None else self._form.key(high) + b"\x00"
        return self._rows(begin, end, reverse, with_timestamps)

    def prefix(self, prefix: Any, reverse: bool = False, *, with_timestamps: bool = False) -> Iterator[tuple[K, Any]]:
        """Rows whose serialised key begins with ``prefix``: bytes, or a key that is serialised like any other."""
        begin = bytes(prefix) if isinstance(prefix, bytes | bytearray) else self._form.key(prefix)
        return self._rows(begin, after(begin), reverse, with_timestamps)

    def all(self, reverse: bool = False, *, with_timestamps: bool = False) -> Iterator[tuple[K, Any]]:
        """Every row."""
        return self._rows(b"", None, reverse, with_timestamps)

    def page(self, low: bytes, high: bytes | None, rows: int) -> tuple[list[tuple[K, tuple[V, int]]], bytes | None]:
        """Up to ``rows`` rows as ``(key, (value, timestamp))`` with key bytes ``low <= key < high``, and where the next
        page begins (None: this was the last). Takes as long as it is large, however much lies in memory; a page may
        be short, or empty, before the last one.
        """
        key_out, value_of = self._form.key_out, self._form.value
        end = self._layers.stride(low, high, rows)
        found = list(islice(self._scan(low, end, False), rows))
        following = found[-1][0] + b"\x00" if len(found) == rows else None if end == high else end
        page: Any = [(key if key_out is None else key_out(key), (value_of(pair[0]), pair[1])) for key, pair in found]
        return page, following

    def approximate_size(self) -> int:
        """Roughly how many rows: what the base tells, and every changed key as if it were new."""
        layers = self._layers
        return layers.base.size() + len(layers.sinking) + len(layers.committed)

    def _rows(self, low: bytes, high: bytes | None, reverse: bool, with_timestamps: bool) -> Iterator[tuple[K, Any]]:
        if with_timestamps:
            self._need_timestamps()
        # The scan begins here, not when the first row is asked for.
        return self._shaped(self._scan(low, high, reverse), with_timestamps)

    def _shaped(self, rows: Iterator[tuple[bytes, Pair]], with_timestamps: bool) -> Iterator[tuple[K, Any]]:
        key_out, value_out = self._form.key_out, self._form.value_out
        for key, (value, timestamp) in rows:
            if value_out is not None:
                value = value_out(value)
            found: Any = key if key_out is None else key_out(key)
            yield found, ((value, timestamp) if with_timestamps else value)

    def _need_timestamps(self) -> None:
        if not self._timestamped:
            raise StateError(
                f"store '{self.name}' keeps no timestamps, which stores of tables and aggregates do; put the time into the value"
            )


class KeyValueHandle(KeyValueView[K, V]):
    """A key-value store as one step holds it: reads see the step's own writes. A value of None deletes."""

    put_pair: Callable[[K, V | None, int], None]
    """``(key, value, timestamp)``: put the value with its timestamp in milliseconds."""

    def __init__(self, spec: StoreSpec, form: Form, layers: Layers, undo: Undo | None, now: Callable[[], int]) -> None:
        below = layers.below_overlay()
        in_overlay = layers.overlay.get

        def find(key: bytes) -> Pair | None:
            pair = in_overlay(key)
            if pair is None:
                return below(key)
            return pair or None

        super().__init__(spec, form, find, layers.scan, layers)
        # Spelled out once more: a call less on the way to a row that is in the overlay.
        self.get_pair = _overlay_getter(form, layers, below)
        self.put_pair = _putter(form, layers, undo)
        self._now = now

    def put(self, key: K, value: V | None, timestamp: int | None = None) -> None:
        """Put a value; without a timestamp, with the time of the record in hand."""
        self.put_pair(key, value, self._now() if timestamp is None else timestamp)

    def delete(self, key: K) -> V | None:
        """Delete a row; gives the value it had, or None."""
        before = self.get(key)
        if before is not None:
            self.put_pair(key, None, self._now())
        return before

    def put_if_absent(self, key: K, value: V | None) -> V | None:
        """Put a value unless there is one; gives the one that was there, or None."""
        before = self.get(key)
        if before is None:
            self.put(key, value)
        return before

    def put_all(self, items: Iterable[tuple[K, V | None]]) -> None:
        """Put every ``(key, value)``."""
        now = self._now()
        for key, value in items:
            self.put_pair(key, value, now)

    def approximate_size(self) -> int:
        """Roughly how many rows: what the base tells, and every changed key as if it were new."""
        return super().approximate_size() + len(self._layers.frozen) + len(self._layers.overlay)


def after(prefix: bytes) -> bytes | None:
    """The first key above all that begin with ``prefix``; None if there is none.

    >>> after(b"ab"), after(b"a\\xff"), after(b"\\xff")
    (b'ac', b'b', None)
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def _getter(form: Form, find: Callable[[bytes], Pair | None]) -> Callable[[Any], Any]:
    if form.key_in is None and form.value_out is None:
        return find
    to_key, value_of = form.key, form.value

    def get_pair(key: Any) -> Pair | None:
        pair = find(to_key(key))
        return None if pair is None else (value_of(pair[0]), pair[1])

    return get_pair


def _overlay_getter(form: Form, layers: Layers, below: Callable[[bytes], Pair | None]) -> Callable[[Any], Any]:
    in_overlay = layers.overlay.get
    value_out, key_in, to_key = form.value_out, form.key_in, form.key

    def by_bytes(key: bytes) -> Pair | None:
        pair = in_overlay(key)
        if pair:
            return pair
        return below(key) if pair is None else None

    def by_object(key: Any) -> Pair | None:
        data = key_in(key)  # type: ignore[misc]
        pair = in_overlay(data)
        if pair:
            return pair
        return below(to_key(key)) if pair is None else None

    get = by_bytes if key_in is None else by_object
    if value_out is None:
        return get

    def converted(key: Any) -> Pair | None:
        pair = get(key)
        return None if pair is None else (value_out(pair[0]), pair[1])

    return converted


def _putter(form: Form, layers: Layers, undo: Undo | None) -> Callable[[Any, Any, int], None]:
    overlay = layers.overlay
    before = overlay.get
    key_in, value_in = form.key_in, form.value_in
    to_key = form.key

    def plain(key: bytes, value: Any, timestamp: int) -> None:
        overlay[key] = (value, timestamp) if value is not None else Tombstone((None, timestamp))

    put: Callable[[bytes, Any, int], None] = plain
    if undo is not None:
        note = undo.append

        def noted(key: bytes, value: Any, timestamp: int) -> None:
            note((overlay, key, before(key)))
            overlay[key] = (value, timestamp) if value is not None else Tombstone((None, timestamp))

        put = noted
    if key_in is None and value_in is None:
        return put
    if value_in is None:
        return lambda key, value, timestamp: put(to_key(key), value, timestamp)

    def converted(key: Any, value: Any, timestamp: int) -> None:
        put(to_key(key), None if value is None else value_in(value), timestamp)

    return converted
