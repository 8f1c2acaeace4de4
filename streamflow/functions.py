"""How a user's function is called: settled once, by how many positional arguments it must be given.

Inside, every function is called in its key-first form, ``f(key, ...)``. A
function that does not take the key is wrapped for that, and marked, so that a
key nobody looks at is never decoded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streamflow.errors import StreamflowError, TopologyError

_FORMS = {
    "predicate": ("value",),
    "mapper": ("value",),
    "call": ("value",),
    "key selector": ("value",),
    "action": ("value",),
    "joiner": ("left", "right"),
    "aggregator": ("total", "value"),
    "adder": ("total", "value"),
    "subtractor": ("total", "value"),
    "reducer": ("total", "value"),
    "merger": ("left_total", "right_total"),
    "initializer": (),
}
"""Role -> the arguments of its shortest form; the longer form has the key in front (an initializer has one form)."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Function:
    """A user's function and how it wants to be called."""

    fn: Callable[..., Any]
    takes_key: bool
    role: str
    step: str

    @property
    def full(self) -> Callable[..., Any]:
        """The key-first form: ``f(key, value)``, ``f(key, left, right)``, ``f(key, total, value)``.

        >>> arity(len, "mapper", "lengths").full("key", "value")
        5
        """
        fn = self.fn
        if self.takes_key or self.role == "initializer":
            return fn

        def without_key(_key: Any, *rest: Any) -> Any:
            return fn(*rest)

        return without_key


def arity(fn: Callable[..., Any], role: str, step: str) -> Function:
    """Settle how ``fn`` is called in its ``role`` ("predicate", "mapper", "joiner", "aggregator", ...).

    Only required positional parameters count, so ``str.split`` takes one. A callable whose signature
    cannot be read, such as ``max``, gets the shortest form. Anything else is a `TopologyError` naming ``step``.

    >>> arity(lambda key, value: value, "mapper", "s").takes_key
    True
    """
    short = _FORMS[role]
    required = required_arguments(fn, role, step)
    if required is None or required == len(short):
        return Function(fn, False, role, step)
    if required == len(short) + 1 and short:
        return Function(fn, True, role, step)
    if required < len(short) <= _most_arguments(fn):
        return Function(fn, False, role, step)
    forms = f"f({', '.join(short)}) or f(key, {', '.join(short)})" if short else "f(), such as int, dict or lambda: 0"
    raise TopologyError(f"step '{step}': its {role} {spelled(fn)} takes {_count(required)}; write it as {forms}")


def contextual(fn: Callable[..., Any], role: str, step: str) -> Callable[[Any, Any, Any], Any]:
    """``f(value)``, ``f(key, value)`` or ``f(key, value, context)`` in its three-argument form.

    For timestamp extractors, topic names and headers that are computed.

    >>> contextual(lambda value: value["at"], "timestamp", "s")("key", {"at": 7}, None)
    7
    """
    required = required_arguments(fn, role, step)
    if required == 3:
        return fn
    if required == 2:
        return lambda key, value, _context: fn(key, value)
    if required is None or required == 1:
        return lambda _key, value, _context: fn(value)
    forms = "f(value), f(key, value) or f(key, value, context)"
    raise TopologyError(f"step '{step}': its {role} {spelled(fn)} takes {_count(required)}; write it as {forms}")


def timestamping(fn: Callable[..., Any], step: str) -> Callable[[Any, Any, Any], int | None]:
    """A user's timestamp extractor as ``f(key, value, context)``, its answer in milliseconds since 1970, or None.

    An aware datetime is turned into milliseconds. A naive one is refused, for it would mean another time on another
    machine, and so is everything that is no number.

    >>> from datetime import UTC
    >>> timestamping(lambda value: datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "s")("key", "value", None)
    1000
    """
    time_of = contextual(fn, "timestamp", step)

    def extract(key: Any, value: Any, context: Any) -> int | None:
        time = time_of(key, value, context)
        if time is None or time.__class__ is int:
            return time
        if isinstance(time, datetime) and time.utcoffset() is not None:
            return round(time.timestamp() * 1000)
        if isinstance(time, int | float) and not isinstance(time, bool):
            return int(time)
        raise StreamflowError(
            f"its timestamp function gave {time!r}; it must give milliseconds since 1970, a datetime with a time zone, "
            f"or None to drop the record"
        )

    return extract


def takes(fn: Callable[..., Any], count: int) -> bool:
    """Whether ``fn`` can be called with so many positional arguments; yes when its signature cannot be read.

    >>> takes(lambda a, b: a, 2), takes(lambda a: a, 2)
    (True, False)
    """
    try:
        inspect.signature(fn).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def required_arguments(fn: Any, role: str, step: str) -> int | None:
    """How many positional arguments ``fn`` must be given, or None when its signature cannot be read."""
    if not callable(fn):
        raise TopologyError(f"step '{step}': its {role} is {fn!r}, which cannot be called; give it a function")
    if role != "call" and (inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)):
        raise TopologyError(
            f"step '{step}': its {role} {spelled(fn)} is async, but steps are not awaited; write it with a plain def, "
            f"or use map_async"
        )
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return None
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if keywords:
        raise TopologyError(
            f"step '{step}': its {role} {spelled(fn)} needs the keyword argument '{keywords[0]}', which nobody gives; "
            f"give it a default or bind it with functools.partial"
        )
    return sum(p.kind in _POSITIONAL and p.default is p.empty for p in parameters)


def spelled(fn: Any) -> str:
    """A function as an error names it.

    >>> spelled(len)
    "'len'"
    """
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    return "(a lambda)" if "<lambda>" in name else f"'{name}'"


def _most_arguments(fn: Callable[..., Any]) -> int:
    """How many positional arguments ``fn`` can be given: ``f(value=0)`` may be called with a value too."""
    parameters = inspect.signature(fn).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 1 << 30
    return sum(p.kind in _POSITIONAL for p in parameters)


def _count(required: int) -> str:
    return {0: "no argument", 1: "1 argument"}.get(required, f"{required} arguments")
