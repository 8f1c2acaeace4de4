"""The transactional session: what a worker sends for one commit.

In this order, each request asked again when the broker says "not now":

    AddPartitionsToTxn, AddOffsetsToTxn    (with v2 Produce and TxnOffsetCommit do it by themselves)
    Produce per partition                  asked again with the same sequence
    TxnOffsetCommit
    EndTxn(commit)                         a timeout is never asked again in the same epoch: it is Doubtful;
                                           with v2 every transaction has its own, and it is
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from .data import DOUBTFUL, FENCED, OUTPUT, Committed, Outcome, Work
from .kafka import Broker, Stamp
from .wire import FencedError, Refused, Steps, Timeout, patiently, until_answered

ATTEMPTS = 4


class KafkaSession:
    """Transactional id per task."""

    sends_generation = False
    v2 = False

    def __init__(self, broker: Broker, transactional_id: str) -> None:
        self.broker = broker
        self.id = transactional_id
        self.stamp: Stamp = (-1, -1)
        self.generation: int | None = None
        self.sequences: Counter[str] = Counter()

    def init(self, generation: int) -> Steps[None]:
        """R1: returns when the last transaction is decided and all its markers are written."""
        self.generation = generation if self.sends_generation else None
        self.start_epoch((yield from until_answered(self.broker.init_producer_id, self.id)))

    def start_epoch(self, stamp: Stamp) -> None:
        if stamp != self.stamp:
            self.stamp = stamp
            self.sequences.clear()

    def commit(self, work: Work) -> Steps[Outcome]:
        try:
            return (yield from self.transaction(work))
        except FencedError:
            return FENCED
        except (Timeout, Refused):
            return DOUBTFUL

    def transaction(self, work: Work) -> Steps[Outcome]:
        batches: dict[str, list[Any]] = {**work.changes}
        if work.outputs:
            batches[OUTPUT] = list(work.outputs)
        if not self.v2:
            yield from patiently(self.broker.add_partitions, self.id, self.stamp, tuple(batches))
        ends: dict[str, int] = {}
        for name, records in batches.items():
            base = yield from self.produce(name, tuple(records))
            ends[name] = base + len(records)
        if not self.v2:
            yield from patiently(self.broker.add_offsets, self.id, self.stamp)
        yield from self.commit_offsets(work)
        yield from self.end()
        return Committed(ends)

    def produce(self, name: str, records: tuple[Any, ...]) -> Steps[int]:
        """Within one epoch the sequence number makes it safe to ask again."""
        sequence = self.sequences[name]
        left = ATTEMPTS
        while True:
            try:
                base = yield from patiently(self.broker.produce, self.id, self.stamp, name, sequence, records)
                self.sequences[name] += len(records)
                return base
            except Timeout:
                left -= 1
                if not left:
                    raise

    def commit_offsets(self, work: Work) -> Steps[None]:
        """Never twice in one epoch: a late copy would put older offsets into the next transaction."""
        yield from patiently(self.broker.commit_offsets, self.id, self.stamp, dict(work.inputs), self.generation)

    def end(self) -> Steps[None]:
        """The point of no return."""
        self.start_epoch((yield from patiently(self.broker.end_transaction, self.id, self.stamp, True)))


class GenerationSession(KafkaSession):
    """KIP-447: transactional id per worker; the group's generation fences."""

    sends_generation = True


class V2Session(KafkaSession):
    """KIP-890 part 2: two round trips, and an epoch of its own for every transaction.

    So nothing of one transaction can touch the next, and what got no answer may be asked again, EndTxn too: it says
    what became of the first one. Fenced says nothing then, for the first one may have had its way.
    """

    v2 = True

    def commit_offsets(self, work: Work) -> Steps[None]:
        yield from self.again(super().commit_offsets, work)

    def end(self) -> Steps[None]:
        yield from self.again(super().end)

    def again(self, ask: Callable[..., Steps[None]], *args: Any) -> Steps[None]:
        for left in reversed(range(ATTEMPTS)):
            try:
                yield from ask(*args)
                return
            except Timeout:
                if not left:
                    raise
            except FencedError:
                if left < ATTEMPTS - 1:
                    raise Timeout from None
                raise
