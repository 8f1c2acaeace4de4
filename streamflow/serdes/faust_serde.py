"""Values that are Faust's records, as Faust writes them; needs ``pip install 'streamflow[faust]'``.

A record is written by its own serializer, JSON where it names none, with the name of its class under ``__faust``.
What it is read from may come without that name.

Source: Faust's documentation, "Models, Serialization, and Codecs".
"""

from __future__ import annotations

from typing import Any, TypeVar

from streamflow.errors import TopologyError
from streamflow.serdes.base import Serde, unreadable, unwritable

T = TypeVar("T")


def faust(record: type[T]) -> Serde[T]:
    """The serde of a `faust.Record`; the class itself as ``value=`` means the same.

    >>> from faust import Record
    >>> class Click(Record):
    ...     user: str
    ...     count: int = 0
    >>> serde = faust(Click)
    >>> serde.deserialize(b'{"user": "ann", "count": 3, "__faust": {"ns": "shop.Click"}}').count
    3
    >>> serde.deserialize(serde.serialize(Click("ann"))).user
    'ann'
    """
    kind: Any = record
    if not is_faust(record):
        raise TopologyError(f"serdes.faust takes a class made from faust.Record, not {record!r}")
    from faust.models.base import registry
    from faust.serializers.codecs import loads

    name = f"faust({kind.__module__}.{kind.__qualname__})"
    how: str = kind._options.serializer or "json"

    def serialize(value: Any) -> bytes:
        if not isinstance(value, record):
            raise unwritable(name, value)
        written: Any = value
        return bytes(written.dumps(serializer=how))

    def deserialize(data: bytes | None) -> Any:
        try:
            fields: Any = loads(how, data or b"")
            # A class that has moved since is the one that is asked for now.
            named: Any = fields.get("__faust")
            if named is not None and named["ns"] not in registry:
                del fields["__faust"]
            return kind.from_data(fields)
        except Exception as error:  # whatever a user's own class raises
            raise unreadable(name, data or b"", f"{type(error).__name__}: {error}") from error

    return Serde(serialize, deserialize, name)


def is_faust(kind: Any) -> bool:
    """Whether a type is one of Faust's records, told without importing Faust."""
    return isinstance(kind, type) and any(base.__module__ == "faust.models.record" for base in kind.__mro__[1:])
