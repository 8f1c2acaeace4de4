"""Random topologies over random, disordered input give what a plain definition of their steps gives.

Each step has one short definition here that shares nothing with the product.
With one partition the whole output is compared, row by row; with several, the
rows of each key, because only those have an order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from streamflow import App, KStream, Windowed, hopping, tumbling
from streamflow.testing import TopologyTestDriver

Row = tuple[Any, Any, int]

KEYS = ["a", "b", "c", "dd", "\x00", "e\u0301"]
words = st.sampled_from(KEYS)
inputs = st.lists(
    st.tuples(st.one_of(st.none(), words), st.one_of(st.none(), st.integers(-50, 50)), st.integers(0, 400)), max_size=40
)
tables = st.lists(st.tuples(words, st.one_of(st.none(), st.integers(0, 9))), max_size=8)


@dataclass
class Chain:
    """Stateless steps, as streamflow's and as plain functions on a list of rows."""

    names: list[str] = field(default_factory=list[str])

    def declare(self, stream: KStream[Any, Any]) -> KStream[Any, Any]:
        for name in self.names:
            stream = STEPS[name][0](stream)
        return stream

    def apply(self, rows: list[Row]) -> list[Row]:
        for name in self.names:
            rows = [out for row in rows for out in STEPS[name][1](row)]
        return rows


def _value(value: int | None) -> int:
    return 0 if value is None else value


STEPS: dict[str, tuple[Callable[[KStream[Any, Any]], KStream[Any, Any]], Callable[[Row], list[Row]]]] = {
    "filter_even": (
        lambda s: s.filter(lambda v: _value(v) % 2 == 0),
        lambda r: [r] if _value(r[1]) % 2 == 0 else [],
    ),
    "filter_not_key_a": (
        lambda s: s.filter_not(lambda k, v: k == "a"),
        lambda r: [] if r[0] == "a" else [r],
    ),
    "plus_one": (
        lambda s: s.map_values(lambda v: _value(v) + 1, value=int),
        lambda r: [(r[0], _value(r[1]) + 1, r[2])],
    ),
    "key_and_value": (
        lambda s: s.map_values(lambda k, v: _value(v) + len(k or ""), value=int),
        lambda r: [(r[0], _value(r[1]) + len(r[0] or ""), r[2])],
    ),
    "twice": (
        lambda s: s.flat_map_values(lambda v: [_value(v), -_value(v)], value=int),
        lambda r: [(r[0], _value(r[1]), r[2]), (r[0], -_value(r[1]), r[2])],
    ),
    "swap": (
        lambda s: s.map(lambda k, v: ("even" if _value(v) % 2 == 0 else "odd", v), key=str, value=int),
        lambda r: [("even" if _value(r[1]) % 2 == 0 else "odd", r[1], r[2])],
    ),
    "double_key": (
        lambda s: s.select_key(lambda k, v: (k or "?") * 2, key=str),
        lambda r: [((r[0] or "?") * 2, r[1], r[2])],
    ),
}
chains = st.lists(st.sampled_from(sorted(STEPS)), max_size=4).map(Chain)


def counted(rows: list[Row]) -> list[Row]:
    """A running count per key; null keys and values are left out; the time never goes back."""
    totals: dict[Any, tuple[int, int]] = {}
    out: list[Row] = []
    for key, value, at in rows:
        if key is not None and value is not None:
            count, before = totals.get(key, (0, -1))
            totals[key] = (count + 1, max(before, at))
            out.append((key, *totals[key]))
    return out


def summed(rows: list[Row]) -> list[Row]:
    """A running sum per key."""
    totals: dict[Any, tuple[int, int]] = {}
    out: list[Row] = []
    for key, value, at in rows:
        if key is not None and value is not None:
            total, before = totals.get(key, (0, -1))
            totals[key] = (total + value, max(before, at))
            out.append((key, *totals[key]))
    return out


def windowed(rows: list[Row], size: int, advance: int, grace: int, final: bool) -> list[Row]:
    """Sums per key and window; a window takes records while its end lies after stream time less grace."""
    totals: dict[tuple[Any, int], tuple[int, int]] = {}
    emitted: set[tuple[Any, int]] = set()
    now = -1
    out: list[Row] = []
    for key, value, at in rows:
        if key is None or value is None:
            continue
        now = max(now, at)
        if final:
            closed = sorted(w for w in totals if w not in emitted and w[1] + size + grace <= now)
            for window in sorted(closed, key=lambda w: (w[1], w[0].encode())):
                emitted.add(window)
                out.append((Windowed(window[0], window[1], window[1] + size), *totals[window]))
        for start in range(0, at + 1, advance):
            if start <= at < start + size and start + size > now - grace:
                total, before = totals.get((key, start), (0, -1))
                totals[key, start] = (total + value, max(before, at))
                if not final:
                    out.append((Windowed(key, start, start + size), *totals[key, start]))
    return out


def joined(rows: list[Row], table: dict[str, int], left: bool) -> list[Row]:
    """Each row with its key's row of the table."""
    out: list[Row] = []
    for key, value, at in rows:
        row = table.get(key) if key is not None else None
        if value is not None and (row is not None or left):
            out.append((key, value * 10 + (row or 0), at))
    return out


def run(app: App, rows: list[Row], partitions: int, crashes: set[int], table: list[Any] | None = None) -> list[Row]:
    """What the product gives, with a crash after some of the records."""
    with TopologyTestDriver(app, partitions=partitions) as driver:
        if table is not None:
            driver.input_topic("table").pipe_many([(key, value, 0) for key, value in table])
        source = driver.input_topic("input")
        for n, (key, value, at) in enumerate(rows):
            source.pipe(key, value, timestamp=at)
            if n in crashes:
                driver.crash()
        return [(r.key, r.value, r.timestamp) for r in driver.output_topic("output").read_records()]


def same(found: list[Row], expected: list[Row], partitions: int) -> None:
    """Row by row, or key by key where there are several partitions."""
    if partitions == 1:
        assert found == expected
        return
    by_key: tuple[dict[Any, list[Row]], dict[Any, list[Row]]] = (defaultdict(list), defaultdict(list))
    for rows, grouped in zip((found, expected), by_key, strict=True):
        for row in rows:
            grouped[row[0]].append(row)
    assert by_key[0] == by_key[1]


thorough = settings(max_examples=120, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
crashes = st.sets(st.integers(0, 40), max_size=3)


@thorough
@given(chains, inputs, crashes)
def test_stateless_chains(chain: Chain, rows: list[Row], crash: set[int]) -> None:
    note(f"steps: {chain.names}")
    app = App("random")
    chain.declare(app.stream("input", key=str, value=int)).to("output", key=str, value=int)

    same(run(app, rows, 1, crash), chain.apply(rows), 1)


@thorough
@given(chains, inputs, crashes, st.sampled_from([1, 3]), st.booleans())
def test_counts_and_sums(chain: Chain, rows: list[Row], crash: set[int], partitions: int, count: bool) -> None:
    note(f"steps: {chain.names}")
    app = App("random")
    grouped = chain.declare(app.stream("input", key=str, value=int)).group_by_key()
    table = grouped.count(name="totals") if count else grouped.reduce(lambda a, b: a + b, name="totals")
    table.to_stream().to("output")

    # Several partitions: rows that change their key may overtake each other on the way, so only the last ones agree.
    expected = (counted if count else summed)(chain.apply(rows))
    found = run(app, rows, partitions, crash)
    if partitions == 1:
        same(found, expected, 1)
    else:
        assert {k: v for k, v, _ in found} == {k: v for k, v, _ in expected}


@thorough
@given(inputs, crashes, st.integers(1, 50), st.integers(1, 4), st.integers(0, 60), st.booleans())
def test_windows(rows: list[Row], crash: set[int], advance: int, times: int, grace: int, final: bool) -> None:
    size = advance * times
    app = App("random")
    window = (
        tumbling(f"{size}ms", grace=f"{grace}ms")
        if times == 1
        else hopping(f"{size}ms", f"{advance}ms", grace=f"{grace}ms")
    )
    grouped = app.stream("input", key=str, value=int).group_by_key().windowed_by(window)
    table = grouped.reduce(lambda a, b: a + b, name="windows", emit="on_close" if final else "on_update")
    table.to_stream().to("output")

    same(run(app, rows, 1, crash), windowed(rows, size, advance, grace, final), 1)


@thorough
@given(inputs, tables, crashes, st.sampled_from([1, 3]), st.booleans())
def test_joins(rows: list[Row], table: list[Any], crash: set[int], partitions: int, left: bool) -> None:
    app = App("random")
    right = app.table("table", key=str, value=int)
    stream = app.stream("input", key=str, value=int)

    def joiner(value: int, row: int | None) -> int:
        return value * 10 + (row or 0)

    (stream.left_join if left else stream.join)(right, joiner, value=int).to("output")

    content: dict[str, int] = {}
    for key, value in table:
        content.pop(key, None)
        if value is not None:
            content[key] = value
    expected = joined(rows, content, left)
    if not left:
        expected = [row for row in expected if row[0] is not None]
    same(run(app, rows, partitions, crash, table), expected, partitions)
