"""Where a worker's stores lie on disk, and how one is opened, believed or made anew."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamflow.clock import Clock
from streamflow.log.contract import Offsets
from streamflow.plan import GLOBAL
from streamflow.runtime.stats import Stats
from streamflow.state.budget import Budget
from streamflow.state.contract import Base
from streamflow.state.keys import segment_length
from streamflow.state.locks import alone, held_elsewhere
from streamflow.state.meta import decode
from streamflow.state.open import Expectation, directory, move_aside, open_base
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store

if TYPE_CHECKING:
    from streamflow.runtime.recovery import Place

logger = logging.getLogger("streamflow.stores")


class OpenStore(Protocol):
    """How recovery comes by a store.

    ``incarnation`` names the life of its changelog, ``offsets`` what of it there is. ``rejected`` says why the
    store that was opened before (and is closed again) must not be used: then a new, empty one is given.
    """

    def __call__(
        self, place: Place, spec: StoreSpec, incarnation: str, offsets: Offsets, rejected: str | None = None
    ) -> Store: ...


class DiskStores:
    """Opens stores below ``state_dir``; all of them share one memory budget."""

    def __init__(
        self, state_dir: str | Path, app_id: str, clock: Clock, stats: Stats, budget: Budget | None = None
    ) -> None:
        self._state_dir = Path(state_dir)
        self._app_id = app_id
        self._clock = clock
        self._stats = stats
        self._budget = budget or Budget()
        self._opened: dict[Path, Path] = {}

    def __call__(
        self, place: Place, spec: StoreSpec, incarnation: str, offsets: Offsets, rejected: str | None = None
    ) -> Store:
        """See `OpenStore`. Raises `StateError` when the disk is at fault."""
        path = directory(self._state_dir, self._app_id, place.name, spec.name)
        if spec.base == "memory":
            return self._open(path, True, place, spec, incarnation, offsets, rejected)
        with alone(path.parent) as undisturbed:
            return self._open(path, undisturbed, place, spec, incarnation, offsets, rejected)

    def _open(
        self, path: Path, undisturbed: bool, place: Place, spec: StoreSpec, incarnation: str, offsets: Offsets,
        rejected: str | None,
    ) -> Store:  # fmt: skip
        # It may have been opened beside that one, which a frozen former owner holds.
        last = self._opened.get(path, path)
        if rejected is not None and last.exists():
            if undisturbed and not held_elsewhere(last):  # somebody may have taken it since it was closed here
                move_aside(last)
            self._tell(place, spec, rejected)
        expect = Expectation(
            app_id=self._app_id,
            store=spec.name,
            changelog=place.sub.changelogs.get(spec.name) or place.sub.reused.get(spec.name),
            partition=place.partition,
            now_ms=self._clock.now_ms(),
            incarnation=incarnation or None,
            log_start=offsets.start,
            log_end=offsets.end,
        )
        base, reason = open_base(spec.base, path, expect, self._budget, alone=undisturbed)
        if reason is None and (reason := _laid_otherwise(base, spec)) is not None:
            base.close()
            move_aside(base.path)
            base, _ = open_base(spec.base, path, expect, self._budget, alone=undisturbed)
        if reason is not None:
            self._tell(place, spec, reason)
        self._opened[path] = Path(base.path)
        return Store(spec, base, undo=place.undo, room=self._budget.row_room)

    @property
    def home(self) -> str:
        """A name of the folder that is the same for all who use it, and for nobody else."""
        folder = self._state_dir / self._app_id
        folder.mkdir(parents=True, exist_ok=True)
        return f"{socket.gethostname()}:{folder.stat().st_dev}:{folder.stat().st_ino}"

    def holding(self) -> dict[str, int]:
        """The tasks whose state lies here already, so that the group may give them back; 1 each."""
        root = self._state_dir / self._app_id
        return (
            {path.name: 1 for path in root.iterdir() if path.is_dir() and path.name[0] != GLOBAL}
            if root.is_dir()
            else {}
        )

    def _tell(self, place: Place, spec: StoreSpec, reason: str) -> None:
        self._stats.stores_rebuilt += 1
        logger.warning("store %s of task %s is restored from its changelog: %s", spec.name, place.name, reason)


def _laid_otherwise(base: Base, spec: StoreSpec) -> str | None:
    """Why the rows on disk would not be found: those of windows lie by a length that follows from the retention.

    The changelog knows nothing of that, so such a store is restored, not refused.
    """
    record = base.meta() if spec.segmented else None
    laid = decode(record).segment_ms if record is not None else 0
    if laid in (0, segment_length(spec.retention_ms)):
        return None
    return f"its windows lie in segments of {laid} ms, and its retention of {spec.retention_ms} ms wants others"
