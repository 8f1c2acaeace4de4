"""JSON values whose schema stands in a registry, as Confluent's JSON Schema serde writes them."""

from __future__ import annotations

import json as text
from typing import Any

import msgspec

from streamflow.errors import TopologyError
from streamflow.serdes.base import Serde
from streamflow.serdes.framed import Body, framed
from streamflow.serdes.registry import Registered, SchemaRegistry, registry_of
from streamflow.serdes.structured import json, type_name


def json_schema(of: Any, *, registry: SchemaRegistry | str | None = None) -> Serde[Any]:
    """``of`` as JSON, its JSON Schema registered; a value is checked against the type when it is read.

    Without a registry this is `json`. Any type that `json` takes, pydantic models included.

    >>> json_schema(list[int]).serialize([1, 2])
    b'[1,2]'
    """
    inner: Serde[Any] = json(of)
    if (found := registry_of(registry)) is None:
        return inner
    write, read = inner.serialize, inner.deserialize
    schema = _schema(of)
    record = str(schema.get("title") or type_name(of))

    def registered() -> Registered:
        return Registered(text.dumps(schema, separators=(",", ":")), "JSON")

    body = Body(
        f"JSON of {record}",
        record,
        registered,
        lambda value: write(value) or b"null",
        lambda data, _: read(data),
        "json",
    )
    return framed(body, found)


def _schema(of: Any) -> dict[str, Any]:
    if hasattr(of, "model_json_schema"):
        return dict(of.model_json_schema())
    try:
        schema = msgspec.json.schema(of)
    except Exception as error:
        raise TopologyError(f"{type_name(of)} has no JSON Schema: {error}") from None
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": type_name(of), **_unwrapped(schema)}


def _unwrapped(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that only refers to one of its definitions, as that definition."""
    reference = schema.get("$ref", "")
    if set(schema) != {"$ref", "$defs"} or not reference.startswith("#/$defs/"):
        return schema
    rest = dict(schema["$defs"])
    name = reference.removeprefix("#/$defs/")
    if f'"{reference}"' in text.dumps(rest):
        return schema  # it refers to itself
    found = rest.pop(name)
    return {**found, **({"$defs": rest} if rest else {})}
