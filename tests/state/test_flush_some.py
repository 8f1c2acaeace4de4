"""Writing down a batch at a time, with commits and restores between the batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow.errors import StoreStalled
from streamflow.state import store as module
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import Meta, decode
from streamflow.state.store import Store

Make = Callable[..., Store]
MetaOf = Callable[..., Meta]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 10)


def _filled(store: Store, meta: Meta, value: str = "x", rows: int = 25) -> Any:
    handle: Any = store.handle(key_raw=False, value_raw=False)
    for number in range(rows):
        handle.put(f"{number:02}", value, 1)
    store.commit(meta)
    return handle


def _size(base: Any) -> int:
    return sum(1 for _ in base.scan(b"", None))


def test_a_flush_in_parts_takes_what_was_committed_when_it_began(key_value: Make, base: Any, meta: MetaOf) -> None:
    store = key_value()
    handle = _filled(store, meta(25))

    assert store.flush_some(0)
    handle.put("24", "newer", 2)
    store.commit(meta(26))
    assert store.flush_some(0)
    assert decode(base.meta()).position == 0
    assert not store.flush_some(0)

    assert (decode(base.meta()).position, _size(base)) == (25, 25)
    assert handle.get("24") == "newer"
    assert store.behind[0] == 1
    assert not store.flush_some(0)
    assert decode(base.meta()).position == 26
    assert base.get(b"24") == (2).to_bytes(8, "big") + b"newer"


def test_rows_are_read_right_between_the_parts(key_value: Make, meta: MetaOf) -> None:
    store = key_value()
    handle = _filled(store, meta(25), "old")
    store.flush_some(0)
    handle.put("00", "new", 2)
    handle.delete("01")
    store.commit(meta(26))
    store.flush_some(0)

    for rows in (handle, store.view()):
        assert (rows.get("00"), rows.get("01"), rows.get("02"), rows.get("20")) == ("new", None, "old", "old")
        assert len(list(rows.all())) == 24


def test_a_whole_flush_ends_one_in_parts(key_value: Make, base: Any, meta: MetaOf) -> None:
    store = key_value()
    handle = _filled(store, meta(25))
    store.flush_some(0)
    handle.put("99", "x", 1)
    store.commit(meta(26))

    store.flush(0)

    assert (decode(base.meta()).position, _size(base), store.behind) == (26, 26, (0, 0))
    assert not store.flush_some(0)


def test_a_part_that_is_refused_is_asked_for_again(key_value: Make, recording: Any, meta: MetaOf) -> None:
    base = recording(refuse=[2])
    store = key_value(over=base)
    _filled(store, meta(25))
    store.flush_some(0)
    with pytest.raises(StoreStalled):
        store.flush_some(0)

    while store.flush_some(0):
        pass

    assert (base.batches[-1][1].position, _size(base)) == (25, 25)


def test_a_restore_between_the_parts_loses_nothing(key_value: Make, base: Any, meta: MetaOf, logged: Any) -> None:
    store = key_value()
    _filled(store, meta(25))
    store.flush_some(0)

    store.restore([logged(b"new", b"x", 0)], 26)
    while store.flush_some(0):
        pass

    assert (decode(base.meta()).position, _size(base)) == (26, 26)


class Asked(MemoryBase):
    """Counts how often it was asked for a row."""

    asked = 0

    def get(self, key: bytes) -> bytes | None:
        self.asked += 1
        return super().get(key)


def test_a_window_later_than_all_that_was_written_down_is_not_looked_for(window: Make, meta: MetaOf) -> None:
    base = Asked()
    store = window(over=base)
    handle: Any = store.handle(key_raw=False, value_raw=False)
    handle.put("a", "1", 20)
    store.commit(meta(1))
    store.flush(0)

    assert handle.fetch("b", 30) is None
    assert base.asked == 0
    handle.put("b", "2", 30)
    store.commit(meta(2))
    assert (handle.fetch("b", 30), base.asked) == ("2", 0)
    assert (handle.fetch("b", 20), base.asked) == (None, 1)


def test_a_window_is_found_after_it_was_written_down_and_restored(window: Make, base: Any, meta: MetaOf) -> None:
    handle: Any = (store := window()).handle(key_raw=False, value_raw=False)
    handle.put("a", "1", 20)
    store.commit(meta(1))
    store.flush(0)

    again: Any = window().handle(key_raw=False, value_raw=False)

    assert (handle.fetch("a", 20), again.fetch("a", 20)) == ("1", "1")


def test_rows_at_hand_keep_to_the_room_there_is(base: Any, serdes: Any, meta: MetaOf) -> None:
    from streamflow.state.spec import StoreSpec

    store = Store(StoreSpec("counts", "key_value", serdes.text, serdes.text), base, room=lambda: 4_000)
    for round_ in range(1, 6):
        _filled(store, meta(round_), "x" * 100)
        store.flush(0)

    cache = store._layers.cache
    assert 0 < len(cache.young) + len(cache.old) <= 4_000 // 250
