"""Random joins of two streams over disordered, late and null input give what their plain definition gives.

The records of both sides come through one topic, so that their order is the same when a crash makes them come again;
commits, crashes, lost stores and time jumps fall anywhere.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from pytest import MonkeyPatch

from streamflow import App
from streamflow.operators import waiting
from streamflow.state import duplicates
from streamflow.testing import TopologyTestDriver

KEYS = ["a", "b", "\x00", "a\x00", "e\u0301"]
WORDS = {"inner": "join", "left": "left_join", "outer": "outer_join"}

Row = tuple[Any, Any, int]


@dataclass(frozen=True)
class Event:
    """A record of one side, and what befalls the worker after it."""

    side: str
    key: str | None
    null: bool
    at: int
    then: str = ""


@dataclass(frozen=True)
class Bounds:
    before: int
    after: int
    grace: int


@dataclass
class Kept:
    """A record that was kept: whether it waits to come out unmatched, and whether it has."""

    number: int
    key: str
    at: int
    waits: bool = False
    gone: bool = False


def defined(events: list[tuple[int, Event]], kind: str, bounds: Bounds) -> tuple[list[Row], int]:
    """The rows of a join, and how many records it drops."""
    kept: dict[str, list[Kept]] = {"left": [], "right": []}
    alone = {"left": kind != "inner", "right": kind == "outer"}
    patience = {"left": bounds.after + bounds.grace, "right": bounds.before + bounds.grace}
    now, dropped = -1, 0
    out: list[Row] = []

    def by_itself(side: str, key: str | None, number: int, at: int) -> None:
        out.append((key, f"{number}+None" if side == "left" else f"None+{number}", at))

    for number, event in events:
        side, other = event.side, "right" if event.side == "left" else "left"
        if event.null or (event.key is None and not alone[side]):
            dropped += 1
            continue
        if event.key is None:
            by_itself(side, None, number, event.at)
            continue
        if event.at > now:
            now = event.at
            ripe = [(r.at, s, r.key.encode(), r.number, r) for s in kept for r in kept[s] if r.waits]
            for at, its, key, n, row in sorted(ripe, key=lambda r: (r[0], r[1] == "left", *r[2:4])):
                if at + patience[its] < now:
                    row.waits, row.gone = False, True
                    by_itself(its, key.decode(), n, at)
        elif event.at + max(bounds.before, bounds.after) + bounds.grace < now:
            dropped += 1
            continue
        met = False
        for row in sorted(kept[other], key=lambda r: r.at):
            left, right = (event.at, row.at) if side == "left" else (row.at, event.at)
            if row.key == event.key and not row.gone and left - bounds.before <= right <= left + bounds.after:
                met, row.waits = True, False
                pair = (number, row.number) if side == "left" else (row.number, number)
                out.append((event.key, f"{pair[0]}+{pair[1]}", max(left, right)))
        mine = Kept(number, event.key, event.at, waits=alone[side] and not met)
        if mine.waits and event.at + patience[side] < now:
            mine.waits, mine.gone = False, True
            by_itself(side, event.key, number, event.at)
        kept[side].append(mine)
    return out, dropped


def declared(kind: str, bounds: Bounds) -> App:
    app = App("random")
    source = app.stream("input", key=str, value=str)

    def side(letter: str) -> Any:
        mine = source.filter(lambda text: text.startswith(letter))
        return mine.map_values(lambda text: int(text[1:]) if text[1:] else None, value=int)

    left, right = side("l"), side("r")
    within = f"{bounds.before}ms", f"{bounds.after}ms"
    joined = getattr(left, WORDS[kind])(
        right, lambda one, two: f"{one}+{two}", within=within, grace=f"{bounds.grace}ms", value=str, name="joined"
    )
    joined.to("output")
    return app


def partition_of(key: str | None, partitions: int) -> int:
    return 0 if key is None else KEYS.index(key) % partitions


def run(app: App, events: list[Event], partitions: int, commit: Any) -> tuple[list[Row], int]:
    """What the product gives."""
    with TopologyTestDriver(app, partitions=partitions, commit=commit) as driver:
        source = driver.input_topic("input")
        for number, event in enumerate(events):
            text = event.side[0] + ("" if event.null else str(number))
            source.pipe(event.key, text, timestamp=event.at, partition=partition_of(event.key, partitions))
            if event.then == "commit":
                driver.commit()
            elif event.then:
                if event.then == "lose":
                    driver._bases.clear()
                driver.crash()
        driver.commit()
        rows = [(r.key, r.value, r.timestamp) for r in driver.output_topic("output").read_records()]
        return rows, driver.dropped_records


bounds = st.tuples(st.integers(-30, 60), st.integers(0, 90), st.integers(0, 60)).map(
    lambda drawn: Bounds(drawn[0], drawn[1] - drawn[0], drawn[2])
)
times = st.one_of(st.integers(0, 150), st.integers(0, 600), st.sampled_from([10_000, 10_050, 10_100, 10**12]))
events = st.lists(
    st.builds(
        Event,
        st.sampled_from(["left", "right"]),
        st.sampled_from([*KEYS, "a", "a", "b", None]),
        st.sampled_from([False] * 9 + [True]),
        times,
        st.sampled_from([""] * 6 + ["commit", "crash", "lose"]),
    ),
    max_size=40,
)
thorough = settings(
    max_examples=250,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@thorough
@given(
    events, bounds, st.sampled_from(list(WORDS)), st.sampled_from([1, 3]), st.sampled_from(["every_record", "manual"]),
    st.sampled_from([100_000, 3, 0]),
)  # fmt: skip
def test_a_join_of_streams_is_what_its_plain_definition_says(
    monkeypatch: MonkeyPatch, events: list[Event], bounds: Bounds, kind: str, partitions: int, commit: str, most: int
) -> None:
    monkeypatch.setattr(duplicates, "MOST_REMEMBERED", most)
    monkeypatch.setattr(waiting, "MOST_REMEMBERED", most)
    expected: dict[Any, list[Row]] = defaultdict(list)
    everything: list[Row] = []
    dropped = 0
    for partition in range(partitions):
        mine = [(n, e) for n, e in enumerate(events) if partition_of(e.key, partitions) == partition]
        rows, lost = defined(mine, kind, bounds)
        everything, dropped = everything + rows, dropped + lost
        for row in rows:
            expected[row[0]].append(row)
    note(f"{kind}, {bounds}, expected {everything}")

    found, counted = run(declared(kind, bounds), events, partitions, commit)

    if partitions == 1:
        assert found == everything
    by_key: dict[Any, list[Row]] = defaultdict(list)
    for row in found:
        by_key[row[0]].append(row)
    assert by_key == expected
    if not any(event.then in ("crash", "lose") for event in events):
        assert counted == dropped


@thorough
@given(events, bounds, st.sampled_from(["left", "outer"]))
def test_every_record_comes_out_alone_once_or_in_pairs_or_is_dropped(
    events: list[Event], bounds: Bounds, kind: str
) -> None:
    last = Event("left", "a", False, 10**13)
    rows, _ = run(declared(kind, bounds), [*events, last], 1, "every_record")
    paired = {int(n) for _, pair, _ in rows for n in pair.split("+") if "None" not in pair}
    alone = [int(pair.replace("None", "").strip("+")) for _, pair, _ in rows if "None" in pair]

    assert len(alone) == len(set(alone)), "a row came out alone twice"
    assert not paired & set(alone), "a row came out alone and in a pair"
