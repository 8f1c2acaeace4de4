"""What must be true of a run, computed from its inputs alone and in plain Python.

Every checker takes records as they lie in the log and gives a list of
violations, empty when all is well. They know nothing of streamflow's state,
operators or runtime, so a mistake there cannot excuse itself.

    C1  pass_through    every input once, in order per key
    C2  running_count   per key 1, 2, 3, ... and the last is the number of inputs
    C3  unique_ids      one id per value, one value per id
    C4  window_counts   counts per key and window, lateness and grace included
    C5  table_join      each stream value with the row its key had
    C6  fold            what a changelog stands for, to be compared with stores
    C7  sessions        sessions as they grow and merge, and each once when it is final
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """One record of a log, decoded as far as its checker needs."""

    key: Any
    value: Any
    timestamp: int = 0


def pass_through(inputs: Sequence[Seen], outputs: Sequence[Seen], what: str = "pass-through") -> list[str]:
    """C1. Values tell the records apart; both sides in the order of one partition."""
    expected: dict[Any, list[Any]] = defaultdict(list)
    found: dict[Any, list[Any]] = defaultdict(list)
    for record in inputs:
        expected[record.key].append(record.value)
    for record in outputs:
        found[record.key].append(record.value)
    if expected == found:
        return []
    times = Counter(record.value for record in outputs)
    wanted = Counter(record.value for record in inputs)
    problems = []
    if lost := [value for value in wanted if times[value] < wanted[value]]:
        problems.append(f"{what}: lost {_some(lost)}")
    if doubled := [value for value in times if times[value] > wanted[value]]:
        problems.append(f"{what}: too often {_some(doubled)}")
    return problems or [f"{what}: out of order"]


def running_count(inputs: Sequence[Seen], outputs: Sequence[Seen], what: str = "running count") -> list[str]:
    """C2."""
    problems: list[str] = []
    last: Counter[Any] = Counter()
    for record in outputs:
        last[record.key] += 1
        if record.value != last[record.key]:
            problems.append(f"{what}: {record.key!r} counts {record.value}, {last[record.key]} was next")
            break
    wanted = Counter(record.key for record in inputs)
    if wrong := [key for key in wanted | last if wanted[key] != last[key]]:
        problems.append(f"{what}: wrong at the end for {_some(wrong)}")
    return problems


def unique_ids(inputs: Iterable[Any], assigned: Iterable[tuple[Any, Any]], what: str = "ids") -> list[str]:
    """C3. ``assigned`` are (value, id) pairs, any number of times."""
    id_of: dict[Any, Any] = {}
    value_of: dict[Any, Any] = {}
    for value, id in assigned:
        if id_of.setdefault(value, id) != id or value_of.setdefault(id, value) != value:
            return [
                f"{what}: {value!r} got id {id}, but {value!r} has {id_of[value]} and {id} is {value_of.get(id)!r}'s"
            ]
    missing = set(inputs) - id_of.keys()
    return [f"{what}: no id for {_some(missing)}"] if missing else []


class Windowing(NamedTuple):
    """A tumbling window, milliseconds."""

    size: int
    grace: int


def window_counts(inputs: Sequence[Seen], window: Windowing) -> list[tuple[Any, int, int]]:
    """C4. What a windowed count of one partition emits, in order: (key, window start, count)."""
    now = -1
    counts: Counter[tuple[Any, int]] = Counter()
    emitted: list[tuple[Any, int, int]] = []
    for key, _, timestamp in inputs:
        now = max(now, timestamp)
        start = timestamp - timestamp % window.size
        if start + window.size > now - window.grace:
            counts[key, start] += 1
            emitted.append((key, start, counts[key, start]))
    return emitted


class Gap(NamedTuple):
    """A session window, milliseconds."""

    gap: int
    grace: int


Spell = tuple[Any, int, int]
"""Key, start and end of a session, both its own."""


def sessions(inputs: Sequence[Seen], gap: Gap) -> tuple[list[tuple[Spell, int | None]], list[tuple[Spell, int]]]:
    """C7. What a count by sessions of one partition says, in order, with None for a session that went into another one;
    and the last of each, when no record can join it any more, by end, key and start."""
    now = -1
    open_: dict[Spell, int] = {}
    said: list[tuple[Spell, int | None]] = []
    final: list[tuple[Spell, int]] = []
    for key, _, timestamp in inputs:
        now = max(now, timestamp)
        near = [s for s in open_ if s[0] == key and s[1] - gap.gap <= timestamp <= s[2] + gap.gap]
        start, end = min([timestamp, *(s[1] for s in near)]), max([timestamp, *(s[2] for s in near)])
        if end < now - gap.gap - gap.grace:
            continue
        count = 1 + sum(open_.pop(s) for s in near)
        said += [(s, None) for s in sorted(near, key=lambda s: (s[2], s[1])) if s != (key, start, end)]
        said.append(((key, start, end), count))
        open_[key, start, end] = count
        over = [s for s in open_ if s[2] < now - gap.gap - gap.grace]
        final += [(s, open_.pop(s)) for s in sorted(over, key=lambda s: (s[2], s[0], s[1]))]
    return said, final


def table_join(inputs: Sequence[Seen], table: Mapping[Any, Any], f: Any) -> list[Seen]:
    """C5. What a left join gives with a table that no longer changes."""
    return [Seen(record.key, f(record.value, table.get(record.key)), record.timestamp) for record in inputs]


def fold(changes: Iterable[tuple[Any, Any]], onto: Mapping[Any, Any] | None = None) -> dict[Any, Any]:
    """C6. The last value of each key; None deletes."""
    state = dict(onto or {})
    for key, value in changes:
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return state


def differs(what: str, found: Any, expected: Any) -> list[str]:
    """One line that shows the first difference of two lists or mappings."""
    if found == expected:
        return []
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        keys = sorted(found.keys() | expected.keys(), key=repr)
        wrong = [(key, found.get(key), expected.get(key)) for key in keys if found.get(key) != expected.get(key)]
        return [f"{what}: {key!r} is {have!r}, not {wanted!r}" for key, have, wanted in wrong[:1]]
    for place, (have, wanted) in enumerate(zip(found, expected, strict=False)):
        if have != wanted:
            return [f"{what}: number {place} is {have!r}, not {wanted!r}"]
    return [f"{what}: {len(found)} instead of {len(expected)}"]


def _some(things: Iterable[Any]) -> str:
    listed = sorted(things, key=repr)
    return ", ".join(map(repr, listed[:3])) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
