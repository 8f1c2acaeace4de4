"""JSON and MessagePack of any type msgspec knows, checked against the type when read.

A serde's name holds the type's own name and not its module: the same script is
``__main__`` when run by hand and something else when loaded by a worker, and
state must not be refused for that. Nor does it hold the fields, so that a
field added with a default is no change; a change that cannot read old values
shows at the first of them, with the field named.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import msgspec

from streamflow.errors import TopologyError
from streamflow.serdes.base import Serde, unreadable, unwritable

T = TypeVar("T")

_IMMUTABLE = frozenset(
    {
        int, str, bytes, float, bool, type(None), uuid.UUID, decimal.Decimal,
        datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
    }
)  # fmt: skip


def json(of: type[T] | Any = Any) -> Serde[T]:
    """``of`` as JSON: a dataclass, Struct, TypedDict, NamedTuple, dict, list, union, scalar or pydantic model.

    >>> json(dict[str, int]).serialize({"a": 1})
    b'{"a":1}'
    """
    if hasattr(of, "model_validate_json"):
        return _pydantic(of)
    decoder = _checked(of, msgspec.json.Decoder)
    return _serde(of, "json", msgspec.json.Encoder().encode, decoder.decode)


def msgpack(of: type[T] | Any = Any) -> Serde[T]:
    """``of`` as MessagePack: the same types as `json`, in fewer bytes.

    >>> msgpack(list[int]).serialize([1, 2])
    b'\\x92\\x01\\x02'
    """
    decoder = _checked(of, msgspec.msgpack.Decoder)
    return _serde(of, "msgpack", msgspec.msgpack.Encoder().encode, decoder.decode)


def type_name(of: Any) -> str:
    """A type as errors and fingerprints spell it, without its module.

    >>> type_name(dict[str, list[int | None]])
    'dict[str, list[int | None]]'
    """
    if of is None or of is type(None):
        return "None"
    if isinstance(of, types.UnionType) or typing.get_origin(of) is typing.Union:
        return " | ".join(map(type_name, typing.get_args(of)))
    if typing.get_origin(of) is typing.Annotated:
        return repr(of).replace("typing.", "")
    if arguments := typing.get_args(of):
        origin = typing.get_origin(of)
        if origin is typing.Literal:
            return f"Literal[{', '.join(map(repr, arguments))}]"
        inner = ", ".join("..." if each is ... else type_name(each) for each in arguments)
        return f"{type_name(origin)}[{inner}]"
    return getattr(of, "__qualname__", None) or repr(of).replace("typing.", "")


def is_immutable(of: Any, outer: tuple[Any, ...] = ()) -> bool:
    """Whether no value of the type can be changed in place; in doubt it can.

    >>> is_immutable(tuple[int, ...]), is_immutable(list[int])
    (True, False)
    """
    if of in _IMMUTABLE:
        return True
    if any(of is each for each in outer):
        return False
    outer = (*outer, of)
    arguments = [each for each in typing.get_args(of) if each is not ...]
    origin = typing.get_origin(of)
    if origin is typing.Literal:
        return True
    if origin in (tuple, frozenset, typing.Union, types.UnionType):
        return bool(arguments) and all(is_immutable(each, outer) for each in arguments)
    if not inspect.isclass(of):
        return False
    if issubclass(of, enum.Enum):
        return True
    if not _is_frozen(of):
        return False
    try:
        fields = typing.get_type_hints(of)
    except Exception:  # a hint that cannot be resolved tells nothing
        return False
    return all(is_immutable(each, outer) for each in fields.values())


def _is_frozen(of: Any) -> bool:
    if dataclasses.is_dataclass(of):
        return bool(getattr(of, "__dataclass_params__").frozen)  # noqa: B009 - not in the type stubs
    if issubclass(of, msgspec.Struct):
        return bool(of.__struct_config__.frozen)
    return hasattr(of, "_fields")  # a named tuple


def _serde(of: Any, format: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> Serde[Any]:
    name = type_name(of)
    expected = f"{format.upper() if format == 'json' else 'MessagePack'} of {name}"

    def serialize(value: Any) -> bytes | None:
        if value is None:
            return None
        try:
            return encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise unwritable(expected, value, str(error)) from None

    def deserialize(data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            return decode(data)
        except msgspec.MsgspecError as error:
            raise unreadable(expected, data, str(error)) from None
        except UnicodeDecodeError as error:
            raise unreadable(expected, data, error.reason) from None

    return Serde(serialize, deserialize, f"{format}({name})", is_immutable(of), null_safe=True, type=of)


def _checked(of: Any, decoder: Callable[[Any], Any]) -> Any:
    """A decoder, once the type was found to be one that can be read and written."""
    try:
        strange = _strange(msgspec.inspect.type_info(of), set())
        if strange is None:
            return decoder(of)
        why = f"nothing is known about the fields of {type_name(strange)}"
    except Exception as error:  # msgspec says what is wrong in a TypeError; a hint that does not resolve is a NameError
        why = str(error)
    raise TopologyError(
        f"{type_name(of)} cannot be turned into bytes: {why}; "
        f"use a dataclass, msgspec.Struct, TypedDict or dict, or give a Serde(serialize, deserialize)"
    )


def _strange(info: Any, seen: set[int]) -> Any:
    """The first type in ``info`` that msgspec does not know, or None."""
    if isinstance(info, tuple | list):
        within: Iterable[Any] = cast("Iterable[Any]", info)
        return next((found for each in within if (found := _strange(each, seen)) is not None), None)
    if id(info) in seen or not isinstance(info, msgspec.Struct):
        return None
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.CustomType):
        return info.cls
    return _strange([getattr(info, name) for name in info.__struct_fields__], seen)


def _pydantic(model: Any) -> Serde[Any]:
    name = type_name(model)
    expected = f"JSON of {name}"
    read = model.model_validate_json

    def serialize(value: Any) -> bytes | None:
        if value is None:
            return None
        try:
            return bytes(value.model_dump_json().encode())
        except AttributeError:
            raise unwritable(expected, value) from None

    def deserialize(data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            return read(data)
        except ValueError as error:
            told: Any = error
            why = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in told.errors())
            raise unreadable(expected, data, why) from None

    return Serde(serialize, deserialize, f"json({name})", null_safe=True, type=model)
