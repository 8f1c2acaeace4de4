"""``streamflow topics``: list, create, describe and delete."""

from __future__ import annotations

import click

from streamflow.cli.options import broker, complain, debug, named_topic, option, with_log
from streamflow.errors import ConfigError
from streamflow.log.contract import Log
from streamflow.record import TopicPartition
from streamflow.topic import NewTopic


@click.group("topics")
def command() -> None:
    """List, create, describe and delete topics."""


def table(rows: list[list[str]], numbers: set[int]) -> None:
    """Rows as columns; the first is the heading, the columns in ``numbers`` stand to the right."""
    columns = [
        [cell.rjust(width) if number in numbers else cell.ljust(width) for cell in column]
        for number, column in enumerate(zip(*rows, strict=True))
        for width in [max(map(len, column))]
    ]
    for cells in zip(*columns, strict=True):
        click.echo("  ".join(cells).rstrip())


@command.command("list")
@broker
@debug
def list_topics(broker: str | None) -> None:
    """All topics, with their partitions and how many offsets they span."""

    async def work(log: Log) -> list[list[str]]:
        topics = await log.topics()
        every = [TopicPartition(name, p) for name, info in topics.items() for p in range(info.partitions)]
        bounds = await log.offsets(every)
        spans = dict.fromkeys(topics, 0)
        for tp, each in bounds.items():
            spans[tp.topic] += each.end - each.start
        return [[name, str(info.partitions), f"{spans[name]:,}"] for name, info in sorted(topics.items())]

    table([["TOPIC", "PARTITIONS", "RECORDS"], *with_log(broker, work)], {1, 2})


@command.command("create")
@click.argument("name")
@option("--partitions", type=click.IntRange(1), required=True)
@option("--replication", type=click.IntRange(1), help="Copies of each partition on Kafka; the embedded log has one.")
@click.option("--config", "config", multiple=True, metavar="K=V", help="A setting under Kafka's name; may be repeated.")
@broker
@debug
def create(name: str, partitions: int, replication: int | None, config: tuple[str, ...], broker: str | None) -> None:
    """Create a topic; one that exists as asked is fine."""
    settings = dict(_setting(each) for each in config)

    async def work(log: Log) -> None:
        await log.create_topics([NewTopic(name, partitions, settings)])

    with_log(broker, work, create=True, replication=replication or -1)
    complain(f"topic {name!r} has {partitions} partitions")


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--config is {text!r}; write NAME=VALUE, such as retention.ms=86400000")
    return name.strip(), value.strip()


@command.command("describe")
@click.argument("name")
@broker
@debug
def describe(name: str, broker: str | None) -> None:
    """A topic's settings, and where each partition begins and ends."""

    async def work(log: Log) -> list[str]:
        info = await named_topic(log, name)
        bounds = await log.offsets([TopicPartition(name, p) for p in range(info.partitions)])
        lines = [f"topic       {name}", f"id          {info.id}", f"partitions  {info.partitions}"]
        lines += [f"config      {key}={value}" for key, value in sorted(info.config.items())]
        lines += [f"{tp.partition:>9}  {each.start:,} to {each.end:,}" for tp, each in sorted(bounds.items())]
        return lines

    click.echo("\n".join(with_log(broker, work)))


@command.command("delete")
@click.argument("name")
@broker
@debug
def delete(name: str, broker: str | None) -> None:
    """Delete a topic and its records."""

    async def work(log: Log) -> None:
        await named_topic(log, name)
        await log.delete_topic(name)

    with_log(broker, work)
    complain(f"topic {name!r} is deleted")
