"""``streamflow dead-letters``: look at what was set aside, and send it again, without a worker."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from streamflow.cli.consume import shower
from streamflow.cli.forms import form
from streamflow.cli.options import broker, complain, debug, option, with_log
from streamflow.cli.script import load
from streamflow.config import apply, outside
from streamflow.log.contract import Log
from streamflow.runtime.dead_letters import Letter, Wanted, letters, replay
from streamflow.runtime.rules import Rules

topic = option("--topic", help="Only letters that came from this topic.")
step = option("--step", help="Only letters that this step refused.")


@click.group("dead-letters")
def command() -> None:
    """List the dead letters of a script, and send them again."""


@command.command("list")
@click.argument("script", metavar="SCRIPT[:APP]")
@broker
@topic
@step
@option("--pending", is_flag=True, help="Only letters that were not sent again.")
@debug
def list_letters(script: str, broker: str | None, topic: str | None, step: str | None, pending: bool) -> None:
    """Print the dead letters of SCRIPT, one line of JSON each: record, reason, and whether it was sent again."""
    url, name = _where(script, broker)
    show = shower("json", name, form("str"), form("str"), b"\t")
    as_bytes = shower("json", name, form("bytes"), form("bytes"), b"\t")

    async def work(log: Log) -> None:
        async for each in letters(log, name, _wanted(topic, step)):
            if pending and each.replayed:
                continue
            told: dict[str, Any] = msgspec.json.decode((show if _is_text(each) else as_bytes)(each.partition, each))
            click.echo(msgspec.json.encode(told | {"reason": each.reason, "replayed": each.replayed}).decode())

    with_log(url, work)


@command.command("replay")
@click.argument("script", metavar="SCRIPT[:APP]")
@broker
@topic
@step
@option(
    "--partition", type=click.IntRange(0), help="With --offset: this letter, by its place in the dead letter topic."
)
@option("--offset", type=click.IntRange(0), help="With --partition.")
@option("--all", "every", is_flag=True, help="Every letter that was not sent again.")
@debug
def replay_letters(
    script: str,
    broker: str | None,
    topic: str | None,
    step: str | None,
    partition: int | None,
    offset: int | None,
    every: bool,
) -> None:
    """Send dead letters of SCRIPT again, as they came, to where they came from; each once."""
    if (partition is None) != (offset is None):
        raise click.UsageError("--partition and --offset go together")
    if not every and topic is None and step is None and partition is None:
        raise click.UsageError("say which: --topic, --step, --partition with --offset, or --all")
    url, name = _where(script, broker)
    chosen = _wanted(topic, step)

    def wanted(each: Letter) -> bool:
        return chosen(each) and partition in (None, each.partition) and offset in (None, each.offset)

    async def work(log: Log) -> list[Letter]:
        return await replay(log, name, wanted)

    sent = with_log(url, work)
    complain(f"{len(sent):,} letters of {name!r} were sent again")


def _where(script: str, broker: str | None) -> tuple[str, str]:
    """The log's URL and the name of the dead letter topic."""
    app = load(script)
    settings = apply(app.settings, outside({"broker": broker}))
    return settings.broker, Rules.of(app.id, settings).dead_letter_topic


def _wanted(topic: str | None, step: str | None) -> Wanted:
    def wanted(each: Letter) -> bool:
        return topic in (None, each.reason.get("topic")) and step in (None, each.reason.get("step"))

    return wanted


def _is_text(each: Letter) -> bool:
    try:
        (each.key or b"").decode()
        (each.value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
