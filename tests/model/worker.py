"""The protocol: how a worker owns a task.

    R0  confirm     ask the group, not memory, whether the task is (still) mine
    R1  init        fence every earlier owner and settle the last transaction
    R2  end         where the changelogs end, asked after R1, open transactions included
    R3  restore     each store from its own position, committed records only, through its layer
    R4  positions   inputs from the meta record of the highest commit, cross-checked with the group's offsets
    R5  run

One path for a start, a hand-over, a Fenced and a Doubtful. A worker that is
told it is not the owner closes and waits; one that is fenced and still the
owner (the coordinator expired its transaction, or a late request of somebody
else bumped the epoch) starts at R0 again, so the task is never left alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from .data import (
    DESIGNATED,
    FILTERED,
    INPUTS,
    META,
    NO_META,
    TOGGLED,
    Change,
    Committed,
    Meta,
    Outcome,
    Output,
    Work,
)
from .disk import Base, Content, Store
from .group import Group
from .wire import IDLE, LOCAL, Steps, until_answered


class Session(Protocol):
    """The right to commit for the task."""

    def init(self, generation: int) -> Steps[None]: ...

    def commit(self, work: Work) -> Steps[Outcome]: ...


class LogServer(Protocol):
    """What the log answers; each method is one request."""

    def read_inputs(self, positions: dict[str, int], limit: int) -> tuple[list[Any], dict[str, int]]: ...

    def end(self, changelog: str) -> int: ...

    def read(self, changelog: str, position: int, limit: int) -> tuple[list[Change], int]: ...

    def committed(self) -> dict[str, int]: ...

    def commit_id(self, seq: int) -> int | None: ...

    def last_commit(self) -> tuple[int, int]: ...


class Worker:
    """One process; its disk is given to it and outlives it."""

    meta_positions = True
    """R4 takes the inputs from the meta record (else from the group's offsets)."""
    knows_commits = False
    """The log can tell which commits it holds, and may have lost the newest (embedded log, durability=fast)."""
    store_type = Store

    def __init__(
        self,
        member: str,
        log: LogServer,
        session: Session,
        group: Group,
        disk: dict[str, Base],
        rng: random.Random,
        watch: Callable[[str, Content], None],
    ) -> None:
        self.member = member
        self.log = log
        self.session = session
        self.group = group
        self.rng = rng
        self.owns = False
        self.inputs: dict[str, int] = {}
        self.meta = NO_META
        self.stores = {changelog: self.store_type(base, watch) for changelog, base in disk.items()}

    # --- owning ---------------------------------------------------------------------------------------------------

    def run(self) -> Steps[None]:
        """The life of a process: wait for the task, own it, let go."""
        yield from self.check_commits()
        while True:
            yield from self.wait_for_the_task()
            yield from self.own()
            if self.rng.random() < 0.5:
                yield from self.flush()  # before a hand-over, for whoever comes back to this disk

    def wait_for_the_task(self) -> Steps[None]:
        while True:
            standing = yield from until_answered(self.group.standing, self.member)
            if standing is None:
                yield from until_answered(self.group.join, self.member)
            elif standing.owner:
                return
            yield IDLE

    def own(self) -> Steps[None]:
        while (generation := (yield from self.confirm())) is not None:  # R0
            yield from self.recover(generation)
            self.owns = True
            yield from self.process()
            self.owns = False
            self.drop()

    def confirm(self) -> Steps[int | None]:
        """The generation in which the task is mine, or None."""
        standing = yield from until_answered(self.group.standing, self.member)
        return standing.generation if standing is not None and standing.owner else None

    # --- recovery -------------------------------------------------------------------------------------------------

    def recover(self, generation: int) -> Steps[None]:
        """R1 to R4, until what was read fits together."""
        yield from self.fence(generation)
        while True:
            yield from self.restore_all()
            inputs = yield from self.find_positions()
            if inputs is not None:
                self.inputs = inputs
                return
            yield IDLE

    def fence(self, generation: int) -> Steps[None]:
        """R1."""
        self.group.fencing_begins(self.member)
        yield from self.session.init(generation)

    def restore_all(self) -> Steps[None]:
        """R2 and R3. What is restored may stem from any commit up to the last one the log has now."""
        last = (yield from until_answered(self.log.last_commit)) if self.knows_commits else None
        for store in self.stores.values():
            store.newest = last or store.newest
            end = yield from until_answered(self.log.end, store.changelog)
            yield from self.restore(store, end)

    def restore(self, store: Store, end: int) -> Steps[None]:
        """R3: a position beyond the end is another life's."""
        if store.position > end:
            store.start_anew()
        while store.position < end:
            records, position = yield from until_answered(self.log.read, store.changelog, store.position, 2)
            if position == store.position:
                yield IDLE  # an open transaction of somebody else has to be decided first
                continue
            store.restore(records, position)
            if self.rng.random() < 0.4:
                yield from store.flush()

    def find_positions(self) -> Steps[dict[str, int] | None]:
        """R4; None: the view of some changelog is stale, read again."""
        group = yield from until_answered(self.log.committed)
        self.meta = meta = self.choose_meta()
        if self.meta_positions and not self.fits_together(meta, group):
            return None
        for store in self.stores.values():
            store.advance(meta, store.position)
        found = meta.inputs if self.meta_positions else group
        return {topic: found.get(topic, 0) for topic in INPUTS}

    def choose_meta(self) -> Meta:
        return max((store.meta for store in self.stores.values()), key=lambda meta: meta.seq)

    def fits_together(self, meta: Meta, group: dict[str, int]) -> bool:
        """Every changelog was read as far as the meta record says, and the meta record is not behind the group."""
        seen_all = all(store.mark >= meta.touched.get(store.changelog, 0) for store in self.stores.values())
        return seen_all and all(meta.inputs.get(topic, 0) >= offset for topic, offset in group.items())

    def check_commits(self) -> Steps[None]:
        """A store that knows a commit which the log lost in a power cut is of another life."""
        if not self.knows_commits:
            return
        for store in self.stores.values():
            seq, known = store.newest
            if seq and (yield from until_answered(self.log.commit_id, seq)) != known:
                store.start_anew()

    # --- running --------------------------------------------------------------------------------------------------

    def process(self) -> Steps[None]:
        """Process and commit until a commit fails or the task is no longer mine."""
        work: Work | None = None
        while True:
            work = work or (yield from self.next_work(self.inputs))
            if work is None:
                yield IDLE
                if (yield from self.confirm()) is None:
                    return
                continue
            self.freeze(work)
            # The next input may be processed while the commit is on the wire, into a second overlay.
            ahead = (yield from self.next_work(work.inputs)) if self.rng.random() < 0.3 else None
            outcome = yield from self.commit(work)
            if not isinstance(outcome, Committed):
                return  # the overlays are dropped; R0 decides how it goes on
            yield LOCAL
            self.take(work, outcome)
            work = ahead
            if self.rng.random() < 0.4:
                yield from self.flush()

    def commit(self, work: Work) -> Steps[Outcome]:
        return (yield from self.session.commit(work))

    def next_work(self, inputs: dict[str, int]) -> Steps[Work | None]:
        """Some records through the topology, into the overlay. A position that moved over a gap is work, too."""
        limit = 1 + self.rng.randrange(4)
        records, positions = yield from until_answered(self.log.read_inputs, inputs, limit)
        if positions == inputs:
            return None
        work = Work(positions)
        for source, (key, uid) in records:
            self.process_record(source, key, uid, work.outputs)
        return work

    def process_record(self, source: str, key: str, uid: int, outputs: list[Output]) -> None:
        if key == FILTERED:
            return
        counts, toggles = self.stores.values()
        count = (counts.get(key) or 0) + 1
        counts.put(key, count)
        toggle = None
        if key in TOGGLED:
            toggle = toggles.get(key) is not None
            toggles.put(key, None if toggle else uid)
        outputs.append(Output(source, uid, key, count, toggle))

    def freeze(self, work: Work) -> None:
        """Outputs, changes and the meta record of one commit."""
        seq = self.meta.seq + 1
        touched = dict(self.meta.touched)
        for changelog, store in self.stores.items():
            changes = store.freeze()
            if changes or changelog == DESIGNATED:
                touched[changelog] = seq
                work.changes[changelog] = changes
        work.meta = Meta(seq, self.rng.getrandbits(32), work.inputs, touched)
        for changelog, changes in work.changes.items():
            changes.append((META, work.meta if changelog == DESIGNATED else seq))

    def take(self, work: Work, outcome: Committed) -> None:
        """What was committed becomes the layer, the inputs and the meta record."""
        self.inputs = work.inputs
        self.meta = work.meta
        for changelog, store in self.stores.items():
            store.commit(work.meta, outcome.ends.get(changelog))

    def drop(self) -> None:
        for store in self.stores.values():
            store.drop()

    def flush(self) -> Steps[None]:
        for store in self.stores.values():
            yield from store.flush()
