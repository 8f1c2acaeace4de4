"""Window stores: what expires, what is kept twice, and what a query sees of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow.errors import LogCorrupt, StateError
from streamflow.state.meta import Meta
from streamflow.state.store import Store

Make = Callable[..., Store]
MetaOf = Callable[..., Meta]


def _handle(store: Store) -> Any:
    return store.handle(key_raw=False, value_raw=False)


def _view(store: Store) -> Any:
    return store.view()


def test_a_restored_window_that_has_expired_is_left_out(recording: Any, window: Make, logged: Any) -> None:
    base = recording()
    store = window(over=base, timestamped=False)

    def record(start: int) -> Any:
        return logged(b"a" + start.to_bytes(8, "big"), b"x", 0)

    store.restore([record(100)], 1)
    assert store.restore([record(70), record(71)], 3) == 2
    store.flush(0)

    assert store.observed == 100
    assert [start for (_, start, _), _ in _view(store).all()] == [71, 100]
    assert base.size() == 2


def test_a_query_for_an_expired_window_finds_nothing(window: Make, meta: MetaOf) -> None:
    store = window()
    handle = _handle(store)
    handle.put("a", "1", 70)
    store.commit(meta(1))
    handle.put("a", "2", 100)
    assert (handle.fetch("a", 70), _view(store).fetch("a", 70)) == (None, "1")
    store.commit(meta(2))
    assert _view(store).fetch("a", 70) is None


def test_an_expired_segment_is_dropped_with_the_next_flush(recording: Any, window: Make, meta: MetaOf) -> None:
    base = recording()
    store = window(over=base, retention_ms=120_000)
    handle = _handle(store)
    handle.put("a", "old", 1_000)
    handle.put("a", "new", 120_500)
    store.commit(meta(2))
    store.flush(0)
    assert base.size() == 2

    handle.put("a", "newer", 300_000)
    assert list(handle.fetch("a", 0, 500_000)) == [(300_000, "newer")]
    assert [start for (_, start, _), _ in _view(store).all()] == [1_000, 120_500]
    store.commit(meta(3))
    assert [start for (_, start, _), _ in _view(store).all()] == [300_000]
    store.flush(0)

    assert base.size() == 1
    assert base.batches[-1][2] != []


def test_what_expires_before_it_was_written_down_never_is(recording: Any, window: Make, meta: MetaOf) -> None:
    base = recording()
    store = window(over=base, retention_ms=120_000)
    handle = _handle(store)
    handle.put("a", "old", 1_000)
    store.commit(meta(1))
    handle.put("a", "new", 300_000)
    store.commit(meta(2))
    store.flush(0)
    assert base.size() == 1


def test_a_key_that_changed_between_a_get_and_its_put_is_another_key(window: Make, serdes: Any) -> None:
    handle = _handle(window(key=serdes.json))
    key = ["a"]
    assert handle.get_pair(key, 5) is None
    key.append("b")
    handle.put_pair(key, 5, "1", 0)
    assert [windowed.key for windowed, _ in handle.all()] == [["a", "b"]]


def test_a_put_into_an_expired_window_is_refused_and_leaves_no_trace(window: Make) -> None:
    store = window()
    handle = _handle(store)
    assert handle.put("a", "1", 100) is True
    assert handle.put("a", "2", 70) is False
    assert handle.put("a", "3", 71) is True
    assert [(record[1] or b"")[8:] for record in store.changes()] == [b"1", b"3"]


def test_expiry_is_known_again_after_a_restart(window: Make, meta: MetaOf) -> None:
    store = window()
    _handle(store).put("a", "1", 100)
    store.commit(meta(1))
    store.flush(0)

    again = _handle(window())

    assert again.put("a", "2", 70) is False


def test_duplicates_after_a_restart_do_not_replace_earlier_ones(window: Make, meta: MetaOf, logged: Any) -> None:
    store = window(duplicates=True)
    handle = _handle(store)
    handle.put("a", "1", 5)
    handle.put("a", "2", 5)
    store.commit(meta(1))
    store.flush(0)
    again = window(duplicates=True)
    _handle(again).put("a", "3", 5)
    records = [logged(*record[:3]) for record in again.changes()]
    again.commit(meta(2))

    restored = window(duplicates=True)
    restored.restore(records, 2)
    _handle(restored).put("a", "4", 5)

    assert list(_view(again).fetch("a", 0, 10)) == [(5, "1"), (5, "2"), (5, "3")]
    assert list(_handle(restored).fetch("a", 0, 10)) == [(5, "1"), (5, "2"), (5, "3"), (5, "4")]


def test_a_window_before_the_epoch_is_refused(window: Make) -> None:
    with pytest.raises(StateError, match="cannot start at -1"):
        _handle(window()).put("a", "1", -1)


def test_a_window_store_needs_a_retention(window: Make) -> None:
    with pytest.raises(StateError, match="'counts' has no retention"):
        window(retention_ms=0)


def test_a_changelog_of_another_kind_is_told(window: Make, logged: Any) -> None:
    with pytest.raises(LogCorrupt, match="another kind of store"):
        window().restore([logged(b"short", b"x", 0)], 1)


def test_a_windows_changelog_value_carries_its_timestamp(window: Make) -> None:
    store = window()
    _handle(store).put_pair("a", 20, "1", 25)
    assert store.changes() == [(b"a" + (20).to_bytes(8, "big"), (25).to_bytes(8, "big") + b"1", 25, [])]
