"""`WindowHandle.fold_pair` is a get and a put in one, whatever form the rows have."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamflow.serdes import Serde, int64, string
from streamflow.state.memory import MemoryBase
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store

in_bytes: Serde[Any] = Serde(
    lambda n: b"%d" % n, lambda data: int(data or b"0"), "digits"
)  # kept as bytes: it may change


def add(key: str, total: int | None, value: int) -> int:
    return value if total is None else total + value


@pytest.mark.parametrize("undo", [False, True], ids=["", "undoable"])
@pytest.mark.parametrize("value", [int64, in_bytes], ids=["objects", "bytes"])
def test_folding_a_pair_is_a_get_and_a_put(value: Serde[Any], undo: bool) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    spec = StoreSpec("totals", "window", string, value, retention_ms=300_000, window_ms=60_000)
    stores = [Store(spec, MemoryBase(), undo=[] if undo else None) for _ in range(2)]
    folded, plain = (store.handle(key_raw=False, value_raw=False) for store in stores)
    for _ in range(500):
        key, start = chance.choice(["a", "b\x00", ""]), 60_000 * chance.randrange(12)
        number, time = chance.randrange(100), chance.randrange(1000)
        found: Any = plain.get_pair(key, start)
        wanted = (add(key, None, number), time) if found is None else (found[0] + number, max(found[1], time))
        plain.put_pair(key, start, *wanted)

        assert folded.fold_pair(key, start, add, number, time) == wanted

    assert stores[0].changes() == stores[1].changes()


def test_folding_into_nothing_deletes_the_row() -> None:
    spec = StoreSpec("totals", "window", string, int64, retention_ms=300_000, window_ms=60_000)
    store = Store(spec, MemoryBase())
    handle: Any = store.handle(key_raw=False, value_raw=False)
    handle.fold_pair("a", 0, add, 1, 7)

    assert handle.fold_pair("a", 0, lambda key, total, value: None, 1, 8) == (None, 8)

    assert handle.get_pair("a", 0) is None
    assert [value for _, value, _, _ in store.changes()] == [None]
