"""``streamflow reset``: set an application back and let it read its inputs again."""

from __future__ import annotations

from datetime import datetime

import click

from streamflow.cli.options import broker, complain, debug, option, with_log
from streamflow.cli.script import load
from streamflow.cli.topics import table
from streamflow.clock import SystemClock, milliseconds
from streamflow.config import apply, outside
from streamflow.errors import ConfigError
from streamflow.log.contract import Log
from streamflow.plan import plan
from streamflow.run.reset import Place, Proposal, carry_out, propose


@click.command("reset")
@click.argument("script", metavar="SCRIPT[:APP]")
@option("--to-earliest", is_flag=True, help="To the beginning of every input.")
@option("--to-latest", is_flag=True, help="To the end of every input: what is there is skipped.")
@option("--to-offset", type=click.IntRange(0), metavar="N", help="To this offset, or the nearest there is.")
@option("--to-datetime", metavar="T", help="To the first record of this time, such as 2026-11-23T15:00:00+01:00.")
@option("--by-duration", metavar="D", help="To the first record of this long ago, such as 2h or 7d.")
@option("--state-dir", metavar="DIR", help="Where the application's stores lie.")
@option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@option("--yes", is_flag=True, help="Do not ask.")
@broker
@debug
def command(
    script: str,
    to_earliest: bool,
    to_latest: bool,
    to_offset: int | None,
    to_datetime: str | None,
    by_duration: str | None,
    state_dir: str | None,
    dry_run: bool,
    yes: bool,
    broker: str | None,
) -> None:
    """Rewind SCRIPT and let it replay: its state is forgotten, its inputs are read again from the place given.

    Stop its workers first. Outputs written before stay; what is replayed is written again. Tables are always read
    from their beginning.
    """
    place = _place(to_earliest, to_latest, to_offset, to_datetime, by_duration)
    app = load(script)
    topology = app.topology
    settings = apply(app.settings, outside({"broker": broker, "state_dir": state_dir}))

    async def work(log: Log) -> None:
        counts = {name: info.partitions for name, info in (await log.topics()).items()}
        planned = plan(topology, app.id, counts)
        proposal = await propose(planned, log, place, settings.state_dir)
        _show(proposal)
        if dry_run:
            complain("nothing was changed (--dry-run)")
        elif yes or click.confirm("Do this?", err=True):
            await carry_out(planned, log, proposal)
            complain(f"{app.id!r} is reset; start it with `streamflow run {script}`")
        else:
            complain("nothing was changed")

    with_log(settings.broker, work)


def _place(earliest: bool, latest: bool, offset: int | None, time: str | None, ago: str | None) -> Place:
    given = [earliest, latest, offset is not None, time is not None, ago is not None]
    if sum(given) != 1:
        raise click.UsageError(
            "say where to: one of --to-earliest, --to-latest, --to-offset N, --to-datetime T, --by-duration D"
        )
    if offset is not None:
        return Place("offset", offset)
    if ago is not None:
        return Place("time", SystemClock().now_ms() - milliseconds(ago, "--by-duration"))
    if time is not None:
        return Place("time", _milliseconds_of(time))
    return Place("earliest" if earliest else "latest")


def _milliseconds_of(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--to-datetime is {text!r}; write it as 2026-11-23T15:00:00+01:00") from None
    if found.tzinfo is None:
        raise ConfigError(
            f"--to-datetime is {text!r}, which has no time zone; add one, such as {text}Z or {text}+01:00"
        )
    return round(found.timestamp() * 1000)


def _show(proposal: Proposal) -> None:
    rows = [
        [tp.topic, str(tp.partition), "-" if now is None else f"{now:,}", f"{then:,}"]
        for tp, (now, then) in sorted(proposal.offsets.items())
    ]
    table([["TOPIC", "PARTITION", "NOW", "THEN"], *rows], {1, 2, 3})
    for topic in proposal.topics:
        click.echo(f"deletes the internal topic {topic}")
    if proposal.state.exists():
        click.echo(f"deletes the stores in {proposal.state}")
