"""The transactional session: what a worker sends for one commit.

In this order, each request asked again when the broker says "not now":

    AddPartitionsToTxn, AddOffsetsToTxn    (with v2 Produce and TxnOffsetCommit do it by themselves)
    Produce per partition                  asked again with the same sequence
    TxnOffsetCommit
    EndTxn(commit)                         a timeout is never asked again in the same epoch: it is Doubtful
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .data import DOUBTFUL, FENCED, OUTPUT, Committed, Outcome, Work
from .kafka import Broker
from .wire import FencedError, Refused, Steps, Timeout, patiently, until_answered

PRODUCE_ATTEMPTS = 4


class KafkaSession:
    """Transactional id per task."""

    sends_generation = False
    v2 = False

    def __init__(self, broker: Broker, transactional_id: str) -> None:
        self.broker = broker
        self.id = transactional_id
        self.epoch = -1
        self.generation: int | None = None
        self.sequences: Counter[str] = Counter()

    def init(self, generation: int) -> Steps[None]:
        """R1: returns when the last transaction is decided and all its markers are written."""
        self.generation = generation if self.sends_generation else None
        _, epoch = yield from until_answered(self.broker.init_producer_id, self.id)
        self.start_epoch(epoch)

    def start_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
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
            yield from patiently(self.broker.add_partitions, self.id, self.epoch, tuple(batches))
        ends: dict[str, int] = {}
        for name, records in batches.items():
            base = yield from self.produce(name, tuple(records))
            ends[name] = base + len(records)
        if not self.v2:
            yield from patiently(self.broker.add_offsets, self.id, self.epoch)
        yield from patiently(self.broker.commit_offsets, self.id, self.epoch, dict(work.inputs), self.generation)
        yield from self.end()
        return Committed(ends)

    def produce(self, name: str, records: tuple[Any, ...]) -> Steps[int]:
        """Within one epoch the sequence number makes it safe to ask again."""
        sequence = self.sequences[name]
        left = PRODUCE_ATTEMPTS
        while True:
            try:
                base = yield from patiently(self.broker.produce, self.id, self.epoch, name, sequence, records)
                self.sequences[name] += len(records)
                return base
            except Timeout:
                left -= 1
                if not left:
                    raise

    def end(self) -> Steps[None]:
        """The point of no return."""
        self.start_epoch((yield from patiently(self.broker.end_transaction, self.id, self.epoch, True)))


class GenerationSession(KafkaSession):
    """KIP-447: transactional id per worker; the group's generation fences."""

    sends_generation = True


class V2Session(KafkaSession):
    """KIP-890 part 2: two round trips, and an epoch of its own for every transaction."""

    v2 = True
