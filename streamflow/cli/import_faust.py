"""``streamflow import-faust``: a Faust table becomes a topic that a script reads as a table.

What a Faust worker writes into ``<app>-<table>-changelog``:

    key    JSON, or the bytes themselves where the key is bytes; of a window ``[key, [start, end]]`` in seconds, where
           the end is 0.1 s before that of the window
    value  JSON, or bytes; a `faust.Record` names its class under ``__faust``; null deletes the row

A row lies in the partition of the event that made it, not in that of its key, so all of them are read, and each row
is written where its key belongs. A key that has rows in several partitions has several partial results: somebody has
to say what they are together.

Source: what Faust 0.15 wrote (`tests/faust`).
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import click
import msgspec

from streamflow.cli.forms import TYPES, Form, form, inner_key
from streamflow.cli.options import broker, complain, debug, named_topic, option, with_log
from streamflow.clock import milliseconds
from streamflow.errors import ConfigError, SerdeError, StreamflowError
from streamflow.log.batch import encode, records
from streamflow.log.contract import Log
from streamflow.log.partitioner import partition_of
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic

FETCH_BYTES = 8 << 20
WRITTEN_AT_ONCE = 20_000
SEVERAL = ("refuse", "newest", "sum")
_WINDOW_END_S = 0.1  # Faust's windows end so much before their size

Rows = dict[bytes, tuple[bytes, int, int]]
"""By key bytes: value bytes, timestamp, the partition it came from."""


@click.command("import-faust")
@click.argument("app")
@click.argument("table")
@option("--to", "target", metavar="TOPIC", help="The topic to write; by default APP-TABLE.")
@option("--key", metavar="TYPE", default="str", show_default=True, help=f"Of the keys to write: {TYPES}.")
@option("--value", metavar="TYPE", default="json", show_default=True, help="As for --key.")
@option("--partitions", type=click.IntRange(1), help="Of the topic to write; by default as many as Faust's has.")
@option("--several", type=click.Choice(SEVERAL), default="refuse", show_default=True,
        help="What a key with rows in several partitions is worth.")  # fmt: skip
@broker
@debug
def command(
    app: str,
    table: str,
    target: str | None,
    key: str,
    value: str,
    partitions: int | None,
    several: str,
    broker: str | None,
) -> None:
    """Copy the rows of TABLE of the Faust application APP into a compacted topic, each to the partition of its key.

    Stop Faust's workers first. A script reads the topic with app.table(TOPIC, key=..., value=...). Keys of windows are
    --key windowed:TYPE:SIZE, keys and values that Faust keeps as they are --key bytes and --value bytes.
    """
    source = f"{app}-{table}-changelog"
    to = target or f"{app}-{table}"
    reading = Reading(source, key, form(key), value, form(value))

    async def work(log: Log) -> tuple[int, int]:
        await reading.all_of_it(log, (await named_topic(log, source)).partitions)
        rows = reading.settled(several)
        count = partitions or reading.partitions
        await _write(log, to, rows, key, count)
        await _compare(log, to, rows, count)
        return len(rows), count

    rows, count = with_log(broker, work)
    complain(
        f"{reading.seen:,} changes of {source!r} read, {reading.deleted:,} of them deletions; "
        f"{rows:,} rows written to {to!r} ({count} partitions), read back and found equal"
    )


@dataclass
class Reading:
    """Reads a changelog of Faust's; ``found`` are the rows of each of its partitions."""

    topic: str
    key_type: str
    key: Form
    value_type: str
    value: Form
    seen: int = 0
    deleted: int = 0
    found: list[Rows] = field(default_factory=list[Rows])

    @property
    def partitions(self) -> int:
        """How many partitions the changelog has."""
        return len(self.found)

    async def all_of_it(self, log: Log, partitions: int) -> None:
        """Read every partition to its present end."""
        self.found = [{} for _ in range(partitions)]
        async for partition, batch, all_there in _everything(log, self.topic, partitions):
            self._take(partition, batch)
            _progress("read", self.seen, all_there)

    def _take(self, partition: int, batch: Any) -> None:
        rows = self.found[partition]
        for record in batch:
            self.seen += 1
            try:
                key = self._key_of(record.key)
                if record.value is None:
                    self.deleted += 1
                    rows.pop(key, None)
                else:
                    rows[key] = self._value_of(record.value), max(record.timestamp, 0), partition
            except (SerdeError, msgspec.DecodeError) as error:
                raise SerdeError(
                    f"{self.topic!r} partition {partition} offset {record.offset} (key {record.key!r}): {error}; "
                    f"is it a table with --key {self.key_type} and --value {self.value_type}? (A SetTable cannot be read.)"
                ) from None

    def _key_of(self, data: bytes | None) -> bytes:
        if data is None:
            raise SerdeError("it has no key")
        if self.key_type == "bytes":
            return data
        key = msgspec.json.decode(data)
        if self.key_type.startswith("windowed:"):
            key = _window(key, self.key_type)
        return self.key.read(key)

    def _value_of(self, data: bytes) -> bytes:
        return data if self.value_type == "bytes" else self.value.read(_plain(msgspec.json.decode(data)))

    def settled(self, several: str) -> Rows:
        """One row a key. Raises `StreamflowError` for keys in several partitions, unless it is said what they are."""
        rows: Rows = {}
        twice: dict[bytes, list[tuple[bytes, int, int]]] = {}
        for found in self.found:
            for key, row in found.items():
                if key in rows:
                    twice.setdefault(key, [rows[key]]).append(row)
                rows[key] = row
        if twice and several == "refuse":
            key, its = next(iter(twice.items()))
            where = ", ".join(f"{value!r} in partition {partition}" for value, _, partition in its)
            raise StreamflowError(
                f"{len(twice):,} keys of {self.topic!r} have rows in several partitions, such as {key!r}: {where}. Faust "
                "keeps a row where its event lay. With store='rocksdb://' each is a part: --several sum adds them up. With "
                "'memory://' a worker shares them: --several newest takes the one written last"
            )
        for key, its in twice.items():
            newest = max(its, key=lambda row: row[1])
            rows[key] = newest if several == "newest" else (self._sum([row[0] for row in its]), *newest[1:])
        return rows

    def _sum(self, values: list[bytes]) -> bytes:
        numbers = [self.value.show(value) for value in values]
        numbers = [msgspec.json.decode(each) if isinstance(each, msgspec.Raw) else each for each in numbers]
        if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers):
            raise ConfigError(
                f"--several sum adds numbers, and {numbers[0]!r} is none; --several newest takes the last"
            )
        return self.value.read(sum(numbers))


def _plain(value: Any) -> Any:
    """A value without the names of its classes."""
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return {name: _plain(each) for name, each in fields.items() if name != "__faust"}
    if isinstance(value, list):
        return [_plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType] - JSON
    return value


def _window(key: Any, key_type: str) -> dict[str, Any]:
    """Faust's key of a window as ours."""
    size = milliseconds(key_type.rpartition(":")[2], "the size of the windows")
    match key:
        case [inner, [int() | float() as start, int() | float() as end]]:
            if abs((end - start + _WINDOW_END_S) * 1000 - size) > 1:
                raise SerdeError(f"its window lasts {end - start + _WINDOW_END_S:g} s, and {key_type!r} says otherwise")
            first = round(start * 1000)
            return {"key": inner, "start": first, "end": first + size}
        case _:
            raise SerdeError("its key is not that of a window, [key, [start, end]]")


async def _write(log: Log, topic: str, rows: Rows, key_type: str, partitions: int) -> None:
    """Write all rows to a topic that is new, or empty."""
    there = (await log.topics()).get(topic)
    if there is None:
        await log.create_topics([NewTopic(topic, partitions, {"cleanup.policy": "compact"})])
    else:
        bounds = await log.offsets([TopicPartition(topic, partition) for partition in range(there.partitions)])
        if there.partitions != partitions or any(each.end > 0 for each in bounds.values()):
            raise ConfigError(
                f"{topic!r} is there with {there.partitions} partitions, and has or had records in it; name another with "
                f"--to, or delete it: `streamflow topics delete {topic}`"
            )
    lists: list[list[Any]] = [[] for _ in range(partitions)]
    waiting = 0
    for number, (key, (value, timestamp, _)) in enumerate(rows.items(), 1):
        lists[partition_of(inner_key(key_type, key), partitions)].append((key, value, timestamp, []))
        waiting += 1
        if waiting >= WRITTEN_AT_ONCE or number == len(rows):
            await log.append({TopicPartition(topic, p): encode(each) for p, each in enumerate(lists) if each})
            lists = [[] for _ in range(partitions)]
            waiting = 0
            _progress("written", number, len(rows))


async def _everything(log: Log, topic: str, partitions: int) -> AsyncIterator[tuple[int, list[Any], int]]:
    """``(partition, records, how many offsets there are in all)`` of all partitions up to their present ends."""
    ends = await log.offsets([TopicPartition(topic, partition) for partition in range(partitions)])
    positions = {tp: bounds.start for tp, bounds in ends.items() if bounds.start < bounds.end}
    all_there = sum(bounds.end - bounds.start for bounds in ends.values())
    while positions:
        for tp, got in (await log.fetch(positions, max_bytes=FETCH_BYTES, max_wait=1.0)).items():
            found = [r for batch in got.batches for r in records(batch) if positions[tp] <= r.offset < ends[tp].end]
            yield tp.partition, found, all_there
            positions[tp] = got.next_offset
            if got.next_offset >= ends[tp].end:
                del positions[tp]


async def _compare(log: Log, topic: str, rows: Mapping[bytes, tuple[bytes, int, int]], partitions: int) -> None:
    """Read back what was written. Raises `StreamflowError` where it is not the same."""
    equal = 0
    async for _, batch, _ in _everything(log, topic, partitions):
        equal += sum(rows[record.key][0] == record.value for record in batch)
        _progress("compared", equal, len(rows))
    if equal != len(rows):
        raise StreamflowError(
            f"{len(rows):,} rows were written to {topic!r}, and only {equal:,} of them were found there; delete the topic "
            f"and begin anew: `streamflow topics delete {topic}`"
        )


def _say_on_terminal(text: str) -> None:
    sys.stderr.write(f"\r{text}\x1b[K")
    sys.stderr.flush()


def _progress(what: str, done: int, of: int, say: Callable[[str], None] = _say_on_terminal) -> None:
    if sys.stderr.isatty():
        say(f"{done:,} of {of:,} {what}")
        if done >= of:
            sys.stderr.write("\n")
