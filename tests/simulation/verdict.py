"""Was it right? Everything is read back from the log and compared with what the inputs imply."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streamflow.log.embedded import EmbeddedLog
from streamflow.record import TopicPartition
from streamflow.state.keys import META_KEY

from ..checkers import Seen, differs, fold, pass_through, running_count, table_join, unique_ids, window_counts
from .disk import Image, image
from .process import Process
from .script import NUMBER, PARTITIONS, REPARTITION, RETENTION, STORES, TEXT, WINDOW, WINDOWED, changelog, joined, toggle

if TYPE_CHECKING:
    from streamflow.state.spec import StoreSpec

_SEGMENT = 8
_START = 8


@dataclass
class Verdict:
    """What was wrong, and a trace by which two runs can be told apart."""

    violations: list[str] = field(default_factory=list[str])
    trace: Any = None


Raw = list[tuple[int, bytes, bytes | None, int]]


async def judge(
    log: EmbeddedLog,
    processes: Sequence[Process],
    images: Sequence[Image],
    glimpses: Sequence[tuple[TopicPartition, list[Any]]],
    *,
    exact: bool = True,
    only_stores: bool = False,
) -> Verdict:
    """``only_stores``: in the midst of a run, only that stores are prefixes of their changelogs."""
    from .world import read_all

    changelogs = {
        (changelog(spec.name), partition): await read_all(log, TopicPartition(changelog(spec.name), partition))
        for spec in STORES
        for partition in range(PARTITIONS)
    }
    verdict = Verdict(store_violations(changelogs, images))
    if only_stores:
        return verdict
    for process in processes:
        held = [image(directory) for directory in process.disk.directories.values()]
        verdict.violations += store_violations(changelogs, held if exact else [])
    remaindered: list[Seen] = []
    orders_of: dict[int, list[Seen]] = {}
    source_of: dict[int, int] = {}
    for partition in range(PARTITIONS):

        async def seen(topic: str, key: Any = TEXT, at: int = partition) -> list[Seen]:
            raw: Raw = await read_all(log, TopicPartition(topic, at))
            return [Seen(key.deserialize(k), NUMBER.deserialize(v), time) for _, k, v, time in raw]

        orders = orders_of[partition] = await seen("orders")
        source_of.update((order.value, partition) for order in orders)
        profiles = fold((record.key, record.value) for record in await seen("profiles"))
        passed, counted = await seen("passed"), await seen("counted")
        repartitioned, regrouped = await seen(REPARTITION), await seen("regrouped")
        remaindered += repartitioned
        windows = [(w.key.key, w.key.start, w.value) for w in await seen("windowed", WINDOWED)]
        expected = window_counts(orders, WINDOW)
        verdict.violations += [
            *pass_through(orders, passed, f"passed/{partition}"),
            *differs(f"passed/{partition}", [r.value for r in passed], [r.value for r in orders]),
            *running_count(orders, counted, f"counted/{partition}"),
            *unique_ids(
                [order.value for order in orders],
                [(a.value, (b.key, b.value)) for a, b in zip(passed, counted, strict=False)],
                f"ids/{partition}",
            ),
            *differs(f"joined/{partition}", await seen("joined"), table_join(orders, profiles, joined)),
            *differs(f"windowed/{partition}", windows, expected),
            *running_count(repartitioned, regrouped, f"regrouped/{partition}"),
        ]
        states = {
            "counts": fold((r.key, r.value) for r in counted),
            "profiles": profiles,
            "toggles": _toggles(orders),
            "windows": fold(((key, start), count) for key, start, count in expected),
            "remainders": fold((r.key, r.value) for r in regrouped),
        }
        for spec in STORES:
            verdict.violations += differs(
                f"changelog of {spec.name}/{partition}",
                _state(spec, changelogs[changelog(spec.name), partition]),
                states[spec.name],
            )
    by_source = [Seen(source_of.get(record.value), record.value) for record in remaindered]
    wanted = [Seen(partition, order.value) for partition, orders in orders_of.items() for order in orders]
    # Two tasks write to each repartition partition; only what comes from one task through one partition is in order.
    verdict.violations += pass_through(
        sorted(wanted, key=lambda r: (r.key, r.value)), sorted(by_source, key=lambda r: (r.key or 0, r.value)), REPARTITION
    )
    for at, glimpsed in glimpses:
        now = await read_all(log, at)
        verdict.violations += differs(f"a reader's view of {at.topic}/{at.partition}", now[: len(glimpsed)], glimpsed)
    verdict.trace = changelogs
    return verdict


def _toggles(orders: Sequence[Seen]) -> dict[str, int]:
    state: dict[str, int] = {}
    for order in orders:
        row = toggle(state.get(order.key, 0), order.value)
        if row is None:
            state.pop(order.key, None)
        else:
            state[order.key] = row
    return state


def _state(spec: StoreSpec, raw: Raw) -> dict[Any, Any]:
    """What a changelog stands for, decoded."""
    found: dict[Any, Any] = {}
    for key, row in fold(_rows(spec, raw)).items():
        value = NUMBER.deserialize(row[8:])
        if spec.kind == "window":
            start = struct.unpack(">q", key[-_START:])[0]
            found[TEXT.deserialize(key[:-_START]), start] = value
        else:
            found[TEXT.deserialize(key)] = value
    return found


def _rows(spec: StoreSpec, raw: Raw) -> list[tuple[bytes, bytes | None]]:
    """Changelog records as rows: key bytes, and timestamp with value bytes."""
    if spec.kind == "window":
        return [(key, value) for _, key, value, _ in raw if key != META_KEY]
    return [
        (key, None if value is None else struct.pack(">q", time) + value)
        for _, key, value, time in raw
        if key != META_KEY
    ]


# --- stores


def store_violations(changelogs: dict[tuple[str, int], Raw], images: Sequence[Image]) -> list[str]:
    """Every base that was ever written is its changelog up to its position (C6)."""
    by_changelog: dict[tuple[str, int], list[Image]] = {}
    for one in images:
        by_changelog.setdefault(one.changelog, []).append(one)
    specs = {changelog(spec.name): spec for spec in STORES}
    for where, mine in by_changelog.items():
        spec, raw = specs[where[0]], changelogs[where]
        rows: dict[bytes, bytes] = {}
        done = 0
        for one in sorted(mine, key=lambda one: one.meta.position):
            upto = done
            while upto < len(raw) and raw[upto][0] < one.meta.position:
                upto += 1
            rows = fold(_rows(spec, raw[done:upto]), rows)
            done = upto
            later = _rows(spec, [r for r in raw[done:] if r[0] < (one.meta.flushing_to or 0)])
            if problem := _compare(spec, one, rows, later):
                return [f"store {one.store}/{where[1]} at position {one.meta.position}: {problem}"]
    return []


def _compare(spec: StoreSpec, one: Image, rows: dict[bytes, bytes], later: list[tuple[bytes, bytes | None]]) -> str:
    held, floor = one.rows, -1
    if spec.kind == "window":
        # On disk: segment, key, a zero byte, start (state/keys.py). No key here has a zero byte to be escaped.
        held = {key[_SEGMENT : -_START - 1] + key[-_START:]: row for key, row in held.items()}
        floor = max((_start(key) for key in rows), default=0) - RETENTION + 1
    for key in held.keys() | rows.keys():
        have, want = held.get(key), rows.get(key)
        if have == want or (key, have) in later:
            continue
        if have is None and spec.kind == "window" and _start(key) < floor:
            continue  # expired
        return f"row {key!r} is {have!r}, its changelog says {want!r}"
    return ""


def _start(key: bytes) -> int:
    return int(struct.unpack(">q", key[-_START:])[0])
