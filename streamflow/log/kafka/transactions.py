"""One transactional session a task: the right to commit, and what became of each commit.

    init      InitProducerId: fences older epochs, settles the last transaction
    commit    V2  Produce (adds its partitions) || TxnOffsetCommit (adds the group), then EndTxn
              V1  AddPartitionsToTxn, Produce || AddOffsetsToTxn -> TxnOffsetCommit, then EndTxn

Nothing of a commit is sent before it is complete, so a transaction lives for
milliseconds. V2 (KIP-890) is used where the cluster has finalised it: its EndTxn
answers the next epoch, so no late request of one transaction can touch another,
and a lost answer can be settled by asking again.

Four outcomes and no fifth. What is not known is `Doubtful`; a session that gave
anything but `Committed` takes no commit before its next `init`.

Source: KIP-98, KIP-447, KIP-890; Kafka's documentation, "Protocol".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)

from streamflow.errors import LogCorrupt, LogError, LogUnavailable, UnknownTopic
from streamflow.log.batch import check
from streamflow.log.contract import Commit, Committed, Doubtful, Fenced, Outcome, Rejected
from streamflow.log.kafka import codes, wire
from streamflow.log.kafka.client import Client, Kind, soon
from streamflow.log.kafka.producing import rounds, send
from streamflow.log.kafka.scatter import by_topic
from streamflow.log.kafka.stamp import Stamp, count, following, stamped
from streamflow.record import TopicPartition

logger = logging.getLogger("streamflow.kafka")

TIMEOUT_MS = 10_000  # after which the coordinator aborts a transaction by itself
LONGEST = 9.0  # seconds a commit may take: less than that
PATIENCE = 4.0  # seconds for one answer within it
INIT_LONGEST = 20.0  # seconds to settle the last transaction
_V2 = 2  # level of the feature transaction.version

GENERATION_WAIT = 2.0  # seconds for a new generation whose answer is on its way to us
_OTHER_GENERATION = frozenset({codes.ILLEGAL_GENERATION, codes.UNKNOWN_MEMBER_ID, codes.REBALANCE_IN_PROGRESS})


class Identified(Protocol):
    """Who commits, as the group's coordinator knows it."""

    def identity(self) -> tuple[str, int]:
        """Member id and generation as of now; ``("", -1)`` for one who is no member."""
        ...

    async def newer(self, than: tuple[str, int], timeout: float) -> tuple[str, int]:
        """The same, as soon as it is another one."""
        ...


class Nobody:
    """One who is no member of the group."""

    def identity(self) -> tuple[str, int]:
        return "", -1

    async def newer(self, than: tuple[str, int], timeout: float) -> tuple[str, int]:
        return than


class Over(Exception):
    """A commit has come to its outcome."""

    def __init__(self, outcome: Outcome, code: int = codes.OK) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.code = code


NOBODY = Nobody()


class Transactions:
    """The sessions of one client. ``speak_for`` says who this client is in a group, a second fence beside the epoch."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._members: dict[str, Identified] = {}

    def speak_for(self, group: str, member: Identified) -> None:
        """Commits of the group's tasks name this member and its generation."""
        self._members[group] = member

    def session(self, group: str, task: str) -> KafkaSession:
        """See `Log.session`."""
        return KafkaSession(self._client, group, task, lambda: self._members.get(group, NOBODY))

    async def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        """See `Log.commit`: all at the same time, for a commit is mostly waiting."""
        return list(await asyncio.gather(*(self._one(commit) for commit in commits)))

    async def _one(self, commit: Commit) -> Outcome:
        session = commit.session
        assert isinstance(session, KafkaSession)
        return await session.commit(commit.batches, commit.offsets)


class KafkaSession:
    """See `streamflow.log.contract.Session`."""

    def __init__(self, client: Client, group: str, task: str, member: Callable[[], Identified]) -> None:
        self.task = task
        self.id = f"{group}-{task}"
        self._client = client
        self._group = group
        self._member = member
        self._stamp = Stamp(-1, -1, True)
        self._sequences: dict[TopicPartition, int] = {}
        self._v2 = False
        self._closed: Outcome | None = Fenced(f"task {task}: its session has not begun")

    async def init(self) -> None:
        """See `Session.init`. Also reads anew whether the cluster has transactions V2."""
        self._closed = Doubtful(f"task {self.task}: its session did not begin")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + INIT_LONGEST
        attempt = 0
        while True:
            why: object
            try:
                node = await self._client.coordinator("transaction", self.id)
                features = await self._client.features(node)
                answer = await self._client.call(node, InitProducerIdRequest(self.id, TIMEOUT_MS))
                if answer.error_code == codes.OK:
                    break
                why = codes.named(answer.error_code)
                if answer.error_code in codes.NO_COORDINATOR:
                    self._client.forget_coordinator("transaction", self.id)
                elif answer.error_code in codes.REFUSED:
                    raise LogError(f"{self._client.name} refuses the transactional id {self.id!r}: {why}")
            except LogUnavailable as error:
                self._client.forget_coordinator("transaction", self.id)
                why = error
            if loop.time() > deadline:
                raise LogUnavailable(f"task {self.task}: its session cannot begin on {self._client.name}: {why}")
            await soon(attempt)
            attempt += 1
        self._stamp = Stamp(answer.producer_id, answer.producer_epoch, True)
        self._sequences = {}
        self._v2 = features.get("transaction.version", 0) >= _V2
        self._closed = None

    async def commit(
        self, batches: Mapping[TopicPartition, Sequence[bytes]], offsets: Mapping[TopicPartition, int]
    ) -> Outcome:
        """One transaction. Never raises for what a broker or the network does."""
        if self._closed is not None:
            return self._closed
        attempt = _Attempt(self, {tp: mine for tp, mine in batches.items() if mine}, offsets)
        self._closed = Doubtful(f"task {self.task}: to begin anew")  # also if nobody waits for the outcome
        outcome = await attempt.run()
        if isinstance(outcome, Committed):
            self._closed = None
        elif isinstance(outcome, Fenced):
            self._closed = outcome
        return outcome

    # --- what an attempt needs

    @property
    def stamp(self) -> Stamp:
        """Producer id and epoch of the transaction that is next."""
        return self._stamp

    def next_transaction(self, producer: int, epoch: int) -> None:
        """What V2's EndTxn answered."""
        if (producer, epoch) != (self._stamp.producer, self._stamp.epoch):
            self._stamp = Stamp(producer, epoch, True)
            self._sequences = {}


class _Attempt:
    """One commit on its way."""

    def __init__(
        self,
        session: KafkaSession,
        batches: Mapping[TopicPartition, Sequence[bytes]],
        offsets: Mapping[TopicPartition, int],
    ) -> None:
        self._session = session
        self._client = session._client
        self._batches = batches
        self._offsets = offsets
        self._task = session.task
        self._v2 = session._v2
        self._ends: dict[TopicPartition, int] = {}

    async def run(self) -> Outcome:
        if not self._batches and not self._offsets:
            return Committed({})
        try:
            async with asyncio.timeout(LONGEST):
                await self._check()
                await self._fill()
                await self._end()
        except Over as over:
            return over.outcome
        except (LogError, TimeoutError) as error:
            return Doubtful(f"task {self._task}: {str(error) or 'a commit took too long'}")
        return Committed(self._ends)

    async def _check(self) -> None:
        """What would be refused is found before anything is sent."""
        for tp, mine in self._batches.items():
            try:
                for batch in mine:
                    check(batch, f"{tp.topic!r} partition {tp.partition}")
                await self._client.leaders([tp])
            except (LogCorrupt, UnknownTopic) as error:
                raise Over(Rejected(str(error), tp)) from None

    async def _fill(self) -> None:
        """Put records and offsets into the transaction."""
        stamp, session = self._session.stamp, self._session
        if not self._v2 and self._batches:
            parts = [(topic, [tp.partition for tp in tps]) for topic, tps in by_topic(self._batches)]
            request = AddPartitionsToTxnRequest(session.id, stamp.producer, stamp.epoch, parts)
            await self._coordinated(
                request, lambda answer: [code for _, told in answer.errors for _, code in told], "adding partitions"
            )
        jobs = [asyncio.ensure_future(job) for job in (self._produce(), self._commit_offsets())]
        try:
            await asyncio.gather(*jobs)
        except BaseException:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            raise

    async def _produce(self) -> None:
        sequences = self._session._sequences
        for each in rounds(self._batches):
            ready = {tp: stamped(batch, self._session.stamp, sequences.get(tp, 0)) for tp, batch in each.items()}
            attempt = 0
            while ready:
                if attempt:
                    await soon(attempt - 3)  # the first repetitions wait for the markers of the last transaction
                attempt += 1
                try:
                    answers = await send(
                        self._client, ready, transactional_id=self._session.id, v2=self._v2, timeout=PATIENCE
                    )
                except LogUnavailable:
                    answers = {}
                moved = len(answers) < len(ready)
                for tp, answer in answers.items():
                    if answer.code == codes.OK:
                        del ready[tp]
                        records = count(each[tp])
                        self._ends[tp] = answer.offset + records
                        sequences[tp] = following(sequences.get(tp, 0), records)
                    elif answer.code in codes.FOR_NOW:
                        moved |= answer.code in codes.LEADER_MOVED
                    elif answer.code in codes.REFUSED:
                        await self._abort()
                        raise Over(Rejected(answer.message or codes.named(answer.code), tp))
                    else:
                        where = f"{tp.topic!r} partition {tp.partition}"
                        raise Over(self._unwelcome(answer.code, f"writing to {where}"))
                if ready and moved:
                    await self._client.refresh()

    async def _commit_offsets(self) -> None:
        if not self._offsets:
            return
        session, stamp = self._session, self._session.stamp
        if not self._v2:
            request = AddOffsetsToTxnRequest(session.id, stamp.producer, stamp.epoch, session._group)
            await self._coordinated(request, lambda answer: [answer.error_code], "adding the group")
        topics: list[Any] = [
            (topic, [(tp.partition, self._offsets[tp], -1, "", {}) for tp in tps], {})
            for topic, tps in by_topic(self._offsets)
        ]
        api = wire.TXN_OFFSET_COMMIT_V2 if self._v2 else wire.TXN_OFFSET_COMMIT
        while True:
            member, generation = identity = session._member().identity()
            call = api(session.id, session._group, stamp.producer, stamp.epoch, generation, member, None, topics, {})
            try:
                await self._coordinated(
                    call,
                    lambda answer: [code for _, told, _ in answer.topics for _, code, _ in told],
                    "committing offsets",
                    "group",
                    lost_is_doubt=not self._v2,
                )
                return
            except Over as over:
                if over.code != codes.ILLEGAL_GENERATION:
                    raise
                # A member, but the group has moved on to its next generation, with us in it: the answer that says so
                # is on its way. Nothing of this request was taken, so it is made again in the same transaction.
                if await session._member().newer(identity, GENERATION_WAIT) == identity:
                    raise

    async def _end(self) -> None:
        """The decision. Until it is sent nothing can be visible; once it is sent only its answer tells."""
        session, stamp = self._session, self._session.stamp
        if not self._v2:
            request = EndTxnRequest(session.id, stamp.producer, stamp.epoch, True)
            await self._coordinated(request, lambda answer: [answer.error_code], "committing", lost_is_doubt=True)
            return
        answer = await self._coordinated(
            wire.END_TXN_V2(session.id, stamp.producer, stamp.epoch, True, {}),
            lambda answer: [answer.error_code],
            "committing",
        )
        session.next_transaction(answer.producer, answer.epoch)

    async def _abort(self) -> None:
        """Best effort: what it does not reach, the next `init` does."""
        session, stamp = self._session, self._session.stamp
        request: Any = (
            wire.END_TXN_V2(session.id, stamp.producer, stamp.epoch, False, {})
            if self._v2
            else EndTxnRequest(session.id, stamp.producer, stamp.epoch, False)
        )
        try:
            await self._coordinated(request, lambda answer: [answer.error_code], "aborting")
        except (Over, LogError) as error:
            logger.debug("task %s: its transaction was not aborted: %s", self._task, error)

    async def _coordinated(
        self,
        request: Any,
        told: Callable[[Any], list[int]],
        what: str,
        kind: Kind = "transaction",
        *,
        lost_is_doubt: bool = False,
    ) -> Any:
        """Ask a coordinator until it gives an answer that decides; raises `Over` for one that is not OK.

        A request whose answer is lost is sent again, which is safe but for EndTxn and TxnOffsetCommit in V1: the next
        transaction has the same epoch there, and a late copy might decide it, or set its offsets back.
        """
        key = self._session.id if kind == "transaction" else self._session._group
        attempt = lost = 0
        while True:
            wrong: set[int]
            try:
                node = await self._client.coordinator(kind, key)
            except LogUnavailable:  # looking it up decides nothing
                await soon(attempt)
                attempt += 1
                continue
            try:
                answer = await self._client.call(node, request, PATIENCE)
                wrong = {code for code in told(answer) if code != codes.OK}
                if not wrong:
                    return answer
            except LogUnavailable as error:
                self._client.forget_coordinator(kind, key)
                if lost_is_doubt:
                    raise Over(Doubtful(f"task {self._task}: {what}: {error}")) from None
                lost += 1
                wrong = {codes.COORDINATOR_NOT_AVAILABLE}
            if wrong & codes.NO_COORDINATOR:
                self._client.forget_coordinator(kind, key)
            if not wrong <= codes.FOR_NOW:
                code = min(wrong - codes.FOR_NOW)
                if code in codes.REFUSED:
                    if what != "aborting":
                        await self._abort()
                    raise Over(Rejected(f"{what}: {codes.named(code)}"))
                raise Over(self._unwelcome(code, what, in_doubt=lost > 0 and what == "committing"), code)
            await soon(attempt - 3)
            attempt += 1

    def _unwelcome(self, code: int, what: str, *, in_doubt: bool = False) -> Outcome:
        """A code that ends the attempt. In doubt: an earlier copy of the request may have had its way."""
        reason = f"task {self._task}: {what}: {codes.named(code)}"
        if in_doubt or code not in (codes.FENCED | _OTHER_GENERATION):
            return Doubtful(reason)
        return Fenced(reason)
