"""Transactions: who may commit for a task, what a commit writes, and the ids of past commits.

Epochs sit in owner rows, one a task. A commit compares its session's epoch in
the same SQL transaction that appends its batches, so there is no moment between
the check and the write. The tasks of a worker share one transaction; each is
checked before anything of it is written, so a fenced one is left out without a
trace and its neighbours go on.

The ids of commits lie 64 to a row of the table ``commits``, found by number:

    id     owner id << 40 | commit_seq // 64
    data   0  last written, ms    int64       8  crc32 of the rest and the id   uint32
           12 entries: commit_seq % 64 (1 byte), length (1 byte), the id; of two for one number the later holds

This table is under no seal. A row that is lost makes a commit unknown, and the
store that asks is rebuilt; that none is known which is not in the log rests on
``last`` in the owner's row.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from streamflow.errors import LogCorrupt, LogError
from streamflow.log.batch import HEADER, check
from streamflow.log.contract import Commit, Committed, Fenced, Outcome, Rejected
from streamflow.log.embedded import batches, catalog
from streamflow.log.embedded.batches import stamped
from streamflow.log.embedded.control import LOG, OFFSET, OWNER, PARTITION, TOPIC, Change, OffsetRow, OwnerRow, View
from streamflow.record import TopicPartition

KEPT_MS = 86_400_000
_PER_ROW = 64
_SEQ_BITS = 40
_ROW = struct.Struct(">qI")
_MOST_ID_BYTES = 255
_LONG = 4096
_IDS = "SELECT id, data FROM commits WHERE id >= ? AND id < ? ORDER BY id"

Batches = Mapping[TopicPartition, Sequence[bytes]]
Places = dict[TopicPartition, tuple[int, int]]
"""First offset, and the position after the last record."""


@dataclass
class Intent:
    """A commit as it goes to the thread that writes; ``flaw`` is found there, before the lock is asked for."""

    commit: Commit
    group: str
    epoch: int
    flaw: Rejected | None = None


def init(change: Change, group: str, task: str) -> int:
    """Raise the epoch of a task. Every commit of an earlier one is refused from here on."""
    owner = change.get(OWNER, task, group)
    if owner is None:
        log = change.need(LOG)
        owner = OwnerRow(log.next_owner, 0)
        log.next_owner += 1
        change.put(LOG, log)
    owner.epoch += 1
    change.put(OWNER, owner, task, group)
    return owner.epoch


def inspect(intents: Sequence[Intent]) -> None:
    """Look at every batch before anybody is kept waiting."""
    for intent in intents:
        for at, added in intent.commit.batches.items():
            if (reason := flaw(at, added)) is not None:
                intent.flaw = Rejected(reason, at)
                break
        seq, id = intent.commit.commit_seq, intent.commit.commit_id
        if not 0 <= seq < 1 << _SEQ_BITS or len(id) > _MOST_ID_BYTES:
            intent.flaw = Rejected(f"commit_seq {seq} or a commit_id of {len(id)} bytes is too large")


def flaw(at: TopicPartition, added: Sequence[bytes]) -> str | None:
    """Why these batches would never be taken, or None."""
    for batch in added:
        try:
            head = check(batch, f"partition {at.partition} of {at.topic!r}")
        except LogCorrupt as error:
            return str(error)
        if len(batch) <= HEADER or head.base_offset or head.records != head.last_offset_delta + 1:
            return f"a record batch for {at.topic!r} has no records, or offsets that do not count from 0"
    return None


def apply(change: Change, intents: Sequence[Intent], now: int) -> list[Outcome]:
    """All commits that may be, in order; each with its outcome."""
    return [intent.flaw or refusal(change, intent) or _write(change, intent, now) for intent in intents]


def refusal(change: View, intent: Intent) -> Fenced | Rejected | None:
    """Why this commit cannot be, or None; nothing is written yet."""
    task = intent.commit.session.task
    owner = change.get(OWNER, task, intent.group)
    if owner is None or owner.epoch != intent.epoch:
        newest = owner.epoch if owner is not None else 0
        return Fenced(
            f"task {task!r} was taken over by another worker (epoch {newest}, ours was {intent.epoch}); "
            "nothing was committed"
        )
    for at in intent.commit.offsets:
        if catalog.find(change, at) is None:
            return Rejected(f"partition {at.partition} of {at.topic!r}, an input of task {task!r}, does not exist", at)
    for at, added in intent.commit.batches.items():
        if (reason := too_large(change, at, added)) is not None:
            return Rejected(reason, at)
    return None


def too_large(view: View, at: TopicPartition, added: Sequence[bytes]) -> str | None:
    """Why a partition would not take these batches, or None."""
    if catalog.find(view, at) is None:
        return f"partition {at.partition} of {at.topic!r} does not exist"
    most = catalog.Policy.of(at.topic, view.need(TOPIC, at.topic).config).max_batch_bytes
    for batch in added:
        if len(batch) > most:
            return f"a record batch of {len(batch)} bytes is too large for {at.topic!r} (max.message.bytes is {most})"
    return None


def append_checked(change: Change, added: Batches, now: int) -> Places:
    """As `append`, refusing what the topics do not take: `UnknownTopic`, `LogError`."""
    for at, some in added.items():
        catalog.partition(change, at)
        if (reason := too_large(change, at, some)) is not None:
            raise LogError(reason)
    return append(change, added, now)


def append(change: Change, added: Batches, now: int) -> Places:
    """Put batches at the ends of partitions: the first offset and the end of each."""
    places: Places = {}
    for at, some in added.items():
        id, row = catalog.partition(change, at)
        if catalog.Policy.of(at.topic, change.need(TOPIC, at.topic).config).append_time:
            some = [stamped(batch, now) for batch in some]
        first = row.end
        batches.append(change, id, row, some, now)
        change.put(PARTITION, row, str(id))
        places[at] = first, row.end
    return places


def commit_id(view: View, group: str, task: str, seq: int) -> bytes | None:
    """The id kept with a commit, or None."""
    owner = view.get(OWNER, task, group)
    if owner is None or seq > owner.last:
        return None
    return _entries(_body(view, owner.id << _SEQ_BITS | seq // _PER_ROW)).get(seq % _PER_ROW)


def last_commit(view: View, group: str, task: str) -> tuple[int, bytes] | None:
    """The task's newest commit that has an id."""
    owner = view.get(OWNER, task, group)
    known = None if owner is None else commit_id(view, group, task, owner.last)
    return None if owner is None or known is None else (owner.last, known)


def stale_ids(view: View, now: int) -> list[int]:
    """Rows of commit ids that nobody can ask for any more, the oldest of each task."""
    old: list[int] = []
    for _, _, owner in view.scan(OWNER):
        low = owner.id << _SEQ_BITS
        for id, data in view.execute(_IDS, (low, low + (1 << _SEQ_BITS))):
            if _ROW.unpack_from(data)[0] >= now - KEPT_MS:
                break
            old.append(id)
    return old


def forget_ids(change: Change, rows: Sequence[int]) -> None:
    """Remove rows of commit ids."""
    change.executemany("DELETE FROM commits WHERE id = ?", [(id,) for id in rows])


def _write(change: Change, intent: Intent, now: int) -> Committed:
    commit = intent.commit
    places = append(change, commit.batches, now)
    for at, offset in commit.offsets.items():
        change.put(OFFSET, OffsetRow(offset), catalog.place(at), intent.group)
    if commit.commit_id:
        owner = change.need(OWNER, commit.session.task, intent.group)
        owner.last = commit.commit_seq
        change.put(OWNER, owner, commit.session.task, intent.group)
        _keep_id(change, owner.id, commit.commit_seq, commit.commit_id, now)
    return Committed({at: end for at, (_, end) in places.items()})


def _keep_id(change: Change, owner: int, seq: int, id: bytes, now: int) -> None:
    at = owner << _SEQ_BITS | seq // _PER_ROW
    body = _body(change, at)
    if len(body) > _LONG:  # numbers that come again and again, each time with another id
        body = b"".join(bytes((slot, len(one))) + one for slot, one in _entries(body).items())
    body += bytes((seq % _PER_ROW, len(id))) + id
    total = crc32(b"%d" % at + struct.pack(">q", now) + body)
    change.execute("INSERT OR REPLACE INTO commits VALUES (?, ?)", (at, _ROW.pack(now, total) + body))


def _body(view: View, at: int) -> bytes:
    found = view.execute("SELECT data FROM commits WHERE id = ?", (at,)).fetchone()
    if found is None:
        return b""
    data: bytes = found[0]
    if crc32(b"%d" % at + data[:8] + data[12:]) != _ROW.unpack_from(data)[1]:
        raise LogCorrupt(f"the checksum of row {at} of the commit ids is wrong")
    return data[12:]


def _entries(body: bytes) -> dict[int, bytes]:
    entries: dict[int, bytes] = {}
    place = 0
    while place < len(body):
        end = place + 2 + body[place + 1]
        entries[body[place]] = body[place + 2 : end]
        place = end
    return entries
