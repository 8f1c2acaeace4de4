"""The end of a fused chain: a record becomes bytes in the list of its partition.

A windowed key is placed by its inner key alone, so that all windows of a key
lie in one partition, where the key itself would lie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from streamflow.errors import StreamflowError
from streamflow.forms import Form
from streamflow.naming import legal
from streamflow.operators.contract import Emit
from streamflow.serdes import for_topic, shown
from streamflow.topology import Sink


class Outlet(Protocol):
    """What waits for one topic. ``lists`` (one per partition) stay the same objects for the life of the task."""

    @property
    def partitions(self) -> int: ...

    @property
    def lists(self) -> list[list[Any]]:
        """Per partition: ``(key bytes, value bytes, timestamp, headers)``."""
        ...

    @property
    def of(self) -> Mapping[bytes, int]:
        """The partition of a key's bytes."""
        ...

    def null_partition(self) -> int:
        """Where a record without a key goes."""
        ...


class Outside(Protocol):
    """What a sink needs of the task: `streamflow.fuse.Host` in part."""

    @property
    def context(self) -> Any: ...

    @property
    def undo(self) -> list[Any] | None: ...

    def outlet(self, topic: str) -> Outlet: ...


def sink(name: str, meaning: Sink, topic: str | None, form: Form, host: Outside) -> Emit:
    """The function of a sink step: ``topic`` is its full name, None when the sink names one per record."""
    if topic is None or meaning.partitioner is not None or meaning.headers is not None or host.undo is not None:
        return _any_sink(name, meaning, topic, form, host)

    outlet, context = host.outlet(topic), host.context
    lists, of, null_partition = outlet.lists, outlet.of, outlet.null_partition
    key_raw, value_raw, inner = *_as_they_are(meaning, form), meaning.key.placed_by
    write_key, write_value = meaning.key.serialize, meaning.value.serialize

    def process(key: Any, value: Any, timestamp: int) -> None:
        if not key_raw:
            key = write_key(key)
        if not value_raw:
            value = write_value(value)
        partition = null_partition() if key is None else of[key if inner is None else key[inner]]
        # An empty tuple rather than the record's empty list: the list is freed, and the garbage collector has less to see.
        lists[partition].append((key, value, timestamp, context.record.headers or ()))

    return process


def _any_sink(name: str, meaning: Sink, topic: str | None, form: Form, host: Outside) -> Emit:
    """The same with everything that may be asked of a sink."""
    context, undo, inner = host.context, host.undo, meaning.key.placed_by
    key_raw, value_raw = _as_they_are(meaning, form)
    write_key, write_value = meaning.key.serialize, meaning.value.serialize
    partitioner: Any = meaning.partitioner
    headers_of = meaning.headers
    outlet_of = _outlet_of(name, meaning, topic, host)
    by_topic = topic is None and (meaning.key.of_topic is not None or meaning.value.of_topic is not None)
    writers: dict[str, tuple[Any, Any]] = {}

    def process(key: Any, value: Any, timestamp: int) -> None:
        nonlocal write_key, write_value
        to, outlet = outlet_of(key, value)
        if by_topic:
            if to not in writers:
                writers[to] = (
                    for_topic(meaning.key, to, "key").serialize,
                    for_topic(meaning.value, to, "value").serialize,
                )
            write_key, write_value = writers[to]
        key_bytes = key if key_raw else write_key(key)
        value_bytes = value if value_raw else write_value(value)
        if partitioner is not None:
            partition = partitioner(to, key, value, outlet.partitions)
            if not isinstance(partition, int) or not 0 <= partition < outlet.partitions:
                raise StreamflowError(
                    f"step {name!r}: its partitioner gave {partition!r} for topic {to!r}, "
                    f"which has the partitions 0 to {outlet.partitions - 1}"
                )
        elif key_bytes is None:
            partition = outlet.null_partition()
        else:
            partition = outlet.of[key_bytes if inner is None else key_bytes[inner]]
        headers = context.record.headers if headers_of is None else _pairs(headers_of(key, value, context), name)
        records = outlet.lists[partition]
        records.append((key_bytes, value_bytes, timestamp, headers))
        if undo is not None:
            undo.append(records.pop)

    return process


def _outlet_of(name: str, meaning: Sink, topic: str | None, host: Outside) -> Callable[[Any, Any], tuple[str, Outlet]]:
    """The topic's name and outlet for a record."""
    if topic is not None:
        fixed = topic, host.outlet(topic)
        return lambda key, value: fixed

    chosen: Any = meaning.topic
    context = host.context
    known: dict[Any, tuple[str, Outlet]] = {}

    def outlet_of(key: Any, value: Any) -> tuple[str, Outlet]:
        to = chosen(key, value, context)
        try:
            return known[to]
        except (KeyError, TypeError):  # new, or nothing that could be a name
            found = known[to] = _checked(to, name), host.outlet(to)
            return found

    return outlet_of


def _checked(topic: Any, step: str) -> str:
    if not isinstance(topic, str) or not topic:
        raise StreamflowError(f"step {step!r}: its function must give the name of a topic, but gave {topic!r}")
    try:
        return legal(topic)
    except StreamflowError as error:
        raise StreamflowError(f"step {step!r}: its function gave a topic that cannot be: {error}") from None


def _pairs(headers: Any, step: str) -> list[tuple[str, bytes | None]]:
    """A user's headers, once they are found to be such: the log would refuse them only at the commit."""
    found: Any = [*headers] if isinstance(headers, list | tuple) else None
    if found is None or not all(map(_is_header, found)):
        raise StreamflowError(
            f"step {step!r}: its headers must be pairs of a name and bytes, such as [('kind', b'order')], "
            f"but it gave {shown(headers)}"
        )
    return found  # type: ignore[no-any-return]


def _is_header(pair: Any) -> bool:
    match pair:
        case (str(), bytes() | None):
            return True
        case _:
            return False


def _as_they_are(meaning: Sink, form: Form) -> tuple[bool, bool]:
    """Whether key and value are bytes that go out as they came."""
    return form.key_raw and not meaning.key.any_form, form.value_raw and not meaning.value.any_form
