"""One store of one task: its declaration, its base, and the layers between.

What a task changes waits in the overlay. `changes` turns it into changelog
records, `commit` makes it part of what queries see, `flush` writes it down some
commits later with the position it reflects, all at once or a batch at a time. The base is a cache of
the changelog, so losing any layer costs time, never data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from sys import getsizeof
from typing import Any

import msgspec

from streamflow.errors import LogCorrupt, SerdeError, StateError
from streamflow.state import changelog, expiring
from streamflow.state.changelog import Absorbed, RawRecord
from streamflow.state.contract import Base
from streamflow.state.duplicates import DuplicatesHandle, Remembered
from streamflow.state.expiring import BoundedHandle, ExpiringHandle
from streamflow.state.forms import Form, form_of, row_decoder, row_encoder
from streamflow.state.horizon import Horizon
from streamflow.state.keys import Starts, pack_segment, segment_length
from streamflow.state.keyvalue import KeyValueHandle, KeyValueView
from streamflow.state.layers import ROW_OVERHEAD, Layers, Undo
from streamflow.state.meta import Meta, decode, encode
from streamflow.state.session import Known, SessionHandle, SessionView
from streamflow.state.spec import StoreSpec
from streamflow.state.versioned import VersionedHandle, VersionedView, view_of
from streamflow.state.window import WindowHandle, WindowView

BATCH_ROWS = 5_000
"""A RocksDB write holds the interpreter's lock; this many rows take about 10 ms."""

_BATCHES_IN_ORDER = 8
_DONE: Any = object()
_SAMPLE = 64
_NEW_ROW_BYTES = 256


class Store:
    """See the module. ``undo`` is a list that takes notes of every put, for `layers.rollback`; ``room`` gives the bytes
    that rows which were read or written last may take in memory.

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

    def __init__(
        self, spec: StoreSpec, base: Base, *, undo: Undo | None = None, room: Callable[[], int] = lambda: 16 << 20
    ) -> None:
        if spec.kind != "key_value" and spec.retention_ms <= 0:
            raise StateError(f"{spec.kind} store '{spec.name}' has no retention; declare how long rows are kept")
        self.spec = spec
        self._undo = undo
        self._objects: bool | None = None
        record = base.meta()
        self._recorded = None if record is None else decode(record)
        recorded = self._recorded
        self.position = 0 if recorded is None else recorded.position
        self.meta: Meta | None = recorded if recorded and (recorded.inputs or recorded.commit_seq) else None
        self._layers = Layers(base, row_encoder(spec, False), row_decoder(spec, False), room)
        self._starts = Starts(segment_length(spec.retention_ms), spec.name)
        self._horizon = Horizon(
            spec.retention_ms, recorded.observed if recorded else -1, recorded.sequence if recorded else 0
        )
        self._remembered = Remembered(self._layers, self._horizon, self._starts.segment_ms)
        self._sessions = Known(recorded is None)
        self._lowest_segment = self._visible_segment()
        self._set_aside = False
        self._restored = False
        self._witness: tuple[int, bytes] | None = None
        self._measured = self._overlay_bytes = self._frozen_bytes = 0
        self._known_bytes = self._known_rows = 0
        self._writing: Iterator[None] | None = None

    def handle(
        self, *, key_raw: bool, value_raw: bool, now: Callable[[], int] = lambda: 0
    ) -> KeyValueHandle[Any, Any] | WindowHandle[Any, Any] | SessionHandle[Any, Any] | VersionedHandle[Any, Any]:
        """The store as a step holds it: keys and values as bytes where ``raw``, else as objects.

        ``now`` gives the timestamp of a put that brings none: that of the record in hand. The first handle
        settles whether the layers keep objects or bytes; all agree whatever their forms.
        """
        form = self._form(key_raw, value_raw)
        if self.spec.segmented:
            how = self.spec, form, self._starts, self._horizon, self._layers, self._undo, now
            if self.spec.kind == "session":
                return SessionHandle(*how, self._sessions)
            return DuplicatesHandle(*how, self._remembered) if self.spec.duplicates else WindowHandle(*how)
        if self.spec.kind == "versioned":
            return VersionedHandle(self.spec, form, self._layers, self._undo, self._horizon)
        if self.spec.ttl_ms:
            return ExpiringHandle(self.spec, form, self._layers, self._undo, now, self._horizon)
        if self.spec.max_entries:
            return BoundedHandle(self.spec, form, self._layers, self._undo, now)
        return KeyValueHandle(self.spec, form, self._layers, self._undo, now)

    def view(
        self, *, key_raw: bool = False, value_raw: bool = False
    ) -> KeyValueView[Any, Any] | WindowView[Any, Any] | SessionView[Any, Any] | VersionedView[Any, Any]:
        """What is committed, for queries; it never shows the overlay."""
        form, layers, horizon = self._form(key_raw, value_raw), self._layers, self._horizon
        scan = partial(layers.scan, committed_only=True)
        if self.spec.ttl_ms:
            return expiring.view_of(self.spec, form, layers.committed_row, scan, layers, lambda: horizon.committed)
        if self.spec.kind == "key_value":
            return KeyValueView(self.spec, form, layers.committed_row, scan, layers)
        if self.spec.kind == "versioned":
            return view_of(self.spec, form, layers.committed_row, scan, layers, lambda: horizon.committed)

        def sight() -> tuple[int, int]:
            return horizon.floor_of(horizon.committed), horizon.committed

        if self.spec.kind == "session":
            return SessionView(self.spec, form, self._starts, sight, layers.committed_row, scan, layers)
        return WindowView(self.spec, form, self._starts, sight, layers.committed_row, scan, layers)

    def _form(self, key_raw: bool, value_raw: bool) -> Form:
        if self._objects is None:
            # A row of versions is bytes, whatever the values are.
            self._objects = self.spec.value.immutable and not value_raw and self.spec.kind != "versioned"
            self._layers.encode = row_encoder(self.spec, self._objects)
            self._layers.decode = row_decoder(self.spec, self._objects)
        return form_of(self.spec, self._objects, key_raw=key_raw, value_raw=value_raw)

    @property
    def path(self) -> str:
        """Where its base lies; errors of the disk name it."""
        return self._layers.base.path

    @property
    def base(self) -> Base:
        """What is written down: to be counted, not to be read."""
        return self._layers.base

    @property
    def observed(self) -> int:
        """The greatest window start put so far (-1: none); expiry goes by it."""
        return self._horizon.observed

    # What is uncommitted.

    @property
    def dirty(self) -> int:
        """How many rows are changed and not committed."""
        return len(self._layers.overlay) + len(self._layers.frozen)

    @property
    def uncommitted_bytes(self) -> int:
        """Roughly the memory they take: of the rows that are new since it was last asked, the newest are measured."""
        overlay = self._layers.overlay
        new = len(overlay) - self._measured
        if new > 0:
            newest = islice(reversed(overlay.items()), min(new, _SAMPLE))
            sizes = [getsizeof(key) + getsizeof(value) for key, (value, _) in newest]
            self._overlay_bytes += new * (sum(sizes) // len(sizes) + ROW_OVERHEAD)
        self._measured = len(overlay)
        return self._overlay_bytes + self._frozen_bytes

    def changes(self) -> list[RawRecord]:
        """The changelog records of what is to be committed, the last value of each key: of what `freeze` set
        aside, or else of everything."""
        rows = self._layers.frozen if self._set_aside else self._layers.overlay
        try:
            if self.spec.segmented:
                return changelog.window_records(rows, self._layers.encode, tail=self.spec.tail)
            return changelog.key_value_records(rows, self.spec.value.serialize if self._objects else None)
        except SerdeError as error:
            raise SerdeError(
                f"store '{self.spec.name}' was given a value that its type cannot write: {error}"
            ) from error

    def freeze(self) -> None:
        """Set aside what the next `commit` is about, so that more may be processed while it is on the wire."""
        if self._set_aside:
            raise StateError(f"store '{self.spec.name}': a commit is under way; finish or drop it first")
        self._frozen_bytes = self.uncommitted_bytes
        self._layers.freeze()
        self._horizon.freeze()
        self._measured = self._overlay_bytes = 0
        self._set_aside = True

    def commit(self, meta: Meta) -> None:
        """The log has it: from now on queries see it. ``meta.position`` is the changelog position after it."""
        layers = self._layers
        self._known_rows += self.dirty if not self._set_aside else len(layers.frozen)
        if self._set_aside:
            self._known_bytes += self._frozen_bytes
            layers.commit()
        else:
            self._known_bytes += self.uncommitted_bytes
            self._horizon.freeze()
            layers.commit_overlay()
            self._measured = self._overlay_bytes = 0
        self._horizon.commit()
        self._frozen_bytes = 0
        self._set_aside = False
        self.position = meta.position
        self.meta = meta
        self._witness = None

    def drop(self) -> None:
        """Forget everything that is not committed."""
        self._layers.drop()
        self._horizon.drop()
        self._remembered.forget()
        self._sessions.forget()
        self._measured = self._overlay_bytes = self._frozen_bytes = 0
        self._set_aside = False

    # What is committed and not written down.

    @property
    def behind(self) -> tuple[int, int]:
        """(rows, rough bytes) that a crash would have to replay."""
        rows = len(self._layers.committed) + len(self._layers.sinking)
        return rows, rows * self._row_bytes()

    def flush(self, now_ms: int) -> None:
        """Write down all that is committed, with its position; ``now_ms`` is the wall clock.

        One batch, or several of `BATCH_ROWS` of which the first says where it is going. Does nothing if the base
        is up to date. Raises `StoreStalled` when the base takes no writes just now: then nothing is lost, ask again.
        """
        self._writing = None
        while self.flush_some(now_ms):
            pass

    def flush_some(self, now_ms: int) -> bool:
        """The next batch of a flush, which takes what is committed when it begins; True while there is more of it."""
        if self._writing is None:
            self._sink()
            written, newest = self._recorded, self.meta
            if (
                not self._layers.sinking
                and written is not None
                and written.position == self.position
                and (newest is None or newest.commit_seq == written.commit_seq)
            ):
                return False
            self._writing = self._write_down(now_ms)
        writing, self._writing = self._writing, None  # one that raises is over: the next begins anew
        if next(writing, _DONE) is _DONE:
            return False
        self._writing = writing
        return True

    def restore(self, records: Iterable[Any], next_position: int) -> int:
        """Changelog records (each with ``.key .value .timestamp``) up to ``next_position``; gives how many were rows.

        They pass through the layers, so reads stay right meanwhile. Meta records among them end up in `meta`.
        Nothing may be uncommitted. Raises as `flush` does, with the records kept.
        """
        layers = self._layers
        if self.dirty:
            raise StateError(f"store '{self.spec.name}' has uncommitted changes; drop them before restoring")
        self._writing = None
        self._sink()
        layers.cache.clear()
        self._remembered.forget()
        self._sessions.forget()
        told = self._absorb(records)
        self._horizon.restored(told.observed, told.sequence)
        self._restored = True
        self.position = next_position
        if told.meta is not None:
            self._learn(told.meta)
        if len(layers.sinking) >= BATCH_ROWS:
            for _ in self._write_down(0):
                pass
        return told.rows

    def vouch(self, commit_seq: int, commit_id: bytes) -> None:
        """The newest commit of the task in the log, told before a restore: what is restored is of it or older.

        A base that is written down half way may hold rows of a commit whose meta record is not read yet, or stands
        in another changelog. If the log should lose that commit (a power cut), the base must not be believed.
        """
        self._witness = (commit_seq, commit_id)

    @property
    def reach(self) -> int:
        """The greatest position of which the base may hold a row: a flush that was cut off comes further than `position`."""
        recorded = self._recorded
        return max(self.position, (recorded.flushing_to or 0) if recorded is not None else 0)

    @property
    def witness(self) -> tuple[int, bytes] | None:
        """The newest commit that any row of the base may be of; the log must know it."""
        recorded = self._recorded
        if recorded is None:
            return None
        if recorded.witness_seq:
            return recorded.witness_seq, recorded.witness_id
        return (recorded.commit_seq, recorded.commit_id) if recorded.commit_seq else None

    def adopt(self, meta: Meta) -> None:
        """The task's newest commit, found in another changelog of the task, once this store is restored up to it."""
        self.meta = meta
        self._witness = None

    def close(self) -> None:
        """Let go of the base. What was not flushed is in the changelog."""
        self._layers.base.close()

    def _absorb(self, records: Iterable[Any]) -> Absorbed:
        spec, sinking = self.spec, self._layers.sinking
        if not spec.segmented:
            own = spec.source_topic is None
            found = changelog.absorb_key_value(records, sinking, timestamped=spec.timestamped, own=own)
            return found if spec.kind == "versioned" or spec.ttl_ms else found._replace(observed=-1)
        return changelog.absorb_window(
            records,
            sinking,
            segment_ms=self._starts.segment_ms,
            tail=spec.tail,
            duplicates=spec.duplicates,
            floor=self._horizon.floor,
            store=spec.name,
        )

    def _learn(self, record: bytes) -> None:
        try:
            found = decode(record)
        except StateError as error:
            raise LogCorrupt(f"the changelog of store '{self.spec.name}' cannot be understood: {error}") from error
        known = self.meta
        # Within one life of a changelog numbers only grow; another life counts anew, and comes later in the log.
        if known is None or found.incarnation != known.incarnation or found.commit_seq >= known.commit_seq:
            self.meta = found

    def _sink(self) -> None:
        if not self._layers.committed:
            return
        self._layers.sink(self._row_bytes())
        self._horizon.sink()
        # What rows take is an average over those of late.
        self._known_bytes //= 2
        self._known_rows //= 2

    def _write_down(self, now_ms: int) -> Iterator[None]:
        """Write the sinking rows, a batch a step. Commits may come between the steps, and whoever stops half way
        loses nothing: the rows stay until the last step."""
        layers, target = self._layers, self._target(now_ms)
        sinking, expired, visible = layers.sinking, self._expired(), self._visible_segment()
        if expired:
            for key in [key for key in sinking if key < expired[0][1]]:
                sinking.forget(key)
        own = self._recorded or self._blank()
        # It stands where it stood, but names the newest commit: if the log should lose that one (a power cut), rows
        # of it may be here already, and the base must not be believed.
        under_way = msgspec.structs.replace(
            target,
            position=own.position,
            written_at=own.written_at,
            observed=own.observed,
            sequence=own.sequence,
            flushing_to=max(target.position, own.flushing_to or 0),
        )
        batches = _in_order(list(sinking))
        none: list[bytes] = []
        batch = next(batches, none)
        for following in batches:
            layers.base.write(layers.on_disk(batch), encode(under_way))
            batch = following
            yield
        layers.base.write(layers.on_disk(batch), encode(target), expired)
        sinking.clear()
        self._recorded = target
        self._restored = False
        self._lowest_segment = visible

    def _target(self, now_ms: int) -> Meta:
        """The meta record of the base after a flush: the newest commit, under the name the base was opened with."""
        own = self._recorded or self._blank()
        newest = self.meta or own
        witness_seq, witness_id = self._witness or (newest.commit_seq, newest.commit_id)
        return msgspec.structs.replace(
            newest,
            witness_seq=witness_seq,
            witness_id=witness_id,
            app_id=own.app_id or newest.app_id,
            store=own.store or self.spec.name,
            changelog=own.changelog or newest.changelog,
            partition=own.partition if own.app_id else newest.partition,
            # A commit adopted from another changelog tells that one's life, not this one's.
            incarnation=own.incarnation or (newest.incarnation if newest.changelog == own.changelog else ""),
            position=self.position,
            # What was restored was read from the log just now, whenever it was committed.
            written_at=max(newest.written_at, own.written_at, now_ms if self._restored else 0),
            # Rows of a flush that a crash cut off are no prefix of the changelog until a restore has passed them all.
            flushing_to=own.flushing_to if (own.flushing_to or 0) > self.position else None,
            observed=self._horizon.committed,
            sequence=self._horizon.committed_sequence,
            segment_ms=self._starts.segment_ms if self.spec.segmented else 0,
        )

    def _blank(self) -> Meta:
        return Meta(app_id="", store=self.spec.name, changelog="", partition=0)

    def _visible_segment(self) -> int:
        horizon = self._horizon
        return max(0, horizon.floor_of(horizon.committed)) // self._starts.segment_ms

    def _expired(self) -> list[tuple[bytes, bytes]]:
        """The range of segments that nobody can see any more since the last flush."""
        visible = self._visible_segment() if self.spec.segmented else 0
        if visible <= self._lowest_segment:
            return []
        return [(pack_segment(self._lowest_segment), pack_segment(visible))]

    def _row_bytes(self) -> int:
        return self._known_bytes // self._known_rows if self._known_rows else _NEW_ROW_BYTES


def _in_order(keys: list[bytes]) -> Iterator[list[bytes]]:
    """Batches of keys that are sorted, some batches together: RocksDB takes rows in order in half the time, and to
    sort them all at once would take too long for one turn."""
    span = BATCH_ROWS * _BATCHES_IN_ORDER
    for start in range(0, len(keys), span):
        some = sorted(keys[start : start + span])
        for at in range(0, len(some), BATCH_ROWS):
            yield some[at : at + BATCH_ROWS]
