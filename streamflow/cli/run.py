"""``streamflow run``: one worker here, or several as processes of their own."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from streamflow.cli.options import broker, complain, debug, http_token, is_debug, option
from streamflow.cli.script import load
from streamflow.config import outside
from streamflow.errors import StreamflowError
from streamflow.run import Options, start, start_supervised
from streamflow.run.logs import LAYOUTS, LEVELS


@click.command("run")
@click.argument("script", metavar="SCRIPT[:APP]")
@broker
@option("--workers", type=click.IntRange(1), default=1, show_default=True, help="How many worker processes.")
@option("--until-idle", is_flag=True, help="Stop when every input is processed to the end it has now.")
@option(
    "--http", metavar="HOST:PORT", default="127.0.0.1:8080", show_default=True,
    help="Where to answer questions; worker n on port + n, a port in use moves to the next free one.",
)  # fmt: skip
@http_token
@option("--http-open", is_flag=True, help="Let other machines ask without a token, if --http lets them reach it.")
@option(
    "--advertise", metavar="HOST",
    help="How other workers reach this one, where it is not by its machine's name (a pod's address).",
)  # fmt: skip
@option("--no-http", is_flag=True, help="Answer no questions.")
@option("--state-dir", metavar="DIR", help="Where the stores lie.  [default: .streamflow/state]")
@option("--reload", is_flag=True, help="Start again when the script or a .py file beside it changes.")
@option("--commit-interval", metavar="DURATION", help="The longest that a record waits.  [default: 100ms]")
@option("--create-topics", is_flag=True, help="Make the topics that the script names (the embedded log always does).")
@option("--log-level", type=click.Choice(LEVELS), default="warning", show_default=True)
@option(
    "--log-format", type=click.Choice(LAYOUTS), default="text", show_default=True,
    help="json: one object a line on stderr.",
)  # fmt: skip
@click.option("--worker-index", type=int, hidden=True)
@click.option("--lifeline", type=int, hidden=True)
@click.option("--fake-input", type=float, hidden=True)
@debug
@click.pass_context
def command(
    context: click.Context, /, script: str, worker_index: int | None, lifeline: int | None, **given: Any
) -> int:
    """Run the topology of SCRIPT until told to stop; start it again elsewhere to share the work.

    The first Ctrl-C (or SIGTERM) commits and closes, the second stops at once.
    """
    no_http = given.pop("no_http")
    changes = outside({name: given.pop(name) for name in ("broker", "state_dir", "commit_interval")})
    http = None if no_http or given["http"] in ("off", "") else given["http"]
    given |= {"http": http, "debug": is_debug(context), "changes": changes}
    options = Options(**given)
    if worker_index is not None and lifeline is not None:
        return _supervised(script, options, worker_index, lifeline)
    return start(load(script), options, script)


def _supervised(script: str, options: Options, worker: int, descriptor: int) -> int:
    """A wrong script is the supervisor's to tell, once; it found it right, so this is a change since then."""
    try:
        app = load(script)
    except StreamflowError as error:
        complain(f"worker {worker}: {error}")
        return 2
    # When to stop is the supervisor's to say, whatever the environment and the file tell this process.
    code = start_supervised(app, replace(options, until_idle=False), worker, descriptor)
    sys.stdout.flush()
    return code
