"""Made-up input for a script that is being written: records of the types its sources declare, at a given rate.

Keys are ten of each type, so that streams meet tables and windows fill. A table's topic gets a row for each key first,
and a tenth of the rate from then on. Topics that the script itself writes get none.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import decimal
import enum
import random
import types
import typing
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from streamflow.errors import LogUnavailable
from streamflow.log.batch import RawRecord, encode
from streamflow.log.contract import Log
from streamflow.log.partitioner import partition_of
from streamflow.plan import Plan
from streamflow.record import TopicPartition
from streamflow.run.report import Report
from streamflow.serdes import Serde
from streamflow.topology import Sink, Source, Topology

KEYS = 10
EVERY = 0.1  # seconds
NAMES = ("ann", "bob", "cleo", "dan", "eve", "finn", "gwen", "hugo", "ida", "joe")
DEPTH = 4  # of types within types, then collections stay empty
_SCALARS: dict[str, Any] = {
    "string": str,
    "int32": int,
    "int64": int,
    "float64": float,
    "raw": bytes,
    "uuid": uuid.UUID,
}


async def feed(topology: Topology, planned: Plan, log: Log, rate: float, report: Report) -> None:
    """Write ``rate`` records a second, all topics together, until cancelled."""
    rng = random.Random()
    inputs = list(_inputs(topology, rng, report))
    if not inputs:
        report.warn("there is no topic to make input up for")
        return
    tables = [each for each in inputs if each.table]
    streams = [each for each in inputs if not each.table] or tables
    await _write(log, planned, [(each, number) for each in tables for number in range(KEYS)])
    due = 0.0
    while True:
        due += rate * EVERY
        chosen = [rng.choice(tables if tables and rng.random() < 0.1 else streams) for _ in range(int(due))]
        due -= len(chosen)
        await _write(log, planned, [(each, rng.randrange(KEYS)) for each in chosen])
        await asyncio.sleep(EVERY)


@dataclasses.dataclass(frozen=True)
class Input:
    """A topic and how its records are made."""

    topic: str
    table: bool
    keys: Sequence[bytes | None]
    value: Callable[[], bytes | None]
    placed_by: slice | None


def _inputs(topology: Topology, rng: random.Random, report: Report) -> typing.Iterator[Input]:
    written = {step.meaning.topic for step in topology.steps.values() if isinstance(step.meaning, Sink)}
    tables = {parent for step in topology.steps.values() if step.table for parent in step.parents}
    sources: list[tuple[Source, bool]] = [
        (step.meaning, name in tables)
        for name, step in topology.steps.items()
        if isinstance(step.meaning, Source) and step.meaning.repartition is None
    ]
    sources += [(each.source, True) for each in topology.globals.values()]
    seen: set[str] = set()
    for source, table in sources:
        for topic in source.topics:
            if topic in written or topic in seen:
                continue
            seen.add(topic)
            untold = [serde.name for serde in (source.key, source.value) if type_of(serde) is None]
            if untold:
                report.warn(f"no input is made up for topic '{topic}': nothing is known of what {untold[0]} holds")
                continue
            keys = [source.key.serialize(key_of(source.key, number, rng)) for number in range(KEYS)]
            yield Input(topic, table, keys, _values(source.value, rng), source.key.placed_by)


def _values(serde: Serde[Any], rng: random.Random) -> Callable[[], bytes | None]:
    kind = type_of(serde)
    return lambda: serde.serialize(make(kind, rng))


def key_of(serde: Serde[Any], number: int, rng: random.Random) -> Any:
    """The key of a number: the same in every topic, where it is a text or a whole number.

    >>> from streamflow.serdes import serde_of
    >>> key_of(serde_of(str), 1, random.Random()), key_of(serde_of(int), 3, random.Random())
    ('bob', 3)
    """
    kind = type_of(serde)
    return NAMES[number] if kind is str else number if kind is int else make(kind, rng)


def type_of(serde: Serde[Any]) -> Any:
    """The type whose values a serde writes, None if it does not say."""
    return _SCALARS.get(serde.name, serde.type)


def make(kind: Any, rng: random.Random, depth: int = 0) -> Any:
    """A value of a type.

    >>> make(dict[str, list[int]], random.Random(1)).__class__, make(typing.Literal["a"], random.Random(1))
    (<class 'dict'>, 'a')
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return make(arguments[0], rng, depth)
    if origin is typing.Literal:
        return rng.choice(arguments)
    if origin in (typing.Union, types.UnionType):
        return make(rng.choice([each for each in arguments if each is not type(None)]), rng, depth)
    if kind in _MADE:
        return _MADE[kind](rng)
    some = range(0 if depth >= DEPTH else rng.randrange(1, 4))
    outer: Any = origin or kind
    if outer is tuple and arguments[1:] != (...,):
        return tuple(make(each, rng, depth + 1) for each in arguments)
    if (collect := _COLLECTIONS.get(outer)) is not None:
        return collect([make(arguments[0] if arguments else int, rng, depth + 1) for _ in some])
    if outer is dict:
        key, value = arguments or (str, int)
        return {make(key, rng, depth + 1): make(value, rng, depth + 1) for _ in some}
    if kind is Any or not isinstance(outer, type):
        return {"name": rng.choice(NAMES), "amount": rng.randrange(100)}
    if issubclass(outer, enum.Enum):
        return rng.choice(list(outer))
    return _of_fields(outer, rng, depth + 1)


def _of_fields(kind: Any, rng: random.Random, depth: int) -> Any:
    """Of a dataclass, Struct, TypedDict, NamedTuple or pydantic model."""
    hints = typing.get_type_hints(kind)
    known = getattr(kind, "model_fields", None) or getattr(kind, "__struct_fields__", None) or hints
    return kind(**{name: make(hint, rng, depth) for name, hint in hints.items() if name in known})


_COLLECTIONS: dict[Any, Callable[[list[Any]], Any]] = {list: list, set: set, frozenset: frozenset, tuple: tuple}
_MADE: dict[Any, Callable[[random.Random], Any]] = {
    str: lambda rng: rng.choice(NAMES),
    int: lambda rng: rng.randrange(100),
    float: lambda rng: round(rng.uniform(0, 100), 2),
    bool: lambda rng: rng.random() < 0.5,
    bytes: lambda rng: rng.choice(NAMES).encode(),
    type(None): lambda rng: None,
    uuid.UUID: lambda rng: uuid.UUID(int=rng.getrandbits(128), version=4),
    decimal.Decimal: lambda rng: decimal.Decimal(rng.randrange(10_000)) / 100,
    datetime.datetime: lambda rng: datetime.datetime.now(datetime.UTC),
    datetime.date: lambda rng: datetime.datetime.now(datetime.UTC).date(),
    datetime.time: lambda rng: datetime.datetime.now(datetime.UTC).timetz(),
    datetime.timedelta: lambda rng: datetime.timedelta(seconds=rng.randrange(3600)),
    msgspec.Raw: lambda rng: msgspec.Raw(b"1"),
}


async def _write(log: Log, planned: Plan, wanted: Sequence[tuple[Input, int]]) -> None:
    rows: dict[TopicPartition, list[RawRecord]] = {}
    now = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
    for each, number in wanted:
        key = each.keys[number]
        count = planned.partitions[each.topic]
        placed = key if key is None or each.placed_by is None else key[each.placed_by]
        partition = random.randrange(count) if placed is None else partition_of(placed, count)
        rows.setdefault(TopicPartition(each.topic, partition), []).append((key, each.value(), now, []))
    if rows:
        with contextlib.suppress(LogUnavailable):  # it is made up: what does not arrive is not missed
            await log.append({tp: encode(records) for tp, records in rows.items()})
