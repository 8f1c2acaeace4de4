"""The commit, on one page.

    1  prepare    what every due task produced becomes batches: outputs in order, then per store the last
                  value of each changed key, then one meta record with the positions of all inputs
    2  log        all tasks of the worker in one call, each with its own outcome
    3  settle     Committed: the overlay becomes part of the committed layer, with its changelog position
                  anything else: nothing of it is kept, and recovery finds out what the log holds

The log is written first. If we die between 2 and 3 the store on disk is an older committed prefix, and the
changelog replays the difference. The other way round the store would hold what the log may never show.

Nothing of a task is processed between 1 and 3.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from streamflow.clock import Clock
from streamflow.log.batch import encode
from streamflow.log.contract import Commit, Committed, Doubtful, Log, Outcome, Session
from streamflow.record import TopicPartition
from streamflow.runtime.task import Task
from streamflow.state.changelog import meta_record
from streamflow.state.meta import Meta

logger = logging.getLogger("streamflow.worker")


@dataclass
class Ledger:
    """What a task knows of its own history: its session, its last committed meta record and input positions.

    ``keeper`` is the store whose changelog carries the meta record, None for a task without logged stores.
    ``incarnations`` tells one life of each store's changelog from the next, ``fingerprint`` what its stores keep now.
    """

    session: Session
    meta: Meta | None
    keeper: str | None
    incarnations: Mapping[str, str]
    committed: dict[TopicPartition, int]
    fingerprint: str = ""


@dataclass(frozen=True)
class Round:
    """One task's part of a commit, prepared and not yet decided."""

    task: Task
    ledger: Ledger
    commit: Commit
    meta: Meta | None
    at: int


def prepare(task: Task, ledger: Ledger, clock: Clock) -> Round | None:
    """Step 1. None when nothing moved since the last commit, or the task has failed or was dropped.

    What such a task did is gone while its positions stand where it came to: committing them would lose records.
    """
    if task.over:
        return None
    task.services.commit_wanted = False
    offsets = task.positions()
    if offsets == ledger.committed and not len(task.outbox) and not any(s.dirty for s in task.stores.values()):
        return None
    task.let_go()
    batches = task.outbox.batches()
    meta = _next_meta(task, ledger, ledger.meta, clock) if ledger.meta is not None else None
    for name, changelog in task.sub.changelogs.items():
        changes = task.stores[name].changes()
        if meta is not None and name == ledger.keeper:
            changes.append(meta_record(meta))
        if changes:
            batches[TopicPartition(changelog, task.partition)] = encode(changes)
    commit = Commit(ledger.session, batches, offsets, meta.commit_seq if meta else 0, meta.commit_id if meta else b"")
    return Round(task, ledger, commit, meta, clock.now_ms())


def settle(done: Round, outcome: Outcome) -> None:
    """Step 3 for one task. What is not `Committed` leaves nothing behind; the caller runs recovery or closes."""
    task = done.task
    if not isinstance(outcome, Committed):
        task.forget()
        return
    for name, store in task.stores.items():
        changelog = task.sub.changelogs.get(name)
        if name in task.sub.reused:
            store.commit(_of_topic(done, name, store.position))
        elif done.meta is None or changelog is None:  # it has no changelog: it only moves on with the others
            store.commit(store.meta or Meta(app_id="", store=name, changelog="", partition=task.partition))
        else:
            store.commit(
                msgspec.structs.replace(
                    done.meta,
                    store=name,
                    changelog=changelog,
                    incarnation=done.ledger.incarnations[name],
                    position=outcome.ends.get(TopicPartition(changelog, task.partition), store.position),
                )
            )
    task.outbox.settle()
    done.ledger.meta = done.meta
    done.ledger.committed = dict(done.commit.offsets)


def _of_topic(done: Round, store: str, before: int) -> Meta:
    """Of a table that its own topic serves as changelog: it stands where the task has come to in that topic."""
    task, topic = done.task, done.task.sub.reused[store]
    blank = Meta(app_id="", store=store, changelog=topic, partition=task.partition, written_at=done.at)
    return msgspec.structs.replace(
        done.meta or blank,
        store=store,
        changelog=topic,
        incarnation=done.ledger.incarnations.get(store, ""),
        fingerprint=done.ledger.fingerprint,
        position=done.commit.offsets.get(TopicPartition(topic, task.partition), before),
    )


async def commit_all(rounds: Sequence[Round], log: Log) -> list[Outcome]:
    """Steps 2 and 3 for all tasks of a worker that are due."""
    outcomes: list[Outcome]
    try:
        outcomes = await log.commit([each.commit for each in rounds])
    except Exception as error:  # a log that raises has told us nothing
        outcomes = [Doubtful(f"{type(error).__name__}: {error}") for _ in rounds]
    for each, outcome in zip(rounds, outcomes, strict=True):
        settle(each, outcome)
    if in_doubt := [(each, o) for each, o in zip(rounds, outcomes, strict=True) if isinstance(o, Doubtful)]:
        names = ", ".join(each.task.name for each, _ in in_doubt)  # what befell one befell most of them
        logger.warning("the outcome of a commit is unknown (%s); recovering %s", in_doubt[0][1].reason, names)
    return outcomes


def _next_meta(task: Task, ledger: Ledger, meta: Meta, clock: Clock) -> Meta:
    return msgspec.structs.replace(
        meta,
        commit_seq=meta.commit_seq + 1,
        commit_id=secrets.token_bytes(8),
        inputs=nested(task.positions()),
        stream_times=task.stream_times(),
        written_at=clock.now_ms(),
        fingerprint=ledger.fingerprint,
    )


def nested(positions: Mapping[TopicPartition, int]) -> dict[str, dict[int, int]]:
    """Positions as a meta record writes them: topic, then partition.

    >>> nested({TopicPartition("a", 0): 7})
    {'a': {0: 7}}
    """
    found: dict[str, dict[int, int]] = {}
    for (topic, partition), offset in positions.items():
        found.setdefault(topic, {})[partition] = offset
    return found


def flat(inputs: Mapping[str, Mapping[int, int]]) -> dict[TopicPartition, int]:
    """The inverse of `nested`.

    >>> flat({"a": {0: 7}})
    {TopicPartition(topic='a', partition=0): 7}
    """
    return {TopicPartition(topic, p): offset for topic, parts in inputs.items() for p, offset in parts.items()}
