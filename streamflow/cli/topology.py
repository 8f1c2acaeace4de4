"""``streamflow topology``: the graph of a script, as text or as a picture."""

from __future__ import annotations

import click
import msgspec

from streamflow.cli.options import debug, option
from streamflow.cli.script import load


@click.command("topology")
@click.argument("script", metavar="SCRIPT[:APP]")
@option("--format", "layout", type=click.Choice(["text", "mermaid", "svg", "json"]), default="text", show_default=True)
@debug
def command(script: str, layout: str) -> None:
    """Show the topology of SCRIPT; nothing is run and no log is needed."""
    topology = load(script).topology
    if layout == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(topology.to_dict())).decode())
        return
    words = {"text": topology.describe, "mermaid": topology.to_mermaid, "svg": topology.to_svg}
    click.echo(words[layout]())
