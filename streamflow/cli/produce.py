"""``streamflow produce``: lines of text or JSON become records, in whole batches.

When it exits 0 every line is in the log for good. A line that cannot be used stops it with its number; what was
written before stays.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import msgspec

from streamflow.cli.feed import blocks
from streamflow.cli.forms import TYPES, Form, form, inner_key
from streamflow.cli.options import broker, complain, debug, option, with_log
from streamflow.config import outside
from streamflow.errors import ConfigError, LogError, SerdeError, StreamflowError, UnknownTopic
from streamflow.log.batch import RawRecord, encode
from streamflow.log.contract import Log
from streamflow.log.open import is_embedded
from streamflow.log.partitioner import Partitions
from streamflow.record import TopicPartition
from streamflow.runtime.collector import settle
from streamflow.topic import NewTopic, TopicInfo

DEFAULT_PARTITIONS = 4
NONE: list[tuple[str, bytes]] = []  # no headers: one list for all records
RUN = 1_000  # records without a key go to one partition in runs of so many

Lists = list[list[RawRecord]]
Convert = Callable[[bytes, Lists], int]
"""Puts the records of a block of lines into the lists, one a partition; gives how many they were."""


@click.command("produce")
@click.argument("topic")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@broker
@option("--format", "layout", type=click.Choice(["lines", "json"]), default="lines", show_default=True)
@option("--key-separator", metavar="TEXT", help="What parts key and value of a line, such as TAB; else no key.")
@option("--key", "key", metavar="TYPE", default="str", show_default=True, help=TYPES + ".")
@option("--value", "value", metavar="TYPE", default="str", show_default=True, help="As for --key.")
@option("--partitions", type=click.IntRange(1), help="How many partitions the topic gets if it is made now.")
@option("--partition", type=click.IntRange(0), help="Put every record into this partition.")
@debug
def command(
    topic: str,
    files: tuple[str, ...],
    broker: str | None,
    layout: str,
    key_separator: str | None,
    key: str,
    value: str,
    partitions: int | None,
    partition: int | None,
) -> None:
    """Write lines from stdin or FILEs into TOPIC.

    A topic that does not exist is made (on the embedded log). One line of --format json is
    {"key": "a", "value": 1, "timestamp": 1700000000000, "partition": 0, "headers": {}}; all but the value may be
    left out.
    """
    forms = form(key), form(value)
    separator = _separator(key_separator)
    if separator is not None and layout == "json":
        raise ConfigError("--key-separator is for --format lines; JSON lines have their key inside")

    settle()

    async def work(log: Log) -> tuple[int, TopicInfo]:
        info = await ensure(log, topic, partitions, create=is_embedded(broker))
        if partition is not None and partition >= info.partitions:
            known = f"{topic!r} has the partitions 0 to {info.partitions - 1}"
            raise ConfigError(f"{known}; there is no partition {partition}")
        convert = converter(layout, separator, *forms, info.partitions, partition)
        return await pump(log, topic, files or ("-",), convert, info.partitions), info

    count, info = with_log(broker, work, create=True)
    if sys.stderr.isatty():
        complain(f"{count:,} records written to {topic!r} ({info.partitions} partitions)")


async def ensure(log: Log, topic: str, partitions: int | None, *, create: bool) -> TopicInfo:
    """The topic, made if it is not there and may be. Raises `ConfigError` when it has another number of partitions."""
    found = (await log.topics()).get(topic)
    if found is None:
        if not create:
            raise UnknownTopic(
                f"topic {topic!r} does not exist; `streamflow topics create {topic} --partitions N` makes it"
            )
        wanted = partitions or outside({}).get("topic_partitions", DEFAULT_PARTITIONS)
        await log.create_topics([NewTopic(topic, wanted)])
        found = (await log.topics())[topic]
    if partitions not in (None, found.partitions):
        raise ConfigError(f"{topic!r} exists with {found.partitions} partitions; leave --partitions away")
    return found


def converter(
    layout: str, separator: bytes | None, key: Form, value: Form, partitions: int, partition: int | None
) -> Convert:
    """How a block of lines becomes records."""
    if layout == "json":
        return _of_json(key, value, partitions, partition)
    if separator is None:
        return _of_values(value, partitions, partition)
    return _of_pairs(separator, key, value, partitions, partition)


async def pump(log: Log, topic: str, files: Sequence[str], convert: Convert, partitions: int) -> int:
    """Write everything; gives the number of records."""
    lines = written = 0
    lists: Lists = [[] for _ in range(partitions)]
    try:
        async for block in blocks(files):
            try:
                count = convert(block, lists)
            except SerdeError:
                raise _at_line(block, lines, convert, partitions, written) from None
            batches = {TopicPartition(topic, p): encode(records) for p, records in enumerate(lists) if records}
            if batches:
                await log.append(batches)
            for records in lists:
                records.clear()
            written += count
            lines += block.count(b"\n")
    except OSError as error:
        raise LogError(f"cannot read {error.filename or 'stdin'}: {error.strerror}") from error
    return written


def _at_line(block: bytes, before: int, convert: Convert, partitions: int, written: int) -> StreamflowError:
    """The error of a block, with the number of its line."""
    for number, line in enumerate(block.splitlines(keepends=True), before + 1):
        try:
            convert(line, [[] for _ in range(partitions)])
        except SerdeError as error:
            return StreamflowError(f"line {number}: {error}; {written:,} records were written, the rest was not")
    return StreamflowError(f"lines {before + 1} and following cannot be used; {written:,} records were written")


def _of_values(form: Form, partitions: int, partition: int | None) -> Convert:
    parse = form.parse
    whole = form.verbatim and form.name != "json"
    turn = 0

    def convert(block: bytes, lists: Lists) -> int:
        nonlocal turn
        if whole:  # a block is right exactly when each of its lines is
            parse(block)
        values = block.split(b"\n")
        values.pop()
        now = _now()
        for begin in range(0, len(values), RUN):
            run: Iterable[bytes] = values[begin : begin + RUN]
            if not whole:
                run = map(parse, run)
            target = turn % partitions if partition is None else partition
            lists[target].extend([(None, value, now, NONE) for value in run])
            turn += 1
        return len(values)

    return convert


def _of_pairs(separator: bytes, key: Form, value: Form, partitions: int, partition: int | None) -> Convert:
    parse_key, parse_value = key.parse, value.parse
    of = Partitions(partitions)
    whole = key.name == value.name == "str"

    def convert(block: bytes, lists: Lists) -> int:
        if whole:
            parse_key(block)
        lines = block.split(b"\n")
        lines.pop()
        now = _now()
        for line in lines:
            left, found, right = line.partition(separator)
            if not found:
                raise SerdeError(f"{line[:40]!r} has no {separator!r} between key and value")
            if not whole:
                left, right = parse_key(left), parse_value(right)
            lists[of[left] if partition is None else partition].append((left, right, now, NONE))
        return len(lines)

    return convert


def _of_json(key: Form, value: Form, partitions: int, partition: int | None) -> Convert:
    decode = msgspec.json.Decoder(_line_type(key, value)).decode_lines
    read_key, read_value = _reader(key), _reader(value)
    of = Partitions(partitions)
    turn = 0

    def convert(block: bytes, lists: Lists) -> int:
        nonlocal turn
        try:
            lines = decode(block)
        except msgspec.DecodeError as error:
            raise SerdeError(str(error)) from None
        now = _now()
        turn += 1
        for line in lines:
            name = read_key(line.key)
            if partition is not None:
                target = partition
            elif line.partition is not None:
                target = line.partition
            else:
                target = turn % partitions if name is None else of[inner_key(key.name, name)]
            if not 0 <= target < partitions:
                raise SerdeError(f"there is no partition {target}; the topic has {partitions}")
            time = now if line.timestamp is None else line.timestamp
            lists[target].append((name, read_value(line.value), time, _headers(line.headers) if line.headers else NONE))
        return len(lines)

    return convert


def _line_type(key: Form, value: Form) -> Any:
    """One JSON line; what is JSON in the record stays the text it was."""
    return msgspec.defstruct(
        "Line",
        [
            ("value", msgspec.Raw if value.name == "json" else Any),
            ("key", msgspec.Raw if key.name == "json" else Any, None),
            ("timestamp", int | None, None),
            ("partition", int | None, None),
            ("headers", dict[str, Any] | None, None),
            ("topic", Any, None),
            ("offset", Any, None),
        ],
        forbid_unknown_fields=True,
    )


def _reader(form: Form) -> Callable[[Any], bytes | None]:
    if form.name == "json":
        return lambda raw: None if raw is None or raw == b"null" else bytes(raw)
    read = form.read
    return lambda value: None if value is None else read(value)


def _headers(headers: dict[str, Any]) -> list[tuple[str, bytes]]:
    """A name with several values has a list."""
    read = form("str").read
    found: list[tuple[str, bytes]] = []
    for name, value in headers.items():
        found.extend((name, read(each)) for each in _several(value))
    return found


def _several(value: Any) -> list[Any]:
    return [*value] if isinstance(value, list) else [value]


def _separator(text: str | None) -> bytes | None:
    if text is None:
        return None
    if not text:
        raise ConfigError("--key-separator is empty; write a character, or TAB")
    return {"TAB": b"\t", "\\t": b"\t"}.get(text, text.encode())


def _now() -> int:
    return time.time_ns() // 1_000_000
