"""How the model's programs talk: generators that yield what they ask for.

A program yields a `Call`, and is resumed with the answer or with one of the
errors below; `LOCAL` marks a moment at which its process may die between two
local writes, `IDLE` one at which it waits. The world (`world.py`) decides what
becomes of each call, so a program never sees a difference between a slow
network and a lost request.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Steps = Generator[Any, Any, T]

LOCAL = "local"
IDLE = "idle"


class WireError(Exception):
    """Any answer that is not the result."""


class Timeout(WireError):
    """No answer: done, not done, or still to be done later."""


class Retry(WireError):
    """Not now: concurrent transactions, coordinator loading, unstable offsets."""


class FencedError(WireError):
    """The epoch or the generation is an old one."""


class Refused(WireError):
    """Not like this: too large, wrong state, out of sequence."""


def until_answered(function: Callable[..., T], *args: Any) -> Steps[T]:
    """Ask until there is an answer; only for what may be done twice."""
    while True:
        try:
            answer: T = yield (function, args)
            return answer
        except (Timeout, Retry):
            pass


def patiently(function: Callable[..., T], *args: Any) -> Steps[T]:
    """Ask again when told to, but let a timeout through: what it did is unknown."""
    while True:
        try:
            answer: T = yield (function, args)
            return answer
        except Retry:
            pass
