"""What a window store of duplicates remembers is what lies in its layers, whatever has happened."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamflow.serdes import int64, string
from streamflow.state.duplicates import DuplicatesHandle, Remembered
from streamflow.state.layers import rollback
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import Meta
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store

SPEC = StoreSpec("kept", "window", string, int64, timestamped=False, retention_ms=200_000, duplicates=True)


def opened(base: MemoryBase, undo: list[Any] | None = None, most: int = 100_000) -> Store:
    store = Store(SPEC, base, undo=undo)
    store._remembered = Remembered(store._layers, store._horizon, store._starts.segment_ms, most)
    return store


def handle(store: Store) -> DuplicatesHandle[str, int]:
    found = store.handle(key_raw=False, value_raw=False)
    assert isinstance(found, DuplicatesHandle)
    return found


def committed(store: Store, position: int) -> None:
    store.commit(Meta(app_id="x", changelog="x-kept-changelog", partition=0, position=position))


def test_rows_of_one_key_come_by_start_then_in_the_order_in_which_they_came() -> None:
    rows = handle(opened(MemoryBase()))
    assert rows.between(b"k", 0, 10) == []
    for start, value in ((5, 1), (3, 2), (5, 3), (9, 4)):
        assert rows.put("k", value, start)
    rows.put("kk", 7, 5)

    assert [(start, value) for start, _, (value, _) in rows.between(b"k", 3, 5)] == [(3, 2), (5, 1), (5, 3)]


def test_a_row_is_deleted_by_its_sequence_number() -> None:
    store = opened(MemoryBase())
    rows = handle(store)
    first, second = rows.add(b"k", 5, 1, 5), rows.add(b"k", 5, 2, 5)
    committed(store, 1)
    rows.remove(b"k", 5, first)
    committed(store, 2)
    store.flush(0)

    again = handle(opened(store._layers.base))  # type: ignore[arg-type]
    for found in (rows, again):
        assert [(start, seq, value) for start, seq, (value, _) in found.between(b"k", 0, 9)] == [(5, second, 2)]


@pytest.mark.parametrize("most", [100_000, 20, 0])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_remembered_agrees_with_a_plain_list(seed: int, most: int) -> None:
    rng = random.Random(seed)
    print(f"seed {seed}")
    base, undo = MemoryBase(), list[Any]()
    store = opened(base, undo, most)
    rows, truth, saved = handle(store), list[tuple[str, int, int, int]](), list[tuple[str, int, int, int]]()
    now = position = 0
    for _ in range(400):
        keys = ["a", "b", "\x00", "a\x00", ""]
        match rng.choice(["put"] * 6 + ["ask"] * 4 + ["remove", "commit", "flush", "undo", "crash"]):
            case "put" | "undo" as what:
                key, start = rng.choice(keys), max(0, now + rng.randint(-150_000, 30_000))
                before = now
                now = max(now, start)
                sequence = rows.add(key.encode(), start, start, start)
                if what == "undo":
                    rollback(undo)
                    now = before
                elif start > now - 200_000:
                    truth.append((key, start, sequence, start))
                undo.clear()
            case "remove" if truth:
                gone = truth.pop(rng.randrange(len(truth)))
                rows.remove(gone[0].encode(), gone[1], gone[2])
                if rng.random() < 0.3:
                    rollback(undo)
                    truth.append(gone)
                undo.clear()
            case "commit":
                position += 1
                committed(store, position)
                saved = list(truth)
            case "flush":
                store.flush(0)
            case "crash":
                store.drop()
                truth, now = list(saved), store.observed if store.observed >= 0 else 0
            case _:
                key, first = rng.choice(keys), rng.randint(-10, now + 10)
                last = first + rng.randint(0, 100_000)
                found = [(start, seq, value) for start, seq, (value, _) in rows.between(key.encode(), first, last)]
                floor = store.observed - 200_000 + 1
                wanted = sorted((s, q, v) for k, s, q, v in truth if k == key and max(first, floor) <= s <= last)
                assert found == wanted


def test_too_many_rows_are_read_from_the_layers_until_they_have_expired() -> None:
    store = opened(MemoryBase(), most=10)
    rows, remembered = handle(store), store._remembered
    rows.between(b"k", 0, 1)
    for start in range(1, 30):
        rows.add(b"k", start, start, start)
    assert not remembered.whole and len(rows.between(b"k", 0, 100)) == 29

    rows.add(b"k", 300_000, 1, 300_000)
    assert len(rows.between(b"k", 0, 300_000)) == 1 and remembered.whole
