"""Key-value stores that forget by themselves: rows that are too old, or those that nobody has used for longest.

**TTL.** A row is there for ``ttl_ms`` after its timestamp, by the greatest
timestamp that was put into the store: so it depends on the records alone, and is the
same after a restart. What has expired is not found any more; it is deleted, and
said to be in the changelog, a stretch of the store at a time as rows are put.

**Most entries.** Beyond so many rows the one that was read or written longest ago
is deleted. It is meant for stores in memory; which were used last is forgotten in a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from streamflow.state.forms import Form
from streamflow.state.horizon import Horizon
from streamflow.state.keyvalue import KeyValueHandle, KeyValueView, Scan
from streamflow.state.layers import Layers, Pair, Undo
from streamflow.state.spec import StoreSpec

K = TypeVar("K")
V = TypeVar("V")

SWEEP_EVERY = 64  # puts
SWEEP_ROWS = 256


def fresh(spec: StoreSpec, scan: Scan, observed: Callable[[], int]) -> Scan:
    """A scan that leaves out what has expired."""
    ttl = spec.ttl_ms

    def rows(low: bytes, high: bytes | None, reverse: bool) -> Iterator[tuple[bytes, Pair]]:
        now = observed()
        return ((key, pair) for key, pair in scan(low, high, reverse) if pair[1] + ttl >= now)

    return rows


def view_of(
    spec: StoreSpec,
    form: Form,
    find: Callable[[bytes], Pair | None],
    scan: Scan,
    layers: Layers,
    observed: Callable[[], int],
) -> KeyValueView[Any, Any]:
    """What is committed and has not expired, for queries."""
    ttl = spec.ttl_ms

    def found(key: bytes) -> Pair | None:
        pair = find(key)
        return None if pair is None or pair[1] + ttl < observed() else pair

    return KeyValueView(spec, form, found, fresh(spec, scan, observed), layers)


class ExpiringHandle(KeyValueHandle[K, V]):
    """A store with a TTL as one step holds it."""

    def __init__(
        self, spec: StoreSpec, form: Form, layers: Layers, undo: Undo | None, now: Callable[[], int], horizon: Horizon
    ) -> None:
        super().__init__(spec, form, layers, undo, now)
        self._every_row = self._scan
        self._scan = fresh(spec, self._scan, lambda: horizon.observed)
        self._sweep_from = b""
        self._raw: KeyValueHandle[bytes, Any] = KeyValueHandle(spec, Form(None, None, None, None), layers, undo, now)
        get_pair, put_pair, ttl = self.get_pair, self.put_pair, spec.ttl_ms
        puts = 0

        def get(key: K) -> tuple[V, int] | None:
            pair = get_pair(key)
            return None if pair is None or pair[1] + ttl < horizon.observed else pair

        def put(key: K, value: V | None, timestamp: int) -> None:
            nonlocal puts
            if timestamp > horizon.observed:
                if undo is not None:
                    undo.append(partial(horizon.see, horizon.observed))
                horizon.see(timestamp)
            elif timestamp + ttl < horizon.observed:
                value = None  # it has expired before it came
            put_pair(key, value, timestamp)
            puts += 1
            if puts % SWEEP_EVERY == 0:
                self._sweep(horizon.observed - ttl)

        self.get_pair, self.put_pair = get, put

    def _sweep(self, oldest: int) -> None:
        """Delete what has expired in the next stretch of the store."""
        rows = list(islice(self._every_row(self._sweep_from, None, False), SWEEP_ROWS))
        for key, pair in rows:
            if pair[1] < oldest:
                self._raw.put_pair(key, None, pair[1])
        self._sweep_from = rows[-1][0] + b"\x00" if len(rows) == SWEEP_ROWS else b""


class BoundedHandle(KeyValueHandle[K, V]):
    """A store of at most so many rows as one step holds it."""

    def __init__(self, spec: StoreSpec, form: Form, layers: Layers, undo: Undo | None, now: Callable[[], int]) -> None:
        super().__init__(spec, form, layers, undo, now)
        used: OrderedDict[bytes, None] = OrderedDict.fromkeys(key for key, _ in self._scan(b"", None, False))
        raw: KeyValueHandle[bytes, Any] = KeyValueHandle(spec, Form(None, None, None, None), layers, undo, now)
        get_pair, put_pair, key_of, most = self.get_pair, self.put_pair, form.key, spec.max_entries

        def get(key: K) -> tuple[V, int] | None:
            pair = get_pair(key)
            if pair is not None:
                used.move_to_end(key_of(key))
            return pair

        def put(key: K, value: V | None, timestamp: int) -> None:
            put_pair(key, value, timestamp)
            data = key_of(key)
            there = data in used
            if value is None:
                used.pop(data, None)
                if there and undo is not None:
                    undo.append(partial(used.__setitem__, data, None))
                return
            used[data] = None
            used.move_to_end(data)
            if not there and undo is not None:
                undo.append(partial(used.pop, data, None))
            while len(used) > most:
                oldest, _ = used.popitem(last=False)
                if undo is not None:
                    undo.append(partial(_first, used, oldest))
                raw.put_pair(oldest, None, timestamp)

        self.get_pair, self.put_pair = get, put


def _first(used: OrderedDict[bytes, None], key: bytes) -> None:
    used[key] = None
    used.move_to_end(key, last=False)
