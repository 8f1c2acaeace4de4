"""What both bases promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamflow.state.contract import Base


def test_a_batch_that_cannot_be_read_changes_nothing(base: Base) -> None:
    base.write([(b"a", b"1")], b"before")

    def broken() -> Iterator[tuple[bytes, bytes | None]]:
        yield b"a", b"2"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        base.write(broken(), b"after", [(b"", b"z")])

    assert (base.get(b"a"), base.meta()) == (b"1", b"before")


def test_a_range_is_dropped_before_the_rows_of_its_batch_are_put(base: Base) -> None:
    base.write([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")], b"m")
    base.write([(b"b", b"2"), (b"c", None)], b"m", [(b"a", b"c")])
    assert list(base.scan(b"", None)) == [(b"b", b"2")]


def test_the_meta_record_is_no_row(base: Base) -> None:
    base.write([], b"meta")
    assert base.meta() == b"meta"
    assert list(base.scan(b"", None)) == []
    assert base.get(b"") is None


def test_a_scan_does_not_show_later_writes(base: Base) -> None:
    base.write([(b"a", b"1"), (b"b", b"1")], b"m")
    rows: Any = base.scan(b"", None)
    base.write([(b"a", b"2"), (b"b", None), (b"c", b"2")], b"m")
    assert list(rows) == [(b"a", b"1"), (b"b", b"1")]


def test_the_size_is_told_roughly(base: Base) -> None:
    base.write([(b"%d" % row, b"") for row in range(100)], b"m")
    assert 90 <= base.size() <= 110
