"""Layers: sorted keys that cost nothing unless asked for, and a cache that keeps its bounds."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamflow.state.layers import Cache, Layer, Tombstone, rollback

KEYS = st.binary(max_size=2)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.lists(KEYS, min_size=1, max_size=60)),
            st.tuples(st.just("forget"), KEYS),
            st.tuples(st.just("between"), KEYS, st.none() | KEYS),
            st.tuples(st.just("clear")),
        ),
        max_size=30,
    )
)
def test_a_layer_knows_its_keys_in_order(steps: list[Any]) -> None:
    layer: Layer[int] = Layer()
    model: set[bytes] = set()
    for step in steps:
        match step:
            case ("put", keys):
                layer.update(dict.fromkeys(keys, 1))
                model |= set(keys)
            case ("forget", key):
                layer.forget(key)
                model -= {key}
            case ("between", low, high):
                assert layer.between(low, high) == sorted(k for k in model if low <= k and (high is None or k < high))
            case _:
                layer.clear()
                model = set()
    assert layer.between(b"", None) == sorted(model)


def test_a_tombstone_is_false_and_keeps_its_timestamp() -> None:
    assert not Tombstone((None, 7))
    assert Tombstone((None, 7))[1] == 7


def test_rolling_back_goes_from_the_newest_to_the_oldest() -> None:
    layer: Layer[Any] = Layer()
    undo: list[Any] = []
    told: list[str] = []
    for value in (1, 2, 3):
        undo.append((layer, b"a", layer.get(b"a")))
        layer[b"a"] = (value, 0)
        undo.append(lambda value=value: told.append(f"undone {value}"))
    rollback(undo)
    assert (layer, undo, told) == ({}, [], ["undone 3", "undone 2", "undone 1"])


def test_the_cache_keeps_to_its_rows_and_bytes() -> None:
    cache = Cache(rows=10, size=1_000)
    for number in range(100):
        cache.keep(b"%d" % number, (b"", 0), 1)
        assert len(cache.young) + len(cache.old) <= 20
    for number in range(100):
        cache.keep(b"%d" % number, (b"", 0), 600)
        assert len(cache.young) + len(cache.old) <= 12
    assert b"99" in cache.young or b"99" in cache.old


def test_rows_that_leave_a_layer_replace_what_the_cache_knew_of_them() -> None:
    for count in (3, 30):
        cache = Cache(rows=10, size=1_000)
        cache.keep(b"0", ("old", 0), 1)
        rows: Layer[Any] = Layer()
        rows.update({b"%d" % number: ("new", 0) for number in range(count)})
        cache.take_over(rows, 1)
        known = {**cache.old, **cache.young}
        assert known
        assert set(known.values()) == {("new", 0)}


def test_the_cache_does_not_hold_on_to_rows_that_are_too_large_for_it() -> None:
    cache = Cache(rows=10, size=1_000)
    rows: Layer[Any] = Layer()
    rows.update({b"a": ("new", 0), b"b": ("new", 0)})
    cache.take_over(rows, 5_000)
    assert not cache.young
    assert not cache.old
