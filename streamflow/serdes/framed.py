"""What the serdes of Avro, Protobuf and JSON Schema share: a body, and with a registry a frame in front of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamflow.errors import TopologyError
from streamflow.serdes.base import Serde
from streamflow.serdes.registry import Registered, SchemaRegistry, frame, unframe


@dataclass(frozen=True)
class Body:
    """How a value is written and read without its frame.

    ``record`` is the full name of what is written. ``schema()`` is what is registered for it. ``read(data, writer)``
    takes the schema that the value was written with, None where there is no registry.
    """

    name: str
    record: str
    schema: Callable[[], Registered]
    write: Callable[[Any], bytes]
    read: Callable[[bytes, Registered | None], Any]
    kind: str


def framed(body: Body, registry: SchemaRegistry | None) -> Serde[Any]:
    """The serde of a body: alone, or with the frame of a registry."""
    if registry is None:
        read = body.read
        return Serde(body.write, lambda data: read(data, None), body.name)  # type: ignore[arg-type]
    return _under(body, registry, None, "value")


def _under(body: Body, registry: SchemaRegistry, topic: str | None, role: str) -> Serde[Any]:
    """The serde that writes under one topic's subject; what it reads may come from any."""
    write, read, kind = body.write, body.read, body.kind
    subject = registry.subject(topic, role, body.record)
    head = b""

    def ready() -> bytes:
        nonlocal head
        head = frame(registry.id_of(subject, body.schema()))
        return head

    def serialize(value: Any) -> bytes:
        return (head or ready()) + write(value)

    def deserialize(data: bytes | None) -> Any:
        number, rest = unframe(data or b"", body.name)
        return read(rest, registry.schema(number))

    return Serde(
        serialize,
        deserialize,
        f"{kind}({body.record}) by registry",
        of_topic=lambda topic, role: _under(body, registry, topic, role),
        ready=ready,
    )


def optional(module: str, package: str, extra: str) -> Any:
    """A module of a package that is not always installed; a `TopologyError` that says how to bring it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise TopologyError(f"{package} is not installed; bring it with: pip install 'streamflow[{extra}]'") from None
