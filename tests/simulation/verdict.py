"""Was it right? Everything is read back from the log and compared with what the inputs imply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow.log.embedded import EmbeddedLog
from streamflow.record import Windowed

from ..checkers import Seen, differs, fold, pass_through, running_count, sessions, table_join, unique_ids, window_counts
from ..differential.definitions import Fold, StreamStream, Table, TableJoin
from . import stores
from .disk import Image
from .reading import Raw, read_all
from .script import (
    AFTER,
    BEFORE,
    GAP,
    GRACE,
    NUMBER,
    PARTITIONS,
    REPARTITION,
    SESSION,
    STORES,
    TEXT,
    TICK,
    WINDOW,
    WINDOWED,
    changelog,
    either,
    joined,
    named,
    third,
    toggle,
)


@dataclass
class Evidence:
    """What was seen during a run.

    ``images`` are stores as they were, ``glimpses`` partitions as a reader saw them. In a ``compacted`` log no
    earlier state of a changelog is left to compare with.
    """

    images: list[Image] = field(default_factory=list[Image])
    glimpses: list[tuple[str, int, list[Raw]]] = field(default_factory=list[tuple[str, int, list[Raw]]])
    compacted: bool = False


async def judge(log: EmbeddedLog, evidence: Evidence) -> list[str]:
    """All violations of a run that is over."""
    changelogs = await read_changelogs(log)
    found = stores.violations(changelogs, evidence.images, only_whole=evidence.compacted)
    orders = [await _seen(log, "orders", partition) for partition in range(PARTITIONS)]
    for partition in range(PARTITIONS):
        found += await _partition_violations(log, partition, orders[partition], changelogs)
    repartitioned = [r for partition in range(PARTITIONS) for r in await _seen(log, REPARTITION, partition)]
    found += _repartition_violations(orders, repartitioned)
    for topic, partition, glimpsed in evidence.glimpses:
        now = await read_all(log, topic, partition)
        found += differs(f"a reader's view of {topic}/{partition}", now[: len(glimpsed)], glimpsed)
    return found


async def judge_stores(log: EmbeddedLog, evidence: Evidence) -> list[str]:
    """In the midst of a run: only that stores are prefixes of their changelogs."""
    return stores.violations(await read_changelogs(log), evidence.images, only_whole=evidence.compacted)


async def read_changelogs(log: EmbeddedLog) -> stores.Changelogs:
    return {
        (changelog(spec.name), partition): await read_all(log, changelog(spec.name), partition)
        for spec in STORES
        for partition in range(PARTITIONS)
    }


async def _seen(log: EmbeddedLog, topic: str, partition: int, key: Any = TEXT) -> list[Seen]:
    raw = await read_all(log, topic, partition)
    return [Seen(key.deserialize(r.key), NUMBER.deserialize(r.value), r.timestamp) for r in raw]


async def _partition_violations(
    log: EmbeddedLog, partition: int, orders: Sequence[Seen], changelogs: stores.Changelogs
) -> list[str]:
    """One partition of everything."""
    profiles = fold((record.key, record.value) for record in await _seen(log, "profiles", partition))
    passed, counted = await _seen(log, "passed", partition), await _seen(log, "counted", partition)
    repartitioned, regrouped = await _seen(log, REPARTITION, partition), await _seen(log, "regrouped", partition)
    windowed = [(w.key.key, w.key.start, w.value) for w in await _seen(log, "windowed", partition, WINDOWED)]
    windows = window_counts(orders, WINDOW)
    sessioned = [(tuple(s.key), s.value) for s in await _seen(log, "sessioned", partition, SESSION)]
    final = [(tuple(s.key), s.value) for s in await _seen(log, "final", partition, SESSION)]
    grown, over = sessions(orders, GAP)
    uids = [order.value for order in orders]
    ids = [(a.value, (b.key, b.value)) for a, b in zip(passed, counted, strict=False)]
    expected = {
        "counts": fold((r.key, r.value) for r in counted),
        "profiles": profiles,
        "toggles": _toggles(orders),
        "windows": fold(((key, start), count) for key, start, count in windows),
        "sessions": fold(grown),
        "waiting": {
            Windowed(*session): (session[2], None, count, ())
            for session, count in fold(grown).items()
            if session not in dict(over)
        },
        "remainders": fold((r.key, r.value) for r in regrouped),
    }
    found = [
        *pass_through(orders, passed, f"passed/{partition}"),
        *differs(f"passed/{partition}", [record.value for record in passed], uids),
        *running_count(orders, counted, f"counted/{partition}"),
        *unique_ids(uids, ids, f"ids/{partition}"),
        *differs(f"joined/{partition}", await _seen(log, "joined", partition), table_join(orders, profiles, joined)),
        *differs(f"windowed/{partition}", windowed, windows),
        *differs(f"sessioned/{partition}", sessioned, grown),
        *differs(f"final/{partition}", final, over),
        *running_count(repartitioned, regrouped, f"regrouped/{partition}"),
    ]
    found += await _join_violations(log, partition, orders)
    for spec in (spec for spec in STORES if spec.name in expected):
        state = stores.state_of(spec, changelogs[changelog(spec.name), partition])
        found += differs(f"changelog of {spec.name}/{partition}", state, expected[spec.name])
    return found


async def _join_violations(log: EmbeddedLog, partition: int, orders: Sequence[Seen]) -> list[str]:
    """The joins, by their definitions, and the processor."""
    meeting = StreamStream(either, "left", BEFORE, AFTER, GRACE)
    toggles, both = Fold(toggle, 0), TableJoin(either, "outer")
    profiles = Table()
    both.sides = [toggles, profiles]
    met: list[Seen] = []
    told: list[Seen] = []
    for record in await _seen(log, "profiles", partition):
        for change in profiles.take(0, record):
            told += (_said(row) for row in both.take(1, change))
    for order in orders:
        if third(order.value):
            met += (Seen(*row) for row in meeting.take(1, order))
        met += (Seen(*row) for row in meeting.take(0, order))
        for change in toggles.take(0, order):
            told += (_said(row) for row in both.take(0, change))
    everywhere = fold([(r.key, r.value) for p in range(PARTITIONS) for r in await _seen(log, "profiles", p)])
    foreign = {key: either(value, everywhere.get(named(value))) for key, (value, _) in toggles.rows.items()}
    task = f"remainder-repartition_{partition}"
    ticked = [record for p in range(PARTITIONS) for record in await _seen(log, "ticked", p) if record.key == task]
    return [
        *differs(f"met/{partition}", await _seen(log, "met", partition), met),
        *differs(f"both/{partition}", await _seen(log, "both", partition), told),
        *differs(
            f"foreign/{partition}", fold((r.key, r.value) for r in await _seen(log, "foreign", partition)), foreign
        ),
        *differs(f"ticked/{partition}", ticked, _ticks(task, await _seen(log, REPARTITION, partition))),
    ]


def _said(change: tuple[Any, ...]) -> Seen:
    key, new, _, at = change
    return Seen(key, new, at)


def _ticks(task: str, records: Sequence[Seen]) -> list[Seen]:
    """With the first record, and with each that reaches another multiple of the interval: how many there were."""
    now, due = -1, 0
    said: list[Seen] = []
    for count, record in enumerate(records, 1):
        now = max(now, record.timestamp)
        if now >= due:
            said.append(Seen(task, count, now))
            due = (now // TICK + 1) * TICK
    return said


def _repartition_violations(orders: Sequence[Sequence[Seen]], repartitioned: Sequence[Seen]) -> list[str]:
    """Every order once. Two tasks write to each partition, so there is no order between them."""
    source = {order.value: partition for partition, some in enumerate(orders) for order in some}
    wanted = [Seen(partition, order.value) for partition, some in enumerate(orders) for order in some]
    found = [Seen(source.get(record.value, -1), record.value) for record in repartitioned]
    return pass_through(sorted(wanted), sorted(found), REPARTITION)


def _toggles(orders: Sequence[Seen]) -> dict[str, int]:
    state: dict[str, int] = {}
    for order in orders:
        row = toggle(state.get(order.key, 0), order.value)
        if row is None:
            state.pop(order.key, None)
        else:
            state[order.key] = row
    return state
