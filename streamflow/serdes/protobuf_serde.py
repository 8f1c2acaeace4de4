"""Protobuf messages, alone or framed as Confluent's serde frames them.

Behind the frame stands which message of the schema it is: a list of indexes,
each of them an index among its siblings, from the file down to the message:

    varint  how many indexes (zigzag), then the indexes (zigzag); the list [0] is the single byte 00

A schema is registered as the file descriptor's bytes in base64, with the files
it imports as references; the registry gives back text or bytes, which this
serde never needs: Protobuf reads older and newer versions of a message by itself.

Source: Confluent's documentation, "Wire format".
"""

from __future__ import annotations

import base64
from typing import Any

from streamflow.errors import TopologyError
from streamflow.serdes.base import Serde, shown, unreadable, unwritable
from streamflow.serdes.framed import Body, framed, optional
from streamflow.serdes.registry import Reference, Registered, SchemaRegistry, registry_of


def protobuf(message: Any, *, registry: SchemaRegistry | str | None = None) -> Serde[Any]:
    """Values of a generated message class.

    ``registry`` is a `SchemaRegistry` or its URL; then values are framed with their schema's id and the file of the
    message is registered before the first is written. Needs the extra ``protobuf``.
    """
    google = optional("google.protobuf.message", "protobuf", "protobuf")
    if not (isinstance(message, type) and issubclass(message, google.Message)):
        raise TopologyError(f"protobuf(...) takes a generated message class, not {shown(message)}")
    found = registry_of(registry)
    make: Any = message
    descriptor = make.DESCRIPTOR
    name = f"protobuf({descriptor.full_name})"
    indexes = _indexes(descriptor) if found is not None else b""

    def write(value: Any) -> bytes:
        if not isinstance(value, make):
            raise unwritable(name, value)
        try:
            data: bytes = value.SerializeToString(deterministic=True)
            return indexes + data
        except google.EncodeError as error:
            raise unwritable(name, value, str(error)) from None

    def read(data: bytes, writer: Registered | None) -> Any:
        if writer is not None and writer.kind != "PROTOBUF":
            raise unreadable(name, data, f"its schema in the registry is {writer.kind}")
        try:
            made = make()
            made.ParseFromString(data if found is None else data[_skip_indexes(data) :])
            return made
        except (google.DecodeError, IndexError) as error:
            raise unreadable(name, data, str(error)) from None

    def registered() -> Registered:
        assert found is not None
        return _file(descriptor.file, found)

    return framed(Body(name, descriptor.full_name, registered, write, read, "protobuf"), found)


def _file(file: Any, registry: SchemaRegistry) -> Registered:
    """A file as it is registered, those that it imports first; Google's own are known everywhere."""
    references: list[Reference] = []
    for imported in file.dependencies:
        if not imported.name.startswith("google/protobuf/"):
            schema = _file(imported, registry)
            registry.id_of(imported.name, schema)
            references.append(Reference(imported.name, imported.name, registry.version_of(imported.name, schema)))
    return Registered(base64.b64encode(file.serialized_pb).decode(), "PROTOBUF", tuple(references))


def _indexes(descriptor: Any) -> bytes:
    path: list[int] = []
    while descriptor is not None:
        above = descriptor.containing_type
        siblings = descriptor.file.message_types_by_name.values() if above is None else above.nested_types
        path.insert(0, [each.full_name for each in siblings].index(descriptor.full_name))
        descriptor = above
    return b"\x00" if path == [0] else b"".join(_zigzag(number) for number in (len(path), *path))


def _zigzag(number: int) -> bytes:
    number *= 2  # none of them is negative
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _skip_indexes(data: bytes) -> int:
    """Where the message begins."""
    count, at = _varint(data, 0)
    for _ in range(count // 2):
        _, at = _varint(data, at)
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
