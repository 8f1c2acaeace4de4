"""What an aggregation does with one more value: count it, reduce it, or hand it to the user's aggregator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Emit

Fold = Callable[[Any, Any, Any], Any]
"""``(key, total or None, value) -> total``"""
Merge = Callable[[Any, Any, Any], Any]
"""``(key, total or None, other total) -> total``"""


@dataclass(frozen=True)
class Counting:
    """How many values there were."""

    @property
    def reads_key(self) -> bool:
        return False

    @property
    def reads_value(self) -> bool:
        return False

    def fold(self) -> Fold:
        def count(key: Any, total: Any, value: Any) -> int:
            return 1 if total is None else total + 1

        return count

    def merge(self) -> Merge:
        def add(key: Any, total: Any, other: Any) -> Any:
            return other if total is None else total + other

        return add


@dataclass(frozen=True)
class Reducing:
    """The values put together by ``f(total, value)``; the first value is the first total."""

    f: Function

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    def fold(self) -> Fold:
        fn, takes_key = self.f.fn, self.f.takes_key

        def reduce(key: Any, total: Any, value: Any) -> Any:
            if total is None:
                return value
            return fn(key, total, value) if takes_key else fn(total, value)

        return reduce

    def merge(self) -> Merge:
        return self.fold()


@dataclass(frozen=True)
class Aggregating:
    """``init()`` first, then ``f(total, value)`` for each value; two totals become one by ``merger(total, other)``."""

    init: Function
    f: Function
    merger: Function | None = None

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key or (self.merger is not None and self.merger.takes_key)

    @property
    def reads_value(self) -> bool:
        return True

    def fold(self) -> Fold:
        init, fn, takes_key = self.init.fn, self.f.fn, self.f.takes_key

        def aggregate(key: Any, total: Any, value: Any) -> Any:
            if total is None:
                total = init()
            return fn(key, total, value) if takes_key else fn(total, value)

        return aggregate

    def merge(self) -> Merge:
        assert self.merger is not None
        init, fn, takes_key = self.init.fn, self.merger.fn, self.merger.takes_key

        def merged(key: Any, total: Any, other: Any) -> Any:
            if total is None:
                total = init()
            return fn(key, total, other) if takes_key else fn(total, other)

        return merged


@dataclass(frozen=True)
class Cogrouping:
    """One total that several streams add to, each in its own way: ``init()`` first, then the ``f`` of the stream that a
    value is from. Two totals become one by ``merger(total, other)``."""

    init: Function
    fs: tuple[Function, ...]
    merger: Function | None = None

    @property
    def reads_key(self) -> bool:
        return any(each.reads_key for each in self._each)

    @property
    def reads_value(self) -> bool:
        return True

    def folds(self) -> tuple[Fold, ...]:
        """What each stream does, in their order."""
        return tuple(each.fold() for each in self._each)

    def merge(self) -> Merge:
        return self._each[0].merge()

    @property
    def _each(self) -> tuple[Aggregating, ...]:
        return tuple(Aggregating(self.init, f, self.merger) for f in self.fs)


Folding = Counting | Reducing | Aggregating | Cogrouping
"""What an aggregation does; only `Cogrouping` does something else for each of its parents."""


def for_each_parent(folding: Folding, step: Callable[[Fold], Emit]) -> Emit | tuple[Emit, ...]:
    """``step(fold)`` for the fold of all parents, or a tuple of them for each parent's own."""
    if isinstance(folding, Cogrouping):
        return tuple(map(step, folding.folds()))
    return step(folding.fold())
