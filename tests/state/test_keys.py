"""The formats: what is written comes back, and bytes sort as what they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.errors import StateError
from streamflow.state.keys import (
    KEY_END,
    META_KEY,
    RESERVED,
    Starts,
    escape,
    pack_int64,
    plain,
    segment_length,
    sortable,
    unescape,
    unpack_start,
)
from streamflow.state.keyvalue import after

KEYS = st.one_of(st.binary(max_size=4), st.builds(lambda rest: RESERVED + rest, st.binary(max_size=3)))


@given(KEYS, KEYS)
def test_escaped_keys_come_back_differ_and_are_never_the_meta_key(one: bytes, other: bytes) -> None:
    assert unescape(escape(one)) == one
    assert (escape(one) == escape(other)) is (one == other)
    assert escape(one) != META_KEY


def test_a_key_that_is_not_reserved_stands_as_it_is() -> None:
    for key in (b"", b"alice", RESERVED[:-1], b"x" + RESERVED):
        assert escape(key) == key


@given(KEYS, st.integers(0, 2**63 - 1), KEYS, st.integers(0, 2**63 - 1))
def test_rows_of_a_window_store_sort_by_key_and_then_by_start(a: bytes, at: int, b: bytes, then: int) -> None:
    one, other = sortable(a) + KEY_END + pack_int64(at), sortable(b) + KEY_END + pack_int64(then)
    assert (one < other) is ((a, at) < (b, then))
    assert plain(sortable(a)) == a
    assert unpack_start(one, 0) == at
    assert unpack_start(one + b"1234", -4) == at


@given(st.binary(max_size=4), st.binary(max_size=5))
def test_what_comes_after_a_prefix_bounds_exactly_its_keys(prefix: bytes, key: bytes) -> None:
    bound = after(prefix)
    assert (key >= prefix and (bound is None or key < bound)) is key.startswith(prefix)


def test_a_segment_is_half_the_retention_but_a_minute_at_least() -> None:
    assert [segment_length(ms) for ms in (1, 120_000, 600_000)] == [60_000, 60_000, 300_000]


def test_starts_are_remembered_but_not_without_bound() -> None:
    starts = Starts(60_000, "counts")
    for start in range(0, 120_000_000, 1_000):
        assert starts[start] == (pack_int64(start // 60_000), KEY_END + pack_int64(start))
    assert len(starts) <= 50_000


@pytest.mark.parametrize("start", [-1, 2**63])
def test_a_start_that_is_no_time_is_told_with_the_stores_name(start: int) -> None:
    with pytest.raises(StateError, match="store 'counts'"):
        Starts(60_000, "counts")[start]
