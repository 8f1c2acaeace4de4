"""The meta record: what is written is read, what cannot be read is told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from streamflow.errors import StateError
from streamflow.state.meta import FORMAT, Meta, decode, encode, for_changelog, new_incarnation

FULL = Meta(
    app_id="shop", store="counts", changelog="shop-counts-changelog", partition=3, incarnation="ab", commit_seq=5,
    commit_id=b"\x00\xff", inputs={"orders": {0: 7, 3: 9}}, stream_times={"window": 12}, position=44, written_at=99,
    fingerprint="f", flushing_to=50, observed=60, sequence=2,
)  # fmt: skip


def test_every_field_comes_back() -> None:
    assert decode(encode(FULL)) == FULL


def test_a_changelog_does_not_tell_what_is_one_stores_own() -> None:
    told = for_changelog(FULL)
    assert (told.store, told.position, told.flushing_to, told.observed, told.sequence) == ("", 0, None, -1, 0)
    assert (told.inputs, told.stream_times, told.commit_id) == (FULL.inputs, FULL.stream_times, FULL.commit_id)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: b"\xc1" + data,
        lambda data: msgspec.msgpack.encode({"format": FORMAT}),
        lambda data: data.replace(b"format", b"farmot"),
    ],
)
def test_bytes_that_are_no_meta_record_are_told(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(StateError, match="meta record cannot be read"):
        decode(spoil(encode(FULL)))


def test_a_record_of_a_newer_version_is_told_with_its_format() -> None:
    newer = msgspec.msgpack.encode({"format": FORMAT + 1, "something": "else"})
    with pytest.raises(StateError, match=f"format {FORMAT + 1}, this version reads {FORMAT}"):
        decode(newer)


def test_a_field_that_a_later_version_adds_does_no_harm() -> None:
    later = {**msgspec.to_builtins(FULL, builtin_types=(bytes,)), "added": 1}
    assert decode(msgspec.msgpack.encode(later)) == FULL


def test_no_two_incarnations_are_alike() -> None:
    assert new_incarnation() != new_incarnation()
