"""``streamflow consume``: the records of a topic as text, whole batches at a time, promptly when following."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import click
import msgspec

from streamflow.cli.forms import TYPES, Form, form
from streamflow.cli.options import broker, complain, debug, named_topic, option, with_log
from streamflow.errors import SerdeError
from streamflow.log.batch import records
from streamflow.log.contract import Log
from streamflow.record import TopicPartition
from streamflow.runtime.collector import settle

FETCH_BYTES = 4 << 20
FETCH_WAIT = 0.5
MANY = 1 << 62

Show = Callable[[int, Any], bytes]
"""One record of a partition as one line."""


@click.command("consume")
@click.argument("topic")
@broker
@option("--from-beginning", is_flag=True, help="Begin with the oldest record, not with what comes from now on.")
@option("--until-end", is_flag=True, help="Stop at the end that the topic has now.")
@option("--max-messages", type=click.IntRange(0), metavar="N", help="Stop after so many records.")
@option("--format", "layout", type=click.Choice(["json", "raw", "key-value"]), default="json", show_default=True)
@option("--key-separator", metavar="TEXT", default="TAB", show_default=True, help="Between key and value of key-value.")
@option("--key", "key", metavar="TYPE", default="str", show_default=True, help=TYPES + ".")
@option("--value", "value", metavar="TYPE", default="str", show_default=True, help="As for --key.")
@debug
@click.pass_context
def command(
    context: click.Context,
    topic: str,
    broker: str | None,
    from_beginning: bool,
    until_end: bool,
    max_messages: int | None,
    layout: str,
    key_separator: str,
    key: str,
    value: str,
) -> None:
    """Print the records of TOPIC, and go on with those that come.

    raw is the value's bytes and a newline, key-value is KEY, TAB and VALUE as text.
    """
    separator = {"TAB": b"\t", "\\t": b"\t"}.get(key_separator, key_separator.encode())
    show = shower(layout, topic, form(key), form(value), separator)
    if context.get_parameter_source("value") is click.core.ParameterSource.DEFAULT and layout != "raw":
        show = _with_hint(show)

    settle()

    async def work(log: Log) -> None:
        info = await named_topic(log, topic)
        partitions = [TopicPartition(topic, partition) for partition in range(info.partitions)]
        await follow(log, partitions, show, from_beginning, until_end, MANY if max_messages is None else max_messages)

    with_log(broker, work)


async def follow(
    log: Log, partitions: list[TopicPartition], show: Show, from_beginning: bool, until_end: bool, most: int
) -> None:
    """Print records from the beginning or from now on, to the end as it is now or for ever, but at most ``most``."""
    bounds = await log.offsets(partitions)
    positions = {tp: each.start if from_beginning else each.end for tp, each in bounds.items()}
    ends = {tp: each.end if until_end else MANY for tp, each in bounds.items()}
    out = sys.stdout.buffer
    while most > 0 and (open_ones := {tp: at for tp, at in positions.items() if at < ends[tp]}):
        fetched = await log.fetch(open_ones, max_bytes=FETCH_BYTES, max_wait=FETCH_WAIT)
        lines: list[bytes] = []
        for tp, got in fetched.items():
            begin, end = positions[tp], ends[tp]
            for batch in got.batches:
                if len(lines) >= most:
                    break
                lines.extend(show(tp.partition, record) for record in records(batch) if begin <= record.offset < end)
            positions[tp] = got.next_offset
        if lines:
            out.write(b"".join(lines[:most]))
            out.flush()
            most -= len(lines)


def shower(layout: str, topic: str, key: Form, value: Form, separator: bytes) -> Show:
    """How a record becomes a line."""
    if layout == "raw":
        return lambda _, record: (record.value or b"") + b"\n"

    def at(partition: int, record: Any, what: str, error: SerdeError) -> SerdeError:
        where = f"{topic!r} partition {partition} offset {record.offset}"
        return SerdeError(f"{where}: its {what} {error}; name another type with --{what}, such as bytes")

    def part(shown: Callable[[bytes], Any], what: str) -> Callable[[int, Any, bytes | None], Any]:
        def convert(partition: int, record: Any, data: bytes | None) -> Any:
            if data is None:
                return None
            try:
                return shown(data)
            except SerdeError as error:
                raise at(partition, record, what, error) from error

        return convert

    if layout == "key-value":
        key_text, value_text = part(key.text, "key"), part(value.text, "value")

        def line(partition: int, record: Any) -> bytes:
            left, right = key_text(partition, record, record.key), value_text(partition, record, record.value)
            return b"%b%b%b\n" % (b"null" if left is None else left, separator, b"null" if right is None else right)

        return line
    encode = msgspec.json.Encoder().encode
    key_json, value_json = part(key.show, "key"), part(value.show, "value")

    def json(partition: int, record: Any) -> bytes:
        shown = {
            "topic": topic,
            "partition": partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": key_json(partition, record, record.key),
            "value": value_json(partition, record, record.value),
            "headers": _headers(record.headers) if record.headers else {},
        }
        return encode(shown) + b"\n"

    return json


def _headers(headers: Any) -> dict[str, Any]:
    """Names and values; a name that comes several times has a list."""
    several: dict[str, list[Any]] = {}
    for name, data in headers:
        several.setdefault(name, []).append(None if data is None else _text_or_base64(data))
    return {name: values[0] if len(values) == 1 else values for name, values in several.items()}


def _text_or_base64(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _with_hint(show: Show) -> Show:
    """The same, with a word on stderr when the first value looks like a number rather than a text."""
    seen = False

    def hinting(partition: int, record: Any) -> bytes:
        nonlocal seen
        if not seen and record.value is not None:
            seen = True
            if len(record.value) == 8 and b"\0" in record.value:
                complain("these values look like 8-byte numbers; --value int or --value float shows them as such")
        return show(partition, record)

    return hinting
