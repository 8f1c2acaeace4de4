"""Known mistakes, each as the one method that makes it, and the variant in which it shows.

A checker that does not catch these would not catch them in the product either.
`IMMUNE` are mistakes that the recommended variant survives: offset fetches that
lie cannot hurt it, because state and inputs come out of the same changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from .data import DOUBTFUL, FENCED, OUTPUT, Change, Committed, Meta, Outcome, Work
from .disk import CHUNK, Store
from .embedded import EmbeddedLog
from .kafka import Broker
from .kafka_session import KafkaSession, V2Session
from .wire import LOCAL, FencedError, Refused, Retry, Steps, Timeout, patiently, until_answered
from .world import VARIANTS, ForgettingLogWorker, GroupWorker, MetaWorker, Variant


@dataclass(frozen=True)
class Mutant:
    """A mistake built into a variant."""

    of: str
    variant: Variant


MUTANTS: dict[str, Mutant] = {}
IMMUNE: dict[str, Mutant] = {}


def mutant(of: str, **parts: Any) -> Callable[[type], type]:
    """Register the class below as a mistake, replacing the part of the variant that it derives from."""

    def register(broken: type) -> type:
        MUTANTS[_name(broken)] = Mutant(of, replace(VARIANTS[of], **_part(broken), **parts))
        return broken

    return register


def _name(broken: type) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in broken.__name__).lstrip("_")


def _part(broken: type) -> dict[str, Any]:
    """Which part of a variant a class is."""
    if issubclass(broken, Store):
        return {"worker": type("Worker", (MetaWorker,), {"store_type": broken})}
    for base, name in ((KafkaSession, "session"), (Broker, "log"), (EmbeddedLog, "log")):
        if issubclass(broken, base):
            return {name: broken}
    return {"worker": broken}


# --- the order of recovery ----------------------------------------------------------------------------------------


@mutant("group offsets")
class OffsetBeforeInit(GroupWorker):
    """R4 before R1: a commit of the former owner may come between."""

    def recover(self, generation: int) -> Steps[None]:
        group = yield from until_answered(self.log.committed)
        yield from super().recover(generation)
        self.inputs = {topic: group.get(topic, 0) for topic in self.inputs}


@mutant("group offsets")
class RestoreBeforeInit(GroupWorker):
    """R2 and R3 before R1."""

    def recover(self, generation: int) -> Steps[None]:
        yield from self.restore_all()
        yield from self.fence(generation)
        found = yield from self.find_positions()
        assert found is not None
        self.inputs = found


@mutant("447")
class RestoreToLso(Broker):
    """Ends of changelogs without the open transaction of the former owner."""

    def end(self, changelog: str) -> int:
        return self.partitions[changelog].stable_end


@mutant("incl")
class RestoreUncommitted(Broker):
    """Changelogs are read with open and aborted records."""

    def read(self, changelog: str, position: int, limit: int) -> tuple[list[Change], int]:
        log = self.partitions[changelog].log
        if changelog.startswith("in"):
            return super().read(changelog, position, limit)
        found = [entry.payload for entry in log[position : position + limit] if entry.payload is not None]
        return found, min(position + limit, len(log))


@mutant("incl")
class RestoreBelowTheLayer(Store):
    """Into the base, while the layer goes on answering with what is older."""

    def restore(self, records: Iterable[Change], position: int) -> None:
        layer, self.layer = self.layer, {}
        super().restore(records, position)
        self.layer, restored = layer, self.layer
        self.base.write(restored.items())


# --- what recovery believes ---------------------------------------------------------------------------------------


class NoRequireStable(Broker):
    """OffsetFetch without require_stable."""

    def committed(self) -> dict[str, int]:
        return self.fetch_offsets(False)


class OffsetfetchErrorIsNone(Broker):
    """A coordinator that is loading is taken for a group without offsets."""

    def committed(self) -> dict[str, int]:
        try:
            return self.fetch_offsets(True)
        except Retry:
            return {}


class OffsetBeforeInitIncl(MetaWorker):
    """The group's offsets, fetched before R1, are what the meta record is compared with."""

    def recover(self, generation: int) -> Steps[None]:
        self.early = yield from until_answered(self.log.committed)
        yield from super().recover(generation)

    def fits_together(self, meta: Meta, group: dict[str, int]) -> bool:
        return super().fits_together(meta, self.early)


@mutant("incl")
class MetaOfLowestSeq(MetaWorker):
    """Of the stores' meta records, the oldest."""

    def choose_meta(self) -> Meta:
        return min((store.meta for store in self.stores.values()), key=lambda meta: meta.seq)


@mutant("incl")
class SingleInputMeta(MetaWorker):
    """The meta record names only the inputs that this commit moved."""

    def freeze(self, work: Work) -> None:
        super().freeze(work)
        moved = {topic: offset for topic, offset in work.inputs.items() if offset != self.inputs.get(topic)}
        work.meta = work.meta._replace(inputs=moved)
        work.changes["counts-changelog"][-1] = (work.changes["counts-changelog"][-1][0], work.meta)


@mutant("incl")
class NoCrossCheck(MetaWorker):
    """The view of an old leader is believed."""

    def fits_together(self, meta: Meta, group: dict[str, int]) -> bool:
        return True


@mutant("incl")
class NoMarks(MetaWorker):
    """The group's offsets are compared, but an old view of another changelog than the designated one is believed."""

    def fits_together(self, meta: Meta, group: dict[str, int]) -> bool:
        return all(meta.inputs.get(topic, 0) >= offset for topic, offset in group.items())


@mutant("embedded, fast")
class NoCommitId(ForgettingLogWorker):
    """A store is believed although the log lost what it reflects."""

    def check_commits(self) -> Steps[None]:
        yield LOCAL


@mutant("embedded, fast")
class RestoredUnderAnOldCommit(ForgettingLogWorker):
    """What is restored is written under the id of the commit the store knew before."""

    def restore_all(self) -> Steps[None]:
        for store in self.stores.values():
            end = yield from until_answered(self.log.end, store.changelog)
            yield from self.restore(store, end)


# --- fencing and membership ---------------------------------------------------------------------------------------


@mutant("incl")
class NoFencing(KafkaSession):
    """A transactional id of one's own for every start."""

    def init(self, generation: int) -> Steps[None]:
        self.id = f"task-{len(self.broker.transactions)}"
        yield from super().init(generation)


@mutant("embedded")
class SkipTheEpochCheck(EmbeddedLog):
    """Anybody may commit."""

    checks_epoch = False


@mutant("incl")
class FenceWithoutMembership(MetaWorker):
    """R1 after every failure without R0: a zombie fences the owner for ever."""

    def own(self) -> Steps[None]:
        while True:
            yield from self.recover(0)
            self.owns = True
            yield from self.process()
            self.owns = False
            self.drop()


@mutant("incl")
class FencedMeansGone(MetaWorker):
    """Fenced is taken for "another worker has the task", and a new assignment is waited for."""

    fenced_in = -1

    def commit(self, work: Work) -> Steps[Outcome]:
        outcome = yield from super().commit(work)
        if outcome is FENCED:
            self.fenced_in = self.group.generation
        return outcome

    def confirm(self) -> Steps[int | None]:
        generation = yield from super().confirm()
        return None if generation == self.fenced_in else generation


# --- the commit ---------------------------------------------------------------------------------------------------


@mutant("incl")
class RetryEndtxn(KafkaSession):
    """EndTxn is asked again in the same epoch, and may then end the next transaction."""

    def end(self) -> Steps[None]:
        yield from until_answered(self.broker.end_transaction, self.id, self.stamp, True)


@mutant("group offsets")
class RetryOffsets(KafkaSession):
    """TxnOffsetCommit is asked again in the same epoch, and may then put old offsets into the next transaction."""

    def commit_offsets(self, work: Work) -> Steps[None]:
        yield from until_answered(self.broker.commit_offsets, self.id, self.stamp, dict(work.inputs), self.generation)


@mutant("group offsets, transactions v2")
class LostOffsetsAreDone(V2Session):
    """No answer to TxnOffsetCommit is taken for a good one."""

    def commit_offsets(self, work: Work) -> Steps[None]:
        with suppress(Timeout):
            yield from patiently(self.broker.commit_offsets, self.id, self.stamp, dict(work.inputs), None)


@mutant("incl, transactions v2")
class FencedMeansCommitted(V2Session):
    """An EndTxn that is fenced when it is asked again is taken for the work of the first one."""

    def end(self) -> Steps[None]:
        try:
            yield from patiently(self.broker.end_transaction, self.id, self.stamp, True)
        except Timeout:
            with suppress(FencedError):
                yield from until_answered(self.broker.end_transaction, self.id, self.stamp, True)
        self.start_epoch((yield from until_answered(self.broker.init_producer_id, self.id)))


@mutant("incl, transactions v2")
class SettleByTheEpoch(V2Session):
    """After a lost answer to EndTxn, an epoch that has risen is taken for a commit; an abort raises it, too."""

    def end(self) -> Steps[None]:
        before = self.stamp
        try:
            yield from super().end()
        except Timeout:
            self.start_epoch((yield from until_answered(self.broker.init_producer_id, self.id)))
            if self.stamp[1] <= before[1] + 1:
                raise


@mutant("incl, transactions v2")
class LostProduceIsDone(V2Session):
    """No answer to Produce is taken for a good one."""

    def produce(self, name: str, records: tuple[Any, ...]) -> Steps[int]:
        try:
            return (yield from patiently(self.broker.produce, self.id, self.stamp, name, 0, records))
        except Timeout:
            return 0


@mutant("incl, transactions v2")
class ANewSequence(V2Session):
    """What got no answer is produced once more, as something new."""

    def produce(self, name: str, records: tuple[Any, ...]) -> Steps[int]:
        sequence = self.sequences[name]
        while True:
            try:
                base = yield from patiently(self.broker.produce, self.id, self.stamp, name, sequence, records)
                return base
            except Timeout:
                sequence += len(records)


@mutant("incl, transactions v2")
class KeepTheSequences(V2Session):
    """Sequence numbers go on in the next epoch; nothing is taken any more."""

    def start_epoch(self, stamp: tuple[int, int]) -> None:
        self.stamp = stamp


@mutant("incl, transactions v2")
class ForgetTheProducerId(V2Session):
    """Only the epoch of EndTxn's answer is taken over, and never a new producer id."""

    def start_epoch(self, stamp: tuple[int, int]) -> None:
        pid = stamp[0] if self.stamp[0] < 0 else self.stamp[0]
        super().start_epoch((pid, stamp[1]))


@mutant("incl")
class IgnoreProduceError(KafkaSession):
    """The transaction commits although a batch was refused."""

    def produce(self, name: str, records: tuple[Any, ...]) -> Steps[int]:
        try:
            return (yield from super().produce(name, records))
        except Refused:
            if name != OUTPUT:
                raise
            return 0


@mutant("incl")
class KeepGoingAfterDoubtful(MetaWorker):
    """Doubtful is taken for "not committed", and the session goes on."""

    def commit(self, work: Work) -> Steps[Outcome]:
        self.outcome = yield from super().commit(work)
        return self.outcome

    def process(self) -> Steps[None]:
        yield from super().process()
        while self.outcome is DOUBTFUL:
            self.outcome = FENCED
            self.drop()
            yield from super().process()

    outcome: Outcome = FENCED


@mutant("incl")
class DoubtfulIsCommitted(MetaWorker):
    """Doubtful is taken for "committed"."""

    def commit(self, work: Work) -> Steps[Outcome]:
        outcome = yield from super().commit(work)
        return Committed({}) if outcome is DOUBTFUL else outcome


@mutant("incl")
class KeepTheOverlay(Store):
    """The overlay outlives a commit that failed."""

    def drop(self) -> None: ...


@mutant("incl")
class KeepTheSecondOverlay(Store):
    """What was processed while the failed commit was on the wire is kept."""

    def drop(self) -> None:
        self.frozen = {}


@mutant("incl")
class ForgetATombstone(Store):
    """Deletes do not reach the changelog."""

    def freeze(self) -> list[Change]:
        return [change for change in super().freeze() if change[1] is not None]


# --- writing down -------------------------------------------------------------------------------------------------


@mutant("incl")
class DirtyBase(Store):
    """Every put goes straight to the base."""

    def put(self, key: str, value: Any) -> None:
        super().put(key, value)
        self.base.write([(key, value)])


@mutant("incl")
class FlushBeforeCommit(MetaWorker):
    """The base is written before the outcome is known."""

    def commit(self, work: Work) -> Steps[Outcome]:
        for store in self.stores.values():
            store.base.write(store.frozen.items())
        yield LOCAL
        return (yield from super().commit(work))


@mutant("incl")
class TornBatch(Store):
    """The position is written before the data."""

    def flush(self) -> Steps[None]:
        self.base.write([], position=self.position, mark=self.mark, meta=self.meta)
        yield LOCAL
        yield from super().flush()


@mutant("incl")
class DropThePosition(Store):
    """A flush writes the data and leaves the position where it was."""

    def flush(self) -> Steps[None]:
        self.base.write(self.layer.items(), newest=self.newest)
        self.layer = {}
        yield LOCAL


@mutant("incl")
class PositionWithTheFirstChunk(Store):
    """A flush in chunks sets the position first, instead of saying where it is going."""

    def flush(self) -> Steps[None]:
        items = list(self.layer.items())
        self.base.write(items[:CHUNK], position=self.position, mark=self.mark, meta=self.meta, newest=self.newest)
        yield LOCAL
        self.base.write(items[CHUNK:])
        self.layer = {}


@mutant("incl")
class ForgetFlushingTo(Store):
    """A restore into a half-flushed base forgets that it was half flushed."""

    def flush(self) -> Steps[None]:
        yield from super().flush()
        self.base.content = self.base.content._replace(flushing_to=None)
        self.base.write([])


# --- mistakes that offset fetches make ----------------------------------------------------------------------------

for _variant in ("group offsets", "447"):
    MUTANTS[f"no_require_stable ({_variant})"] = Mutant(_variant, replace(VARIANTS[_variant], log=NoRequireStable))
MUTANTS["offsetfetch_error_is_none"] = Mutant(
    "group offsets", replace(VARIANTS["group offsets"], log=OffsetfetchErrorIsNone)
)
# Without old leaders: with them, two faults at once would have to be survived.
_trusting = replace(VARIANTS["incl"], old_leaders=False)
IMMUNE["no_require_stable"] = Mutant("incl", replace(_trusting, log=NoRequireStable))
IMMUNE["offsetfetch_error_is_none"] = Mutant("incl", replace(_trusting, log=OffsetfetchErrorIsNone))
IMMUNE["offset_before_init"] = Mutant("incl", replace(_trusting, worker=OffsetBeforeInitIncl))
