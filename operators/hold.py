"""Updates of a table held back until the commit: the last one of each key goes on, its former ones do not.

A key that changes a thousand times between two commits is written downstream
once. What was the row's value before the first of those changes is the old
value that goes along, so who aggregates the table further takes away what it
was given. Held updates are as uncommitted as everything else: a crash forgets
them together with the rows they tell of.

Source: Kafka Streams' record caches, by their documented effect.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from streamflow.operators.contract import Context, Emit
from streamflow.record import Headers

_SIZE = 300  # rough bytes of memory of one held update


class Held:
    """The held updates of one step, in the order in which their keys first changed.

    ``emit`` is what comes after the step. ``serialize`` gives the bytes of a key that is no bytes itself, where keys
    cannot be told apart otherwise.
    """

    def __init__(
        self,
        emit: Emit,
        context: Context,
        undo: list[Any] | None,
        identity: Callable[[Any], Hashable] | None = None,
    ) -> None:
        self._rows: dict[Hashable, tuple[Any, Any, Any, int, Headers]] = {}
        self._emit = emit
        self._context = context
        self._undo = undo
        self.put = self._putter(context, undo, identity)

    def _putter(self, context: Context, undo: list[Any] | None, identity: Callable[[Any], Hashable] | None) -> Emit:
        rows = self._rows
        before = rows.get
        if undo is None and identity is None:

            def put_plainly(key: Any, new: Any, old: Any, timestamp: int) -> None:
                held = before(key)
                rows[key] = key, new, old if held is None else held[2], timestamp, context.record.headers

            return put_plainly

        def put(key: Any, new: Any, old: Any, timestamp: int) -> None:
            at = key if identity is None else identity(key)
            held = before(at)
            if undo is not None:
                undo.append(lambda: rows.pop(at) if held is None else rows.__setitem__(at, held))
            rows[at] = key, new, old if held is None else held[2], timestamp, context.record.headers

        return put

    def flush(self, done: Callable[[Exception | None], None]) -> None:
        """Let all go on. ``done`` is called with what one of them raised; where changes can be undone with None, too."""
        rows, emit, stand_in, undone = self._rows, self._emit, self._context.stand_in, self._undo is not None
        held = list(rows.values())
        rows.clear()
        for key, new, old, timestamp, headers in held:
            stand_in(timestamp, headers)
            try:
                emit(key, new, old, timestamp)
            except Exception as error:
                done(error)
            else:
                if undone:
                    done(None)

    def size(self) -> int:
        """Roughly the memory that is held, in bytes."""
        return len(self._rows) * _SIZE

    def __len__(self) -> int:
        return len(self._rows)
