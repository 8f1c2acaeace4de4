"""Questions about state: which partition holds a key, which worker holds the partition, and what it answers.

No HTTP here. Answers are rows of bytes, ``(key, partition, value, timestamp)``, so that the answers of several
workers can be merged in the order of keys; who asked turns them into text once.

An answer is never wrong, it is refused instead (`Unavailable`): a worker answers only for tasks that it runs and
that the group, asked less than a second ago, says are its own. What it reads is committed (`Store.view`). A long
scan gives way to the worker's loop every `SLICE` rows, so it shows one state within a slice, not over all of them;
rows that nobody changes meanwhile are always told, and told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Any

from streamflow.clock import Clock
from streamflow.errors import LogError, StateError, StreamflowError
from streamflow.log.contract import Member, Membership
from streamflow.log.partitioner import partition_of
from streamflow.operators.contract import Effect
from streamflow.plan import Plan, SubTopology, task_name
from streamflow.record import TopicPartition
from streamflow.runtime.global_tables import is_global
from streamflow.runtime.worker import Worker
from streamflow.state.keyvalue import after
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store
from streamflow.topology import Sink, Source

SLICE = 2_000  # rows read between two looks at the loop: some 2 to 5 ms
FIRST_SLICE = 64  # rows read before it is known how large they are
MOST_BYTES = 8 << 20  # of the rows of one answer, as they lie in the store
OWNERS_AGE = 1.0  # seconds for which the group's answer is believed
OWNERS_REST = 0.05  # seconds between two questions to the group, whatever is missing

Row = tuple[bytes, int, bytes, int]
"""Key bytes, partition, value bytes, timestamp in milliseconds (0 where the store keeps none)."""
WindowRow = tuple[int, bytes, int]
"""Start of the window in milliseconds, value bytes, timestamp."""
SessionRow = tuple[int, int, bytes, int]
"""Start and end of the session in milliseconds, value bytes, timestamp."""


class Unavailable(StreamflowError):
    """The answer cannot be had for now; asking again in a moment may work."""


class UnknownStore(StreamflowError):
    """No store of this name; the text names those there are."""


class WrongQuestion(StreamflowError):
    """A question that this store has no answer to, whatever it holds."""


# --- where a key lies


@dataclass(frozen=True)
class Site:
    """Where a store lies. ``spread`` is how many partitions its keys are spread over by their bytes.

    ``spread`` is None where something else may have placed a row (a partitioner of the user's, a key that changed on
    its way, topics of unequal partition counts): such a key is looked for in every partition.
    """

    spec: StoreSpec
    sub: SubTopology
    spread: int | None

    @property
    def everywhere(self) -> bool:
        """Whether every worker has all of it."""
        return is_global(self.sub)

    @property
    def partitions(self) -> tuple[int, ...]:
        """All partitions of the store."""
        return tuple(range(self.sub.partitions))

    def holding(self, key: bytes) -> tuple[int, ...]:
        """The partitions that can hold a key: by the bytes and the partitioner that placed its records."""
        if self.spread is None:
            return self.partitions
        placed_by = self.spec.key.placed_by
        return (partition_of(key if placed_by is None else key[placed_by], self.spread),)

    def task(self, partition: int) -> str:
        """The name of the task that holds a partition of the store."""
        return task_name(self.sub, partition)


def sites(plan: Plan) -> dict[str, Site]:
    """Every store of a plan by name, in the order of declaration."""
    found = {spec.name: Site(spec, sub, _spread(plan, sub, spec)) for sub in plan.subtopologies for spec in sub.stores}
    return found | {spec.name: Site(spec, sub, None) for sub in plan.globals for spec in sub.stores}


def _spread(plan: Plan, sub: SubTopology, spec: StoreSpec) -> int | None:
    """The count of partitions over which the hash of the store's own key bytes spread every record that reaches it."""
    steps = {step.name: step for step in sub.steps}
    above = [
        parent
        for step in sub.steps
        if not isinstance(step.meaning, Source | Sink) and spec.name in step.meaning.stores
        for parent in step.parents
    ]
    counts: set[int] = set()
    seen: set[str] = set()
    while above:
        name = above.pop()
        if name in seen or name not in steps:
            continue
        seen.add(name)
        meaning = steps[name].meaning
        if isinstance(meaning, Source):
            topics = sub.topics[name]
            if meaning.key.name != spec.key.name or _placed_otherwise(plan, topics, spec):
                return None
            counts.update(plan.partitions[topic] for topic in topics)
        elif isinstance(meaning, Sink) or meaning.key_effect is not Effect.SAME:
            return None
        else:
            above.extend(steps[name].parents)
    return counts.pop() if len(counts) == 1 else None


def _placed_otherwise(plan: Plan, topics: Sequence[str], spec: StoreSpec) -> bool:
    """A sink of ours writes one of the topics with a partitioner of the user's, or with keys in other bytes."""
    return any(
        isinstance(step.meaning, Sink)
        and sub.sinks.get(step.name) in topics
        and (step.meaning.partitioner is not None or step.meaning.key.name != spec.key.name)
        for sub in plan.subtopologies
        for step in sub.steps
    )


# --- who holds it


class Owners:
    """Task name -> the member that holds it, as the group said at most `OWNERS_AGE` seconds ago."""

    def __init__(self, membership: Membership, clock: Clock) -> None:
        self._membership = membership
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked = -OWNERS_AGE
        self._members: list[Member] = []
        self._by_task: dict[str, Member] = {}

    @property
    def me(self) -> str:
        """This worker's own id in the group."""
        return self._membership.member_id

    async def members(self) -> list[Member]:
        """Every member."""
        await self._not_older_than(OWNERS_AGE)
        return self._members

    async def of(self, tasks: Iterable[str], *, fresh: bool = False) -> dict[str, Member]:
        """The owners of tasks; one that is missing is asked for again. Those that nobody holds are left out."""
        wanted = tuple(tasks)
        await self._not_older_than(OWNERS_REST if fresh else OWNERS_AGE)
        if any(task not in self._by_task for task in wanted):
            await self._not_older_than(OWNERS_REST)
        return {task: self._by_task[task] for task in wanted if task in self._by_task}

    async def _not_older_than(self, age: float) -> None:
        async with self._asking:
            if self._clock.monotonic() - self._asked <= age:
                return
            asked = self._clock.monotonic()
            try:
                self._members = await self._membership.members()
            except LogError as error:
                raise Unavailable(f"the group cannot be asked who holds what: {error}") from error
            self._by_task = {task: member for member in self._members for task in member.tasks}
            self._asked = asked


# --- what this worker answers


@dataclass(frozen=True)
class Span:
    """Which rows of a listing: keys from ``low`` to ``high`` (both included, None: open) that begin with ``prefix``.

    ``behind`` is the key and partition of the last row already told.
    """

    low: bytes = b""
    high: bytes | None = None
    prefix: bytes = b""
    limit: int = 100
    behind: tuple[bytes, int] | None = None

    def bounds(self, partition: int) -> tuple[bytes, bytes | None]:
        """The least key to read in one partition, and the first behind the last."""
        low = max(self.low, self.prefix)
        ends = [None if self.high is None else self.high + b"\x00", after(self.prefix)]
        high = min((end for end in ends if end is not None), default=None)
        if self.behind is not None:
            key, told = self.behind
            low = max(low, key if partition > told else key + b"\x00")
        return low, high


@dataclass(frozen=True)
class Standing:
    """How far a copy is: ``position`` in its store's changelog, and ``lag``, how many changelog records its task lacks
    (0: none, it runs there)."""

    position: int
    lag: int


class Local:
    """The stores of this worker's running tasks, committed rows only.

    With ``stale`` also those of tasks that are restored here and of copies: each row was committed once, and may have
    changed since.
    """

    def __init__(self, worker: Worker, stale: bool = False) -> None:
        self._worker = worker
        self._stale = stale

    def runs(self, site: Site, partition: int) -> bool:
        """Whether this worker runs the task that holds a partition."""
        held = self._worker.roster.held.get(site.task(partition))
        return held is not None and held.task is not None

    def view(self, site: Site, partition: int) -> Any:
        """A partition's committed rows as bytes. Raises `Unavailable` unless its task runs here."""
        if site.everywhere:
            try:
                return self._worker.tables.store(site.spec.name, partition).view(key_raw=True, value_raw=True)
            except LogError as error:
                raise Unavailable(str(error)) from error
        name = site.task(partition)
        if self._stale:
            return self._copy(site, partition)[0].view(key_raw=True, value_raw=True)
        held = self._worker.roster.held.get(name)
        if held is None:
            raise Unavailable(f"task {name} has moved to another worker")
        if held.task is None or self._worker.membership.assignment().lost:
            left = held.place.progress.left
            raise Unavailable(f"task {name} is being restored, {left:,} changelog records to go")
        return held.task.stores[site.spec.name].view(key_raw=True, value_raw=True)

    def standing(self, site: Site, partition: int) -> Standing | None:
        """How far what there is of a partition here is; None if there is nothing."""
        try:
            store, lag = self._copy(site, partition)
        except Unavailable:
            return None
        return Standing(store.position, lag)

    def _copy(self, site: Site, partition: int) -> tuple[Store, int]:
        """The store of a partition as it is here, and how many records its task lacks; running, restored or a copy."""
        name, roster = site.task(partition), self._worker.roster
        held, copy = roster.held.get(name), roster.standbys.copies.get(name)
        if held is not None and (store := held.place.stores.get(site.spec.name)) is not None:
            return store, 0 if held.task is not None else held.place.progress.left
        if copy is not None and (store := copy.place.stores.get(site.spec.name)) is not None:
            return store, copy.lag
        raise Unavailable(f"there is nothing of task {name} here")

    def committed(self, site: Site, at: TopicPartition) -> int:
        """The next offset of an input that the task of its partition has committed. Raises `Unavailable` as `view` does."""
        self.view(site, at.partition)
        ledger = self._worker.roster.held[site.task(at.partition)].ledger
        return 0 if ledger is None else ledger.committed.get(at, 0)

    def get(self, site: Site, partitions: Sequence[int], key: bytes, as_of: int | None = None) -> list[Row]:
        """The rows of a key: none or one, unless a partitioner of the user's spread it; of a versioned store those that
        were valid at ``as_of``."""
        found: list[Row] = []
        for partition in partitions:
            with _readable(site):
                view = self.view(site, partition)
                version = None if as_of is None else view.get(key, as_of)
                pair = view.get_pair(key) if as_of is None else None if version is None else version[:2]
            if pair is not None:
                found.append((key, partition, *pair))
        return found

    async def rows(self, site: Site, partitions: Sequence[int], span: Span) -> list[Row]:
        """The first ``span.limit`` rows of some partitions, in the order of key bytes."""
        found: list[Row] = []
        for partition in partitions:
            found.extend(await self._rows_of(site, partition, span))
            found.sort()
            if len(found) >= span.limit:
                del found[span.limit :]
                span = replace(span, high=found[-1][0])  # rows behind this one will not be told
        return found

    async def _rows_of(self, site: Site, partition: int, span: Span) -> list[Row]:
        found: list[Row] = []
        low, high = span.bounds(partition)
        following: bytes | None = low
        size, most = 0, FIRST_SLICE
        while following is not None and (high is None or following < high) and len(found) < span.limit:
            if following != low:
                await asyncio.sleep(0)
            with _readable(site):
                # Opened anew for every slice: an open iterator would keep a store that is closed meanwhile locked.
                view = self.view(site, partition)
                rows, following = view.page(following, high, min(span.limit - len(found), most))
            found.extend([(key, partition, value, time) for key, (value, time) in rows])
            size += sum(len(key) + len(value) for key, (value, _) in rows)
            _check_room(size)
            most = min(SLICE, max(1, (MOST_BYTES - size) * len(found) // max(size, 1)))
        return found

    async def windows(
        self, site: Site, partitions: Sequence[int], key: bytes, first: int, last: int, limit: int
    ) -> list[WindowRow]:
        """The windows of a key that start from ``first`` to ``last``, oldest first, ``limit`` of them."""
        found: list[WindowRow] = []
        room = MOST_BYTES
        for partition in partitions:
            since, of_partition = first, 0
            while of_partition < limit and since <= last:
                wanted = min(limit - of_partition, SLICE)
                with _readable(site):
                    rows = _whole(_bounded(self._fetch(site, partition, key, since, last), room), wanted)
                found.extend(rows)
                room -= sum(len(row[1]) + 32 for row in rows)
                of_partition += len(rows)
                if len(rows) < wanted:
                    break
                since = rows[-1][0] + 1
                await asyncio.sleep(0)
        return oldest(found, limit)

    async def sessions(
        self, site: Site, partitions: Sequence[int], key: bytes, first: int, last: int, limit: int
    ) -> list[SessionRow]:
        """The sessions of a key that reach into ``first`` to ``last``, oldest first, ``limit`` of them."""
        found: list[SessionRow] = []
        for partition in partitions:
            with _readable(site):
                rows = self.view(site, partition).find(key, first, last, with_timestamps=True)
                found.extend((start, end, *pair) for (_, start, end), pair in islice(rows, limit))
            _check_room(sum(len(row[2]) + 32 for row in found))
        return sorted(found)[:limit]

    def _fetch(self, site: Site, partition: int, key: bytes, first: int, last: int) -> Iterator[WindowRow]:
        view = self.view(site, partition)
        if site.spec.timestamped:
            return ((start, *pair) for start, pair in view.fetch(key, first, last, with_timestamps=True))
        return ((start, value, 0) for start, value in view.fetch(key, first, last))


def _check_room(size: int) -> None:
    if size > MOST_BYTES:
        raise WrongQuestion(f"these rows have more than {MOST_BYTES >> 20} MiB; ask for fewer of them with limit")


def _bounded(rows: Iterator[WindowRow], room: int) -> Iterator[WindowRow]:
    for row in rows:
        room -= len(row[1]) + 32
        if room < 0:
            _check_room(MOST_BYTES + 1)
        yield row


def oldest(rows: list[WindowRow], limit: int) -> list[WindowRow]:
    """The first ``limit`` rows by start, and what else begins with the last of them: a start is told whole."""
    return _whole(iter(sorted(rows)), limit)


def _whole(rows: Iterator[WindowRow], wanted: int) -> list[WindowRow]:
    found = list(islice(rows, wanted))
    if len(found) == wanted:
        last = found[-1][0]
        found.extend(takewhile(lambda row: row[0] == last, rows))
    return found


class _readable:
    """A store that cannot be read just now is unavailable, not a defect: the worker finds out and restores it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, StateError):
            raise Unavailable(f"store '{self._site.spec.name}' cannot be read: {error}") from error
