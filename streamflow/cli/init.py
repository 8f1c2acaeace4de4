"""``streamflow init``: create and check the topics of a script ahead of its workers."""

from __future__ import annotations

import click

from streamflow.cli.options import broker, complain, debug, option, with_log
from streamflow.cli.script import load
from streamflow.cli.topics import table
from streamflow.config import apply, outside
from streamflow.log.contract import Log
from streamflow.log.open import is_embedded
from streamflow.runtime.prepare import prepare


@click.command("init")
@click.argument("script", metavar="SCRIPT[:APP]")
@option(
    "--create-topics", is_flag=True, help="Make the topics that the script names, too (the embedded log always does)."
)
@broker
@debug
def command(script: str, create_topics: bool, broker: str | None) -> None:
    """Create the internal topics of SCRIPT, and check all of them: partitions, what they keep, that none is missing.

    Whoever may create topics runs this once; the workers then need no such right. It changes nothing that is there.
    """
    app = load(script)
    settings = apply(app.settings, outside({"broker": broker}))

    async def work(log: Log) -> list[list[str]]:
        before = await log.topics()
        create = create_topics or is_embedded(settings.broker)
        planned = await prepare(app.id, app.topology, settings, log, create=create)
        inner = {topic.name for topic in planned.internal_topics}
        return [
            [
                name,
                str(count),
                "internal" if name in inner else "the script's",
                "was there" if name in before else "made",
            ]
            for name, count in sorted(planned.partitions.items())
        ]

    rows = with_log(settings.broker, work, create=True, replication=settings.replication_factor)
    table([["TOPIC", "PARTITIONS", "KIND", ""], *rows], {1})
    complain(f"{app.id!r} is ready: `streamflow run {script}`")
