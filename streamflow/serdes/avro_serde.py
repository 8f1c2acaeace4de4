"""Avro values: of a Python type, whose schema is derived, or of a schema as it stands.

With a registry each value is read by the schema it was written with and
resolved to the reader's own, so fields may come and go as Avro allows. Without
one the bytes are bare and only the very same schema reads them.
"""

from __future__ import annotations

import datetime
import decimal
import io
import json
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from streamflow.errors import TopologyError
from streamflow.serdes.avro_schema import schema_of
from streamflow.serdes.base import Serde, unreadable, unwritable
from streamflow.serdes.framed import Body, framed, optional
from streamflow.serdes.registry import Registered, SchemaRegistry, registry_of

_BUILTIN = (bytes, datetime.datetime, datetime.date, datetime.time, uuid.UUID, decimal.Decimal)


def avro(of: Any, *, registry: SchemaRegistry | str | None = None, namespace: str = "") -> Serde[Any]:
    """``of`` as Avro: a type (dataclass, Struct, TypedDict, ...), or a schema as a dict or JSON text.

    A type's schema is derived (`avro_schema`), in ``namespace``. Values of a schema are what fastavro makes of it,
    dicts for records. ``registry`` is a `SchemaRegistry` or its URL; then values are framed with their schema's id, and
    the schema is registered under the topic's subject before the first is written. Needs the extra ``avro``.

    >>> serde = avro({"type": "record", "name": "P", "fields": [{"name": "x", "type": "long"}]})
    >>> serde.serialize({"x": 1}), serde.deserialize(b"\\x02")
    (b'\\x02', {'x': 1})
    """
    fastavro = optional("fastavro", "fastavro", "avro")
    plain, typed = _plain(of, namespace)
    try:
        reader: Any = fastavro.parse_schema(plain)
    except Exception as error:
        raise TopologyError(f"this is no Avro schema: {error}") from None
    record = fastavro.schema.fullname(plain) if isinstance(plain, dict) and "name" in plain else "value"
    name = f"avro({record})"
    outward, inward = _conversions(of) if typed else (_same, _same)
    writers: dict[Registered, Any] = {}

    def write(value: Any) -> bytes:
        out = io.BytesIO()
        try:
            fastavro.schemaless_writer(out, reader, outward(value))
        except Exception as error:  # whatever a value that does not fit sets off in there
            raise unwritable(name, value, str(error) or type(error).__name__) from None
        return out.getvalue()

    def read(data: bytes, writer: Registered | None) -> Any:
        known: Any = None
        if writer is not None and (known := writers.get(writer)) is None:
            known = writers[writer] = _written_by(writer, name, data)
        source = io.BytesIO(data)
        try:
            found: Any = (
                fastavro.schemaless_reader(source, reader, None)
                if known is None or known == reader
                else fastavro.schemaless_reader(source, known, reader)
            )
            if (rest := len(data) - source.tell()) > 0:
                raise ValueError(f"{rest} bytes are left over")
            return inward(found)
        except Exception as error:
            raise unreadable(name, data, str(error) or type(error).__name__) from None

    def registered() -> Registered:
        return Registered(json.dumps(plain, separators=(",", ":")), "AVRO")

    def _written_by(writer: Registered, name: str, data: bytes) -> Any:
        if writer.kind != "AVRO":
            raise unreadable(name, data, f"its schema in the registry is {writer.kind}")
        named: dict[str, Any] = {}
        for reference in writer.references:
            assert the_registry is not None
            fastavro.parse_schema(json.loads(the_registry.referenced(reference).text), named_schemas=named)
        return fastavro.parse_schema(json.loads(writer.text), named_schemas=named)

    the_registry = registry_of(registry)
    return framed(Body(name, record, registered, write, read, "avro"), the_registry)


def _plain(of: Any, namespace: str) -> tuple[Any, bool]:
    """The schema as plain data, and whether values are of a Python type."""
    if isinstance(of, str):
        try:
            return json.loads(of), False
        except ValueError as error:
            raise TopologyError(f"an Avro schema as text must be JSON: {error}") from None
    if isinstance(of, dict | list):
        return of, False  # pyright: ignore[reportUnknownVariableType]
    return schema_of(of, namespace), True


def _conversions(of: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """From a value of a Python type to what fastavro writes, and back."""

    def outward(value: Any) -> Any:
        return msgspec.to_builtins(value, builtin_types=_BUILTIN)

    def inward(found: Any) -> Any:
        return msgspec.convert(found, of, builtin_types=_BUILTIN)

    if not hasattr(of, "_fields"):
        return outward, inward
    # A named tuple is a record in Avro, and an array to msgspec.
    return (
        lambda value: outward(of(*value)._asdict()),
        lambda found: inward([found[name] for name in of._fields]),
    )


def _same(value: Any) -> Any:
    return value
