"""Serdes: a type or an explicit choice -> bytes and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Serde(Generic[T]):
    """Two functions that are each other's inverse; both answer None to None.

    ``immutable`` says that a value cannot be changed in place (int, str, bytes, ...),
    so a store may hold the object itself instead of its bytes. ``name`` describes it
    in errors and in the fingerprint of a topology: equal names mean equal bytes.
    """

    serialize: Callable[[T], bytes | None]
    deserialize: Callable[[bytes | None], T]
    name: str = "custom"
    immutable: bool = False
