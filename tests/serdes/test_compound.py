"""Changes of a table carry a new and an old value in Kafka Streams' form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow import SerdeError, serdes
from streamflow.record import Change
from streamflow.serdes import change_serde

CHANGES = change_serde(serdes.string)


@given(
    st.one_of(
        st.builds(Change, st.text(), st.text()),
        st.builds(Change, st.text(), st.none()),
        st.builds(Change, st.none(), st.text()),
        st.builds(Change, st.text(min_size=120, max_size=300), st.text()),
    )
)
def test_a_change_is_read_again(change: Change[str]) -> None:
    assert CHANGES.deserialize(CHANGES.serialize(change)) == change


@pytest.mark.parametrize(
    ("change", "data"),
    [
        (Change("new", None), b"new\x01"),
        (Change(None, "old"), b"old\x00"),
        (Change("new", "old"), b"\x03newold\x02"),
        (Change("n" * 200, "o"), b"\xc8\x01" + b"n" * 200 + b"o\x02"),
    ],
)
def test_the_last_byte_says_which_values_there_are(change: Change[str], data: bytes) -> None:
    assert CHANGES.serialize(change) == data


def test_a_change_of_nothing_is_not_written() -> None:
    with pytest.raises(SerdeError, match="without a new and an old value"):
        CHANGES.serialize(Change(None, None))


@pytest.mark.parametrize("data", [b"", b"x\x07"])
def test_bytes_that_are_no_change_are_told(data: bytes) -> None:
    with pytest.raises(SerdeError, match=r"expected change\(string\)"):
        CHANGES.deserialize(data)


def test_presence_is_one_byte_and_reads_any_bytes() -> None:
    assert serdes.presence.serialize({"large": "value"}) == b"\x01"
    assert serdes.presence.deserialize(b"anything") is True
    assert change_serde(serdes.presence).serialize(Change(True, True)) == b"\x01\x01\x01\x02"
