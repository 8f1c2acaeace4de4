"""Was it right? Everything is read back from the log and compared with what the inputs imply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow.log.embedded import EmbeddedLog

from ..checkers import Seen, differs, fold, pass_through, running_count, table_join, unique_ids, window_counts
from . import stores
from .disk import Image
from .reading import Raw, read_all
from .script import NUMBER, PARTITIONS, REPARTITION, STORES, TEXT, WINDOW, WINDOWED, changelog, joined, toggle


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
    uids = [order.value for order in orders]
    ids = [(a.value, (b.key, b.value)) for a, b in zip(passed, counted, strict=False)]
    expected = {
        "counts": fold((r.key, r.value) for r in counted),
        "profiles": profiles,
        "toggles": _toggles(orders),
        "windows": fold(((key, start), count) for key, start, count in windows),
        "remainders": fold((r.key, r.value) for r in regrouped),
    }
    found = [
        *pass_through(orders, passed, f"passed/{partition}"),
        *differs(f"passed/{partition}", [record.value for record in passed], uids),
        *running_count(orders, counted, f"counted/{partition}"),
        *unique_ids(uids, ids, f"ids/{partition}"),
        *differs(f"joined/{partition}", await _seen(log, "joined", partition), table_join(orders, profiles, joined)),
        *differs(f"windowed/{partition}", windowed, windows),
        *running_count(repartitioned, regrouped, f"regrouped/{partition}"),
    ]
    for spec in STORES:
        state = stores.state_of(spec, changelogs[changelog(spec.name), partition])
        found += differs(f"changelog of {spec.name}/{partition}", state, expected[spec.name])
    return found


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
