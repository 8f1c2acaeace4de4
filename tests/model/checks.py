"""What must hold, computed from the inputs alone."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from .data import CHANGELOGS, COUNTS, FILTERED, INPUTS, META, OUTPUT, TOGGLED, TOGGLES, Change, Output
from .disk import Content


class Truth(Protocol):
    """What the log holds in the end."""

    def everything_committed(self, name: str) -> list[Any]: ...

    def prefix(self, changelog: str, start: int, stop: int) -> list[Change]: ...


def fold(changes: list[Change], onto: dict[str, Any] | None = None) -> dict[str, Any]:
    """The state a changelog stands for; meta records and marks left out."""
    state = dict(onto or {})
    for key, value in changes:
        if key == META:
            continue
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return state


def output_violations(log: Truth, inputs: dict[str, list[tuple[str, int]]]) -> list[str]:
    """Every input once, in order per input, with the right count and toggle per key."""
    found: list[str] = []
    outputs: list[Output] = log.everything_committed(OUTPUT)
    for source in INPUTS:
        expected = [uid for key, uid in inputs[source] if key != FILTERED]
        seen = [output.uid for output in outputs if output.source == source]
        if seen != expected:
            times = Counter(seen)
            found += ["lost output"] if any(not times[uid] for uid in expected) else []
            found += ["duplicate output"] if any(n > 1 for n in times.values()) else []
            found += [] if found else ["reordered output"]
    counts: Counter[str] = Counter()
    for output in outputs:
        counts[output.key] += 1
        if output.total != counts[output.key]:
            found.append("wrong count in output")
            break
        if output.toggle is not None and output.toggle != (output.total % 2 == 0):
            found.append("wrong toggle in output")
            break
    return found


def state_violations(log: Truth, inputs: dict[str, list[tuple[str, int]]]) -> list[str]:
    """The changelogs stand for what the inputs imply."""
    counts = Counter(key for records in inputs.values() for key, _ in records if key != FILTERED)
    held = {key for key in TOGGLED if counts[key] % 2}
    found: list[str] = []
    if fold(log.everything_committed(COUNTS)) != dict(counts):
        found.append("wrong counts in the changelog")
    if fold(log.everything_committed(TOGGLES)).keys() != held:
        found.append("wrong toggles in the changelog")
    return found


class Snapshots:
    """Every state a base was ever written to, and every committed view, to be compared with the changelog."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, Content]] = []

    def watch(self, changelog: str, content: Content) -> None:
        self._seen.append((changelog, content))

    def violations(self, log: Truth) -> list[str]:
        """Each one is the fold of the changelog up to its position; then all are forgotten."""
        seen, self._seen = self._seen, []
        for changelog in CHANGELOGS:
            state: dict[str, Any] = {}
            at = 0
            mine = [content for name, content in seen if name == changelog]
            for content in sorted(mine, key=lambda content: content.position):
                state = fold(log.prefix(changelog, at, content.position), state)
                at = content.position
                if not holds(log, changelog, content, state):
                    return ["a store is no committed changelog prefix"]
        return []


def holds(log: Truth, changelog: str, content: Content, state: dict[str, Any]) -> bool:
    """A base on its way to ``flushing_to`` may hold, for each key, any value the key has from its position on."""
    if content.flushing_to is None:
        return content.data == state
    later = log.prefix(changelog, content.position, content.flushing_to)
    return all(
        content.data.get(key) == state.get(key) or (key, content.data.get(key)) in later
        for key in content.data.keys() | state.keys()
    )
