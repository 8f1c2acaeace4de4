"""The life of a store: what is seen when, what goes to the changelog, what is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from streamflow.errors import LogCorrupt, StateError, StoreStalled
from streamflow.state import store as module
from streamflow.state.changelog import meta_record
from streamflow.state.keys import META_KEY, RESERVED
from streamflow.state.layers import rollback
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import Meta, decode
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store

Make = Callable[..., Store]
MetaOf = Callable[..., Meta]


def _handle(store: Store, **forms: bool) -> Any:
    return store.handle(key_raw=forms.get("key_raw", False), value_raw=forms.get("value_raw", False))


def _view(store: Store) -> Any:
    return store.view()


def test_a_query_sees_a_change_only_after_its_commit(key_value: Make, meta: MetaOf) -> None:
    store = key_value()
    handle, view = _handle(store), _view(store)
    handle.put("a", "1")
    assert (handle.get("a"), view.get("a")) == ("1", None)

    store.commit(meta(1))

    assert view.get("a") == "1"
    assert (store.dirty, store.position) == (0, 1)


def test_what_is_dropped_was_never_there(key_value: Make, meta: MetaOf) -> None:
    store = key_value()
    handle = _handle(store)
    handle.put("a", "1")
    store.commit(meta(1))
    handle.put("a", "2")
    handle.delete("a")

    store.drop()

    assert handle.get("a") == "1"
    assert store.changes() == []
    assert store.uncommitted_bytes == 0


def test_a_key_that_changed_often_is_one_record_with_its_last_value_and_timestamp(key_value: Make, serdes: Any) -> None:
    store = key_value(value=serdes.int64)
    handle = _handle(store, key_raw=True)
    for number in range(5):
        handle.put_pair(b"a", number, 100 + number)
    handle.put_pair(b"b", 7, 200)
    handle.put_pair(b"b", None, 300)

    assert store.changes() == [(b"a", (4).to_bytes(8, "big"), 104, []), (b"b", None, 300, [])]


def test_while_a_commit_is_on_the_wire_the_next_changes_stay_out_of_it(key_value: Make, meta: MetaOf) -> None:
    store = key_value()
    handle, view = _handle(store), _view(store)
    handle.put("a", "1")
    store.freeze()
    handle.put("a", "2")
    handle.put("b", "2")

    assert [record[:2] for record in store.changes()] == [(b"a", b"1")]
    assert handle.get("a") == "2"
    store.commit(meta(1))

    assert (view.get("a"), view.get("b")) == ("1", None)
    assert [record[:2] for record in store.changes()] == [(b"a", b"2"), (b"b", b"2")]


def test_a_record_can_be_taken_back_alone(key_value: Make, window: Make) -> None:
    undo: list[Any] = []
    store, windows = key_value(undo=undo), window(undo=undo)
    handle, starts = _handle(store), _handle(windows)
    handle.put("a", "1")
    starts.put("w", "1", 5)
    undo.clear()

    handle.put("a", "2")
    handle.delete("a")
    handle.put("b", "3")
    starts.put("w", "2", 50)
    rollback(undo)

    assert list(handle.all()) == [("a", "1")]
    assert starts.fetch("w", 5) == "1"
    assert (windows.observed, len(undo)) == (5, 0)


def test_an_object_that_can_change_is_kept_as_it_was_put(key_value: Make, serdes: Any, meta: MetaOf) -> None:
    store = key_value(value=serdes.json)
    handle = _handle(store)
    basket = ["apple"]
    handle.put("a", basket)
    basket.append("pear")
    handle.get("a").append("plum")

    assert handle.get("a") == ["apple"]
    store.commit(meta(1))
    handle.get("a").append("plum")
    assert _view(store).get("a") == ["apple"]


def test_an_object_that_cannot_change_is_handed_out_itself(key_value: Make) -> None:
    handle = _handle(key_value())
    text = "x" * 100
    handle.put("a", text)
    assert handle.get("a") is text


@pytest.mark.parametrize("first_raw", [True, False])
def test_handles_of_different_forms_see_the_same_rows(
    key_value: Make, window: Make, serdes: Any, meta: MetaOf, first_raw: bool
) -> None:
    store, windows = key_value(value=serdes.int64), window(value=serdes.int64)
    for made, word in ((store, "put_pair"), (windows, "put_at")):
        one = made.handle(key_raw=first_raw, value_raw=first_raw)
        other = made.handle(key_raw=not first_raw, value_raw=not first_raw)
        raw: Any = one if first_raw else other
        typed: Any = other if first_raw else one
        at = () if word == "put_pair" else (20,)
        raw.put_pair(b"a", *at, (7).to_bytes(8, "big"), 1)
        typed.put_pair("b", *at, 8, 2)
        for _ in range(2):
            assert typed.get_pair("a", *at) == (7, 1)
            assert raw.get_pair(b"b", *at) == ((8).to_bytes(8, "big"), 2)
            assert [value for _, value in typed.all()] == [7, 8]
            assert [value for _, value in raw.all()] == [(7).to_bytes(8, "big"), (8).to_bytes(8, "big")]
            made.commit(meta(1))
            made.flush(0)
        assert [value for _, value in _view(made).all()] == [7, 8]


def test_words_of_the_processor_api_answer_as_they_should(key_value: Make) -> None:
    handle: Any = key_value().handle(key_raw=False, value_raw=False, now=lambda: 77)
    handle.put_all([("a", "1"), ("b", "2")])

    assert handle.put_if_absent("a", "9") == "1"
    assert handle.put_if_absent("c", "3") is None
    assert handle.delete("b") == "2"
    assert handle.delete("b") is None
    assert handle.get_with_timestamp("c") == ("3", 77)
    assert list(handle.range("a", "b", with_timestamps=True)) == [("a", ("1", 77))]
    assert handle.approximate_size() >= 2


def test_a_store_without_timestamps_says_so(key_value: Make) -> None:
    handle = _handle(key_value(timestamped=False))
    with pytest.raises(StateError, match="'counts' keeps no timestamps"):
        handle.get_with_timestamp("a")


def test_the_key_none_is_refused(key_value: Make) -> None:
    handle = _handle(key_value())
    for word in (handle.get, lambda key: handle.put(key, "1"), handle.delete):
        with pytest.raises(StateError, match="key None"):
            word(None)


def test_a_scan_shows_the_store_as_it_was_when_it_began(key_value: Make, meta: MetaOf) -> None:
    store = key_value()
    handle = _handle(store)
    for key in "abc":
        handle.put(key, "1")
    store.commit(meta(1))
    store.flush(0)
    handle.put("d", "1")

    rows = handle.all()
    handle.put("b", "2")
    handle.delete("d")
    store.commit(meta(2))
    store.flush(0)

    assert list(rows) == [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]


def test_uncommitted_bytes_grow_with_what_is_put(key_value: Make, meta: MetaOf) -> None:
    store = key_value()
    handle = _handle(store)
    handle.put("a", "x" * 1_000)
    small = store.uncommitted_bytes
    handle.put("b", "x" * 1_000_000)

    assert 1_000 < small < 2_000
    assert store.uncommitted_bytes > 1_000_000
    store.commit(meta(1))
    assert store.uncommitted_bytes == 0
    assert store.behind[0] == 2
    assert store.behind[1] > 1_000_000


# ---- writing down ----


def test_a_flush_writes_rows_and_position_together(key_value: Make, base: Any, meta: MetaOf) -> None:
    store = key_value()
    _handle(store).put("a", "1", 5)
    store.commit(meta(3))
    assert decode(base.meta()).position == 0

    store.flush(0)

    assert base.get(b"a") == (5).to_bytes(8, "big") + b"1"
    committed = meta(3)
    written = msgspec.structs.replace(committed, witness_seq=committed.commit_seq, witness_id=committed.commit_id)
    assert decode(base.meta()) == written
    assert store.behind == (0, 0)
    again = key_value()
    assert (again.position, again.meta, again.witness) == (3, written, (committed.commit_seq, committed.commit_id))


def test_a_base_written_down_in_a_restore_names_the_newest_commit_its_rows_may_be_of(
    key_value: Make, base: Any, meta: MetaOf, logged: Any
) -> None:
    store = key_value()
    store.vouch(9, b"nine")

    store.restore([logged(b"a", b"1", 5)], 1)
    store.flush(0)

    assert key_value().witness == (9, b"nine")
    store.adopt(meta(1))
    store.flush(0)
    assert key_value().witness == (meta(1).commit_seq, meta(1).commit_id)


def test_a_commit_that_changed_no_row_still_moves_the_position(key_value: Make, base: Any, meta: MetaOf) -> None:
    store = key_value()
    store.commit(meta(9))
    store.flush(0)
    assert decode(base.meta()).position == 9


def test_a_large_flush_goes_in_parts_and_the_last_sets_the_position(
    recording: Any, key_value: Make, meta: MetaOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 10)
    base = recording()
    store = key_value(over=base)
    handle = _handle(store)
    for number in range(25):
        handle.put(f"{number:02}", "x")
    store.commit(meta(25))

    store.flush(0)

    assert [(rows, m.position, m.flushing_to) for rows, m, _ in base.batches] == [
        (10, 0, 25),
        (10, 0, 25),
        (5, 25, None),
    ]


def test_a_flush_that_is_refused_loses_nothing_and_can_be_repeated(
    recording: Any, key_value: Make, meta: MetaOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 10)
    base = recording(refuse=[2])
    store = key_value(over=base)
    handle = _handle(store)
    for number in range(25):
        handle.put(f"{number:02}", "old")
    store.commit(meta(25))
    with pytest.raises(StoreStalled):
        store.flush(0)

    handle.put("03", "new")
    assert len(list(_view(store).all())) == 25
    store.commit(meta(26))
    store.flush(0)

    assert [m.position for _, m, _ in base.batches] == [0, 0, 0, 26]
    assert base.get(b"03") == bytes(8) + b"new"
    assert base.size() == 25


def test_the_base_keeps_the_name_it_was_opened_with(key_value: Make, base: Any, meta: MetaOf) -> None:
    store = key_value()
    store.commit(meta(4, incarnation="aa"))
    store.flush(0)
    store.adopt(meta(0, commit_seq=9, store="", changelog="shop-other-changelog", incarnation="bb"))
    store.flush(0)
    told = decode(base.meta())
    assert (told.store, told.changelog, told.incarnation) == ("counts", "shop-counts-changelog", "aa")
    assert (told.position, told.commit_seq) == (4, 9)


# ---- restoring ----


def test_restoring_gives_back_what_was_committed(
    key_value: Make, window: Make, meta: MetaOf, logged: Any, serdes: Any
) -> None:
    for make, at in ((key_value, ()), (window, (20,))):
        store = make(over=MemoryBase(), value=serdes.int64)
        handle = _handle(store)
        handle.put_pair("a", *at, 1, 10)
        handle.put_pair("b", *at, 2, 20)
        handle.put_pair("b", *at, None, 30)
        handle.put_pair(RESERVED.decode("latin-1").replace("ÿ", "y"), *at, 3, 40)
        records = [logged(*record[:3]) for record in store.changes()]

        other = make(over=MemoryBase(), value=serdes.int64)
        assert other.restore(records, 7) == 3
        store.commit(meta(7))

        assert other.position == 7
        assert list(_view(other).all(with_timestamps=True)) == list(_view(store).all(with_timestamps=True))
        assert other.observed == store.observed


@pytest.mark.parametrize("immutable", [True, False])
def test_rows_with_a_reserved_key_come_back_under_it(
    key_value: Make, logged: Any, serdes: Any, immutable: bool
) -> None:
    value = replace(serdes.text, immutable=immutable)
    keys = [RESERVED, META_KEY, RESERVED + b"k", RESERVED[:-1], b"\x00"]
    store = key_value(key=serdes.raw, value=value)
    handle = _handle(store)
    for key in keys:
        handle.put(key, "x")
    records = store.changes()
    assert all(record[0] != META_KEY for record in records)

    other = key_value(over=MemoryBase(), key=serdes.raw, value=value)
    other.restore([logged(*record[:3]) for record in records], len(records))

    assert [key for key, _ in _view(other).all()] == sorted(keys)


def test_the_newest_meta_record_of_a_changelog_is_found(key_value: Make, meta: MetaOf, logged: Any) -> None:
    store = key_value()

    def record(**changes: Any) -> Any:
        return logged(*meta_record(meta(0, **changes))[:3])

    assert store.restore([record(commit_seq=4), logged(b"a", b"1", 5), record(commit_seq=5)], 3) == 1
    assert store.meta is not None
    assert (store.meta.commit_seq, store.meta.store, store.meta.position) == (5, "", 0)
    store.restore([record(commit_seq=3)], 4)
    assert store.meta.commit_seq == 5
    store.restore([record(commit_seq=1, incarnation="another life")], 5)
    assert store.meta.commit_seq == 1


def test_a_meta_record_that_cannot_be_read_is_told(key_value: Make, logged: Any) -> None:
    with pytest.raises(LogCorrupt, match="changelog of store 'counts'"):
        key_value().restore([logged(META_KEY, b"\xc1", 0)], 1)


def test_in_a_users_topic_no_key_is_reserved_and_none_is_skipped(key_value: Make, logged: Any, serdes: Any) -> None:
    store = key_value(key=serdes.raw, source_topic="users")
    records = [logged(META_KEY, b"1", 5), logged(None, b"2", 5), logged(RESERVED + b"kx", b"3", 5)]
    assert store.restore(records, 3) == 2
    assert [key for key, _ in _view(store).all()] == [RESERVED + b"kx", META_KEY]
    assert store.meta is None


def test_restoring_goes_on_above_what_was_committed(key_value: Make, meta: MetaOf, logged: Any) -> None:
    store = key_value()
    handle = _handle(store)
    handle.put("a", "1")
    handle.put("b", "1")
    store.commit(meta(2))
    assert handle.get("a") == "1"

    store.restore([logged(b"a", b"2", 9), logged(b"b", None, 9)], 5)

    assert (handle.get_pair("a"), handle.get("b")) == (("2", 9), None)
    assert list(_view(store).all()) == [("a", "2")]


def test_restoring_over_uncommitted_changes_is_refused(key_value: Make) -> None:
    store = key_value()
    _handle(store).put("a", "1")
    with pytest.raises(StateError, match="uncommitted"):
        store.restore([], 1)


def test_a_long_restore_is_written_down_as_it_goes(
    recording: Any, key_value: Make, logged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 10)
    base = recording()
    store = key_value(over=base)
    for number in range(6):
        store.restore([logged(b"%d-%d" % (number, row), b"x", 0) for row in range(5)], (number + 1) * 5)

    assert [m.position for _, m, _ in base.batches] == [10, 20, 30]


def test_a_row_that_was_read_and_then_changed_is_read_changed(key_value: Make, meta: MetaOf) -> None:
    store = key_value()
    _handle(store).put("a", "1")
    store.commit(meta(1))
    store.flush(0)
    store = key_value()
    handle = _handle(store)
    assert handle.get("a") == "1"
    handle.put("a", "2")
    store.commit(meta(2))
    store.flush(0)
    assert handle.get("a") == "2"


def test_a_store_can_be_built_from_any_spec(serdes: Any) -> None:
    spec = StoreSpec("plain", "key_value", serdes.raw, serdes.raw, base="memory", timestamped=False)
    store = Store(replace(spec, logged=False), MemoryBase())
    handle: Any = store.handle(key_raw=True, value_raw=True)
    handle.put(b"a", b"")
    assert handle.get(b"a") == b""
    store.commit(Meta(app_id="x", changelog="", partition=0))
    store.flush(0)
    assert list(_view(store).all()) == [(b"a", b"")]
