"""Stores against plain dicts, in any order of words, commits, flushes, drops, roll-backs and crashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.state import store as module
from streamflow.state.budget import Budget
from streamflow.state.contract import Base
from streamflow.state.keys import RESERVED
from streamflow.state.layers import rollback
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import Meta
from streamflow.state.rocksdb import RocksBase
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store

AWKWARD = [
    b"",
    b"\x00",
    b"\x00\x00",
    b"\xff",
    b"\xff\xff",
    b"a",
    b"a\x00",
    b"aa",
    b"ab",
    b"a\xff",
    b"b",
    RESERVED,
    RESERVED + b"m",
]
KEYS = st.one_of(st.sampled_from(AWKWARD), st.binary(max_size=3))
VALUES = st.one_of(st.none(), st.binary(max_size=3))
PACE = ["commit", "freeze", "flush", "flush some", "drop", "crash", "mark", "rollback"]
BUDGET = Budget(8 * 1024 * 1024)
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows make a flush of several batches, and a crash finds it half done."""
    monkeypatch.setattr(module, "BATCH_ROWS", 2)


class Run:
    """A store, its changelog, and what every step of the store's life does to both."""

    def __init__(self, spec: StoreSpec, base: Base, meta: Callable[..., Meta], logged: Any) -> None:
        self.spec, self.base, self.meta, self.logged = spec, base, meta, logged
        self.log: list[Any] = []
        self.waiting: list[Any] | None = None
        self.undo: list[Any] = []
        self.open()

    def open(self) -> None:
        self.undo.clear()
        self.store = Store(self.spec, self.base, undo=self.undo)
        self.handle: Any = self.store.handle(key_raw=True, value_raw=False)
        self.view: Any = self.store.view(key_raw=True)

    def freeze(self) -> None:
        self.store.freeze()
        self.waiting = self.store.changes()
        self.undo.clear()

    def commit(self) -> None:
        self.log += self.store.changes() if self.waiting is None else self.waiting
        self.waiting = None
        self.store.commit(self.meta(len(self.log)))
        self.undo.clear()

    def drop(self) -> None:
        self.waiting = None
        self.store.drop()
        self.undo.clear()

    def crash(self) -> None:
        """A new store over the same base, restored in two parts from the position it reflects."""
        self.waiting = None
        self.open()
        begin = self.store.position
        half = (begin + len(self.log)) // 2
        for first, last in ((begin, half), (half, len(self.log))):
            self.store.restore([self.logged(*record[:3]) for record in self.log[first:last]], last)


def _base(kind: str, path: Path) -> Base:
    if kind == "memory":
        return MemoryBase()
    number = sum(1 for _ in path.iterdir())
    return RocksBase(path / str(number), BUDGET)


@pytest.mark.parametrize("kind", ["memory", "rocksdb"])
@pytest.mark.parametrize("immutable", [True, False])
@RELAXED
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), KEYS, VALUES, st.integers(0, 9)),
            st.tuples(st.just("range"), st.none() | KEYS, st.none() | KEYS, st.booleans()),
            st.tuples(st.just("prefix"), KEYS, st.booleans()),
            st.tuples(st.just("get"), KEYS),
            st.tuples(st.sampled_from(PACE)),
        ),
        max_size=40,
    )
)
def test_a_key_value_store_is_a_sorted_dict(
    kind: str, immutable: bool, steps: list[Any], tmp_path: Path, meta: Callable[..., Meta], logged: Any, serdes: Any
) -> None:
    value = serdes.raw if immutable else type(serdes.raw)(serdes.raw.serialize, serdes.raw.deserialize, "copied", False)
    base = _base(kind, tmp_path)
    run = Run(StoreSpec("counts", "key_value", serdes.raw, value), base, meta, logged)
    now: dict[bytes, tuple[bytes, int]] = {}
    frozen: dict[bytes, tuple[bytes, int]] | None = None
    committed: dict[bytes, tuple[bytes, int]] = {}
    marked: dict[bytes, tuple[bytes, int]] = {}
    try:
        for step in steps:
            match step:
                case ("put", key, data, timestamp):
                    run.handle.put_pair(key, data, timestamp)
                    now = {k: v for k, v in now.items() if k != key} | (
                        {} if data is None else {key: (data, timestamp)}
                    )
                case ("range", low, high, reverse):
                    wanted = [
                        pair
                        for pair in sorted(now.items(), reverse=reverse)
                        if (low is None or low <= pair[0]) and (high is None or pair[0] <= high)
                    ]
                    assert list(run.handle.range(low, high, reverse, with_timestamps=True)) == wanted
                case ("prefix", prefix, reverse):
                    wanted = [pair for pair in sorted(now.items(), reverse=reverse) if pair[0].startswith(prefix)]
                    assert list(run.handle.prefix(prefix, reverse, with_timestamps=True)) == wanted
                case ("get", key):
                    assert run.handle.get_pair(key) == now.get(key)
                case ("freeze",) if frozen is None:
                    run.freeze()
                    frozen, marked = now, now
                case ("commit",):
                    run.commit()
                    committed, frozen, marked = (now if frozen is None else frozen), None, now
                case ("flush",):
                    run.store.flush(0)
                case ("flush some",):
                    run.store.flush_some(0)
                case ("drop",):
                    run.drop()
                    now, frozen, marked = committed, None, committed
                case ("crash",):
                    run.crash()
                    now, frozen, marked = committed, None, committed
                case ("mark",):
                    run.undo.clear()
                    marked = now
                case ("rollback",):
                    rollback(run.undo)
                    now = marked
            assert list(run.view.all(with_timestamps=True)) == sorted(committed.items())
        assert list(run.handle.all(with_timestamps=True)) == sorted(now.items())
        assert list(run.handle.all(reverse=True, with_timestamps=True)) == sorted(now.items(), reverse=True)
        for key in AWKWARD:
            assert run.handle.get_pair(key) == now.get(key)
            assert run.view.get_pair(key) == committed.get(key)
    finally:
        base.close()


Windows = dict[tuple[bytes, int], list[bytes]]


@pytest.mark.parametrize("kind", ["memory", "rocksdb"])
@pytest.mark.parametrize("duplicates", [True, False])
@RELAXED
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), KEYS, VALUES, st.integers(0, 300_000)),
            st.tuples(st.just("put"), KEYS, VALUES, st.sampled_from([0, 1, 59_999, 60_000, 119_999, 120_000, 180_000])),
            st.tuples(st.just("fetch"), KEYS, st.integers(0, 300_000), st.integers(0, 300_000), st.booleans()),
            st.tuples(st.just("range"), KEYS, KEYS, st.integers(0, 300_000), st.integers(0, 300_000), st.booleans()),
            st.tuples(st.sampled_from(PACE)),
        ),
        max_size=40,
    )
)
def test_a_window_store_is_a_dict_of_windows_that_expire(
    kind: str, duplicates: bool, steps: list[Any], tmp_path: Path, meta: Callable[..., Meta], logged: Any, serdes: Any
) -> None:
    base = _base(kind, tmp_path)
    spec = StoreSpec(
        "counts", "window", serdes.raw, serdes.raw, retention_ms=120_000, window_ms=10, duplicates=duplicates
    )
    run = Run(spec, base, meta, logged)
    blank: tuple[Windows, int] = ({}, -1)
    now, committed, marked = blank, blank, blank
    frozen: tuple[Windows, int] | None = None

    def seen(state: tuple[Windows, int], low: Any, high: Any, first: int, last: int, reverse: bool) -> list[Any]:
        """What is visible: by segment, then by key, then by start, duplicates in the order they came."""
        rows, observed = state
        found = [
            ((start // 60_000, key, start, number), (key, start, start + 10), value)
            for (key, start), values in rows.items()
            for number, value in enumerate(values)
            if first <= start <= last and start > observed - 120_000
            if (low is None or low <= key) and (high is None or key <= high)
        ]
        return [row[1:] for row in sorted(found, reverse=reverse)]

    try:
        for step in steps:
            match step:
                case ("put", key, data, start):
                    rows, observed = now
                    if not (duplicates and data is None):
                        observed = max(observed, start)
                    kept = start > observed - 120_000
                    assert run.handle.put(key, data, start) is (kept or (duplicates and data is None))
                    if kept:
                        before = rows.get((key, start), [])
                        after = [] if data is None else [data]
                        rows = rows | {(key, start): before + after if duplicates else after}
                    now = (rows, observed)
                case ("fetch", key, first, last, reverse):
                    wanted = [(w[1], value) for w, value in seen(now, key, key, first, last, reverse)]
                    assert list(run.handle.fetch(key, first, last, reverse)) == wanted
                    if not duplicates:
                        alone = dict(seen(now, key, key, first, first, False)).get((key, first, first + 10))
                        assert run.handle.fetch(key, first) == alone
                case ("range", low, high, first, last, reverse):
                    wanted = seen(now, low, high, first, last, reverse)
                    assert list(run.handle.fetch_range(low, high, first, last, reverse)) == wanted
                case ("freeze",) if frozen is None:
                    run.freeze()
                    frozen, marked = now, now
                case ("commit",):
                    run.commit()
                    committed, frozen, marked = (now if frozen is None else frozen), None, now
                case ("flush",):
                    run.store.flush(0)
                case ("flush some",):
                    run.store.flush_some(0)
                case ("drop",):
                    run.drop()
                    now, frozen, marked = committed, None, committed
                case ("crash",):
                    run.crash()
                    now, frozen, marked = committed, None, committed
                case ("mark",):
                    run.undo.clear()
                    marked = now
                case ("rollback",):
                    rollback(run.undo)
                    now = marked
            assert list(run.view.all()) == seen(committed, None, None, 0, 10**9, False)
            assert run.store.observed == now[1]
        assert list(run.handle.all()) == seen(now, None, None, 0, 10**9, False)
        assert list(run.handle.all(reverse=True)) == seen(now, None, None, 0, 10**9, True)
    finally:
        base.close()
