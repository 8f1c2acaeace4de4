"""One store of one task: its declaration, its base, and the layers between.

What a task changes waits in the overlay. `changes` turns it into changelog
records, `commit` makes it part of what queries see, `flush` writes it down some
commits later in one batch with the position it reflects. The base is a cache of
the changelog, so losing any layer costs time, never data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from sys import getsizeof
from typing import Any

import msgspec

from streamflow.errors import StateError
from streamflow.state import changelog
from streamflow.state.changelog import RawRecord
from streamflow.state.contract import Base
from streamflow.state.forms import Form, form_of, row_decoder, row_encoder
from streamflow.state.horizon import Horizon
from streamflow.state.keys import Starts, pack_segment, segment_length
from streamflow.state.keyvalue import KeyValueHandle, KeyValueView
from streamflow.state.layers import Layer, Layers, Pair, Undo
from streamflow.state.meta import Meta, decode, encode
from streamflow.state.spec import StoreSpec
from streamflow.state.window import WindowHandle, WindowView

BATCH_ROWS = 20_000
"""A RocksDB write holds the interpreter's lock; this many rows take about 20 ms."""

_ROW_OVERHEAD = 150  # the dict's slot, the pair, the timestamp
_NEW_ROW_BYTES = 256


class Store:
    """See the module. ``undo`` is a list that takes notes of every put, for `layers.rollback`.

    >>> from streamflow.serdes import Serde
    >>> from streamflow.state.memory import MemoryBase
    >>> text = Serde(lambda v: v.encode(), lambda b: b.decode(), "str", immutable=True)
    >>> store = Store(StoreSpec("names", "key_value", text, text), MemoryBase())
    >>> names = store.handle(key_raw=False, value_raw=False)
    >>> names.put("a", "Ada", 7); names.get("a"), store.view().get("a")
    ('Ada', None)
    >>> store.changes()
    [(b'a', b'Ada', 7, [])]
    >>> store.commit(Meta(app_id="x", changelog="x-names-changelog", partition=0, position=1))
    >>> store.view().get("a"), store.position, store.behind[0]
    ('Ada', 1, 1)
    """

    def __init__(self, spec: StoreSpec, base: Base, *, undo: Undo | None = None) -> None:
        if spec.kind == "window" and spec.retention_ms <= 0:
            raise StateError(f"window store '{spec.name}' has no retention; declare how long windows are kept")
        self.spec = spec
        self._undo = undo
        self._objects: bool | None = None
        record = base.meta()
        self._recorded = None if record is None else decode(record)
        recorded = self._recorded
        self.position = 0 if recorded is None else recorded.position
        self.meta: Meta | None = recorded if recorded and (recorded.inputs or recorded.commit_seq) else None
        self._layers = Layers(base, row_encoder(spec, False), row_decoder(spec, False))
        self._starts = Starts(segment_length(spec.retention_ms), spec.name)
        self._horizon = Horizon(
            spec.retention_ms, recorded.observed if recorded else -1, recorded.sequence if recorded else 0
        )
        self._lowest_segment = max(0, self._horizon.floor) // self._starts.segment_ms
        self._set_aside = False
        self._restored = False
        self._measured = self._pending_bytes = 0
        self._row_bytes = _NEW_ROW_BYTES

    # ---- in use ------------------------------------------------------------------------------------------------

    def handle(
        self, *, key_raw: bool, value_raw: bool, now: Callable[[], int] = lambda: 0
    ) -> KeyValueHandle[Any, Any] | WindowHandle[Any, Any]:
        """The store as a step holds it: keys and values as bytes where ``raw``, else as objects.

        ``now`` gives the timestamp of a put that brings none: that of the record in hand. The first handle
        settles whether the layers keep objects or bytes; all handles agree whatever their forms.
        """
        form = self._form(key_raw, value_raw)
        if self.spec.kind == "window":
            return WindowHandle(self.spec, form, self._starts, self._horizon, self._layers, self._undo, now)
        return KeyValueHandle(self.spec, form, self._layers, self._undo, now)

    def view(self, *, key_raw: bool = False, value_raw: bool = False) -> KeyValueView[Any, Any] | WindowView[Any, Any]:
        """What is committed, for queries; it never shows the overlay."""
        layers, horizon = self._layers, self._horizon
        # Only a step settles the form: a view that came first would guess.
        objects = self.spec.value.immutable and not value_raw if self._objects is None else self._objects
        return committed_view(self, key_raw, value_raw) if False else self._view(layers, horizon, objects, key_raw, value_raw)

    @property
    def dirty(self) -> int:
        """How many rows are changed and not committed."""
        return len(self._layers.overlay) + len(self._layers.frozen)
