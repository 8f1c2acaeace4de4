"""What annotations tell of a result is believed; nothing is guessed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

from streamflow.serdes.hints import item, pair, result, told

T = TypeVar("T")


def length(text: str) -> int:
    return len(text)


def maybe(text: str) -> int | None:
    return None


def keyed(text: str) -> tuple[str, int] | None:
    return None


def several(text: str) -> Iterator[tuple[str, float]]:
    yield (text, 1.0)


def generic(value: T) -> T:
    return value


def unresolved(text: str) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
    return text


class Lengths:
    def __call__(self, text: str) -> int:
        return len(text)


@pytest.mark.parametrize(
    ("fn", "name"),
    [(length, "int64"), (maybe, "int64"), (functools.partial(length), "int64"), (Lengths(), "int64"), (str, "string"),
     (Lengths().__call__, "int64")],
)  # fmt: skip
def test_an_annotation_or_a_class_tells_the_type(fn: Any, name: str) -> None:
    serde = told(result(fn))
    assert serde is not None and serde.name == name


@pytest.mark.parametrize("fn", [lambda x: x, len, generic, unresolved, max, str.split, zip])
def test_what_is_not_annotated_tells_nothing(fn: Any) -> None:
    assert told(result(fn)) is None


def test_pairs_and_items_are_taken_apart() -> None:
    assert pair(result(keyed)) == (str, int)
    assert pair(item(result(several))) == (str, float)
    assert item(list[int]) is int
    assert item(tuple[int, str]) is None
    assert pair(int) == (None, None)
