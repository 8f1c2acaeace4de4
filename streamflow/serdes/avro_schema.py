"""The Avro schema of a Python type.

    bool boolean   int long   float double   str string   bytes bytes   None null
    list[T], set[T], tuple[T, ...]   array        dict[str, V]   map        T | None, unions   union
    datetime   long, timestamp-micros             date   int, date          UUID   string, uuid
    an Enum of texts   enum       Literal of texts   string    dataclass, Struct, TypedDict, NamedTuple   record

A field's default becomes the schema's default, so that a field which is added
with one can still be read from old values: None, numbers, texts, booleans, and
empty lists and dicts.

Source: the Avro specification, "Schema Declaration" and "Logical Types".
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from streamflow.errors import TopologyError
from streamflow.serdes.structured import type_name

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MISSING: Any = object()
_PLAIN: dict[type, Any] = {
    msgspec.inspect.BoolType: "boolean",
    msgspec.inspect.IntType: "long",
    msgspec.inspect.FloatType: "double",
    msgspec.inspect.StrType: "string",
    msgspec.inspect.BytesType: "bytes",
    msgspec.inspect.NoneType: "null",
    msgspec.inspect.UUIDType: {"type": "string", "logicalType": "uuid"},
    msgspec.inspect.DateTimeType: {"type": "long", "logicalType": "timestamp-micros"},
    msgspec.inspect.DateType: {"type": "int", "logicalType": "date"},
}


def schema_of(of: Any, namespace: str = "") -> Any:
    """The schema as plain data; `TopologyError` that names the type which Avro has no form for.

    >>> schema_of(dict[str, int | None])
    {'type': 'map', 'values': ['long', 'null']}
    """
    try:
        info = msgspec.inspect.type_info(of)
    except Exception as error:
        raise TopologyError(f"{type_name(of)} has no Avro schema: {error}; give the schema itself") from None
    return _Writer(type_name(of), namespace).schema(info)


class _Writer:
    """One schema under way; a record that was written once is named from then on."""

    def __init__(self, whole: str, namespace: str) -> None:
        self._whole = whole
        self._namespace = namespace
        self._named: dict[Any, str] = {}

    def schema(self, info: Any) -> Any:
        kind = cast(Any, type(info))
        if (plain := _PLAIN.get(kind)) is not None:
            return plain
        match info:
            case msgspec.inspect.UnionType(types=types):
                return [self.schema(each) for each in types]
            case msgspec.inspect.DictType(key_type=msgspec.inspect.StrType(), value_type=value):
                return {"type": "map", "values": self.schema(value)}
            case (
                msgspec.inspect.ListType(item_type=item)
                | msgspec.inspect.SetType(item_type=item)
                | msgspec.inspect.FrozenSetType(item_type=item)
                | msgspec.inspect.VarTupleType(item_type=item)
            ):
                return {"type": "array", "items": self.schema(item)}
            case msgspec.inspect.LiteralType(values=values) if all(isinstance(each, str) for each in values):
                return "string"
            case msgspec.inspect.EnumType(cls=cls):
                return self._enum(cls)
            case (
                msgspec.inspect.StructType(fields=fields)
                | msgspec.inspect.DataclassType(fields=fields)
                | msgspec.inspect.TypedDictType(fields=fields)
                | msgspec.inspect.NamedTupleType(fields=fields)
            ):
                return self._record(info.cls, fields)
            case msgspec.inspect.Metadata(type=inner):
                return self.schema(inner)
            case _:
                what = type(info).__name__.removesuffix("Type")
                raise self._none(f"Avro has no form for {what}")

    def _record(self, cls: Any, fields: Any) -> Any:
        if cls in self._named:
            return self._named[cls]
        if self._named and hasattr(cls, "_fields"):
            raise self._none(f"the named tuple {cls.__name__} is within another type; make it a dataclass")
        name = self._name(cls)
        written: list[dict[str, Any]] = []
        for field in fields:
            if not _NAME.match(field.encode_name):
                raise self._none(f"the field {field.encode_name!r} is no name in Avro")
            schema: dict[str, Any] = {"name": field.encode_name, "type": self.schema(field.type)}
            if (default := _default(field)) is not _MISSING:
                schema["type"] = _first(schema["type"], default)
                schema["default"] = default
            written.append(schema)
        return {"type": "record", "name": name, **self._space(), "fields": written}

    def _enum(self, cls: Any) -> Any:
        if cls in self._named:
            return self._named[cls]
        symbols = [member.value for member in cls]
        if not all(isinstance(each, str) and _NAME.match(each) for each in symbols):
            raise self._none(f"the values of {cls.__name__} must be texts that are names in Avro, and are {symbols}")
        return {"type": "enum", "name": self._name(cls), **self._space(), "symbols": symbols}

    def _name(self, cls: Any) -> str:
        name: str = cls.__name__
        full = f"{self._namespace}.{name}" if self._namespace else name
        if not _NAME.match(name) or full in self._named.values():
            raise self._none(
                f"two types are named {name}" if full in self._named.values() else f"{name} is no name there"
            )
        self._named[cls] = full
        return name

    def _space(self) -> dict[str, str]:
        return {"namespace": self._namespace} if self._namespace else {}

    def _none(self, why: str) -> TopologyError:
        return TopologyError(f"{self._whole} has no Avro schema: {why}; give the schema itself, as a dict or JSON text")


def _default(field: Any) -> Any:
    """A default that Avro can write down, or nothing."""
    if field.default_factory in (list, dict):
        made = cast(Any, field.default_factory)()
        return made
    found = field.default
    return found if found is None or isinstance(found, str | int | float | bool) else _MISSING


def _first(schema: Any, default: Any) -> Any:
    """A union whose first branch is that of the default, as Avro wants it."""
    if not isinstance(schema, list):
        return schema
    kind = cast(Any, type(default))
    wanted = {type(None): "null", bool: "boolean", int: "long", float: "double", str: "string"}.get(kind)
    branches: list[Any] = schema  # pyright: ignore[reportUnknownVariableType]
    return [each for each in branches if each == wanted] + [each for each in branches if each != wanted]
