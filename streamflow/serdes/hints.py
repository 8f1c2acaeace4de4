"""What the annotations of a user's function tell about its result.

Nothing is guessed: a lambda, a builtin or an annotation that cannot be read
tells nothing, and then whoever needs the type asks for ``value=``.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from streamflow.errors import TopologyError
from streamflow.serdes.base import Serde
from streamflow.serdes.resolve import serde_of

_ITEMS = (list, tuple, set, frozenset, collections.abc.Iterable, collections.abc.Sequence, collections.abc.Iterator,
          collections.abc.Collection, collections.abc.Generator)  # fmt: skip


def result(fn: Callable[..., Any]) -> Any:
    """The type that ``fn`` says it gives, or None. A class gives itself.

    >>> result(int), result(len), result(lambda x: x)
    (<class 'int'>, None, None)
    """
    while isinstance(fn, functools.partial):
        fn = fn.func
    if isinstance(fn, type):
        return fn
    target: Any = fn if inspect.isroutine(fn) else getattr(type(fn), "__call__", fn)  # noqa: B004 - its hints, not its being
    try:
        return typing.get_type_hints(target).get("return")
    except Exception:  # an annotation that cannot be resolved tells nothing
        return None


def pair(hint: Any) -> tuple[Any, Any]:
    """Key and value type of ``tuple[K, V]`` or ``tuple[K, V] | None``; None for what is not told.

    >>> pair(tuple[str, int])
    (<class 'str'>, <class 'int'>)
    """
    arguments = typing.get_args(_present(hint))
    if typing.get_origin(_present(hint)) is tuple and len(arguments) == 2 and arguments[1] is not ...:
        return arguments[0], arguments[1]
    return None, None


def item(hint: Any) -> Any:
    """The type of the things in ``list[T]``, ``Iterable[T]`` and their like, or None.

    >>> item(list[int]), item(int)
    (<class 'int'>, None)
    """
    hint = _present(hint)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) not in _ITEMS or not arguments:
        return None
    if typing.get_origin(hint) is tuple and (len(arguments) != 2 or arguments[1] is not ...):
        return None
    return arguments[0]


def told(hint: Any) -> Serde[Any] | None:
    """The serde of an annotation, or None when it tells nothing that could be written."""
    hint = _present(hint)
    if hint in (None, Any, object, type(None)) or isinstance(hint, typing.TypeVar):
        return None
    try:
        return serde_of(hint)
    except TopologyError:
        return None


def _present(hint: Any) -> Any:
    """``T`` of ``T | None``."""
    arguments = [each for each in typing.get_args(hint) if each is not type(None)]
    return arguments[0] if len(arguments) == 1 and type(None) in typing.get_args(hint) else hint
