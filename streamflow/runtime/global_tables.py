"""Tables that every worker has whole: all partitions of a topic, read beside the tasks and shared by them.

It is the following of `standby.py`: a store per partition, the table's own topic
as its changelog, read committed, positions compared. Only that nothing runs
before all of it is there, and that its rows are asked for.

A row is looked for where the hash of its key's bytes says, then elsewhere: the
topic is somebody else's, and so is its partitioner.

Those that a processor fills are in `global_stores.py`; here they are asked for alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from streamflow.clock import Clock
from streamflow.errors import LogUnavailable
from streamflow.log.contract import Log
from streamflow.log.partitioner import partition_of
from streamflow.plan import Plan, SubTopology, task_name
from streamflow.runtime.global_stores import GlobalStore
from streamflow.runtime.recovery import Place
from streamflow.runtime.rules import Rules
from streamflow.runtime.services import Find
from streamflow.runtime.standby import Copy, Standbys
from streamflow.runtime.stores import OpenStore
from streamflow.state.store import Store


class GlobalTables:
    """The tables of ``plan.globals``. ``wake`` is called when one of them has become whole."""

    def __init__(
        self, plan: Plan, log: Log, clock: Clock, open_store: OpenStore, rules: Rules, wake: Callable[[], None]
    ) -> None:
        self._subs = {sub.stores[0].name: sub for sub in plan.globals}
        self._filled = {
            name: GlobalStore(sub, plan, log, clock, open_store, rules, wake)
            for name, sub in self._subs.items()
            if sub.steps
        }
        self._places = {
            task_name(sub, p): (sub, p) for sub in plan.globals if not sub.steps for p in range(sub.partitions)
        }
        self._group = plan.app_id
        self._log = log
        self.copies = Standbys(plan.app_id, log, clock, open_store, self._place, wake, near=0)
        self._following = False

    @property
    def whole(self) -> bool:
        """Every table is there, up to where its topic ended when that was first reached."""
        if len(self.copies.warm) != len(self._places):
            return False
        return all(filled.whole for filled in self._filled.values())

    def check(self) -> None:
        """Raise what the processor of a global store could not get over."""
        for filled in self._filled.values():
            if filled.failure is not None:
                raise filled.failure

    @property
    def dropped(self) -> int:
        """How many records the processors of global stores have dropped."""
        return sum(filled.dropped for filled in self._filled.values())

    @property
    def left(self) -> int:
        """How many records of their topics are still to be read, as far as known."""
        of_tables = sum(copy.lag for copy in self.copies.copies.values())
        return of_tables + sum(filled.left for filled in self._filled.values())

    async def begin(self) -> None:
        """Begin to read; does nothing if that was done."""
        if not self._following:
            self._following = True
            await self.copies.follow(frozenset(self._places))
            for filled in self._filled.values():
                filled.begin()

    async def read_to_end(self) -> None:
        """Read what there is, for those who have no event loop."""
        self.copies.add(frozenset(self._places))
        before = -1
        while (now := sum(copy.position for copy in self.copies.copies.values())) != before:
            before = now
            await self.copies.read_on(0.0)
        for filled in self._filled.values():
            known = None
            while (at := filled.position) != known or at < 0:
                known = at
                await filled.read_on(0.0)

    async def close(self) -> None:
        """Write down and close every store."""
        self._following = False
        await self.copies.close()
        for filled in self._filled.values():
            await filled.close()

    def shut(self) -> None:
        """Close every store as it is, as a killed worker leaves them."""
        for copy in self.copies.copies.values():
            copy.place.shut()
        for filled in self._filled.values():
            filled.shut()

    def copy(self, store: str, partition: int) -> Copy:
        """One partition of a table. Raises `LogUnavailable` while it is being read anew."""
        copy = self.copies.copies.get(task_name(self._subs[store], partition))
        if copy is None or not copy.warm:
            raise LogUnavailable(f"the global table '{store}' is being read anew")
        return copy

    def store(self, store: str, partition: int) -> Store:
        """The store of one partition of a table. Raises `LogUnavailable` while it is being read anew."""
        if store in self._filled:
            return self._filled[store].store
        return self.copy(store, partition).place.stores[store]

    def rows(self, store: str) -> Find:
        """``key -> (value, timestamp) or None``; keys and values are the user's objects."""
        sub = self._subs[store]
        (spec,) = sub.stores
        write, placed_by = spec.key.serialize, spec.key.placed_by
        partitions = sub.partitions
        views: dict[int, tuple[Store, Any]] = {}

        def view(partition: int) -> Any:
            now = self.store(store, partition)
            known = views.get(partition)
            if known is None or known[0] is not now:
                known = views[partition] = now, now.view(key_raw=True)
            return known[1]

        def find(key: Any) -> tuple[Any, int] | None:
            data = write(key)
            if data is None:
                return None
            first = partition_of(data if placed_by is None else data[placed_by], partitions)
            found: tuple[Any, int] | None = view(first).get_pair(data)
            for partition in range(partitions) if found is None else ():
                if partition != first and (found := view(partition).get_pair(data)) is not None:
                    break
            return found

        return find

    def view(self, store: str) -> Any:
        """A table to look into, as a processor does; None if there is none of this name."""
        return GlobalView(self, store, self._subs[store].partitions) if store in self._subs else None

    def _place(self, name: str) -> Place:
        sub, partition = self._places[name]
        return Place(sub, partition, self._log.session(self._group, name))


class GlobalView:
    """The committed rows of a table, all partitions as one. Raises `LogUnavailable` while it is being read anew."""

    def __init__(self, tables: GlobalTables, store: str, partitions: int) -> None:
        self._find = tables.rows(store)
        self._tables, self._store, self._partitions = tables, store, partitions

    def get(self, key: Any) -> Any:
        """The value, or None."""
        found = self._find(key)
        return None if found is None else found[0]

    def get_with_timestamp(self, key: Any) -> tuple[Any, int] | None:
        """``(value, timestamp)``, or None."""
        return self._find(key)

    def all(self) -> Iterator[tuple[Any, Any]]:
        """Every row, partition after partition."""
        for partition in range(self._partitions):
            yield from self._tables.store(self._store, partition).view().all()


def is_global(sub: SubTopology) -> bool:
    """Whether it is one of ``plan.globals``."""
    return sub.number < 0
