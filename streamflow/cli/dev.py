"""``streamflow dev``: a script while it is being written."""

from __future__ import annotations

import re
import webbrowser
from typing import Any

import click

from streamflow.cli.options import broker, debug, option
from streamflow.cli.script import load
from streamflow.config import outside
from streamflow.run import Options, start
from streamflow.run.report import Terminal


@click.command("dev")
@click.argument("script", metavar="SCRIPT[:APP]")
@broker
@option(
    "--fake-input", metavar="RATE", type=click.FloatRange(0, min_open=True), default=None,
    help="Make up so many records a second, of the types and for the topics that the script reads.",
)  # fmt: skip
@option("--open", "opens", is_flag=True, help="Open the page of the worker in a browser.")
@option("--http", metavar="HOST:PORT", default="127.0.0.1:8080", show_default=True, help="Where the page is.")
@debug
def command(script: str, broker: str | None, fake_input: float | None, opens: bool, http: str) -> int:
    """Run SCRIPT and start it again whenever it changes; topics are made, the page is in the browser.

    An error waits for the change that mends it.
    """
    options = Options(
        http=http,
        reload=True,
        create_topics=True,
        fake_input=fake_input,
        changes=outside({"broker": broker}),
    )
    return start(load(script), options, script, Opening(opens))


class Opening(Terminal):
    """Says where the page is, and opens it once."""

    def __init__(self, opens: bool) -> None:
        super().__init__()
        self._opens = opens
        self._told = False

    def fact(self, label: str, text: str) -> None:
        super().fact(label, text)
        address: Any = re.match(r"http://\S+", text)
        if label == "http" and address is not None and not self._told:
            self._told = True
            super().fact("page", f"{address[0]}/")
            if self._opens:
                webbrowser.open(f"{address[0]}/")
