"""The command line. Each command is a module of this package, imported when it is called.

Exit codes: 0 done, 1 the application (or the log) failed, 2 wrong use or a wrong script, 130 interrupted. An error
that a user can cause is one or two lines on stderr; its traceback comes with ``--debug``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from streamflow.config import defaults
from streamflow.errors import StreamflowError
from streamflow.run import DEFECT, exit_code

COMMANDS = {
    "run": "Run the topology of a script.",
    "dev": "Run a script while it is being written.",
    "init": "Create and check the topics of a script.",
    "topology": "Show the topology of a script.",
    "produce": "Write lines of text or JSON into a topic.",
    "consume": "Print the records of a topic.",
    "topics": "List, create, describe and delete topics.",
    "doctor": "Check what a script needs, and say what to do.",
    "status": "Tell how far the tasks of a script are.",
    "query": "Ask a running worker for the value of a key.",
    "reset": "Set a script back, to read its inputs again.",
    "dead-letters": "List what was set aside, and send it again.",
    "import-faust": "Copy a table of a Faust application into a topic.",
    "completion": "Make a shell complete these commands.",
}


class Commands(click.Group):
    """The commands by name; listing them imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"streamflow.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="streamflow", message="streamflow %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Kafka Streams for Python people.

    Every option can also be given as STREAMFLOW_<OPTION> or in streamflow.toml; flags come first, then the
    environment, then the file, then what the script gives to App(...).
    """
    settings = defaults()
    below = dict.fromkeys(("list", "create", "describe", "delete"), settings)  # `topics` has commands of its own
    context.default_map = {**dict.fromkeys(COMMANDS, settings), "topics": below}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code."""
    try:
        sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))
    except BrokenPipeError:
        # Whoever read our output has enough. What is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _run(arguments: list[str]) -> int:
    meta: dict[str, Any] = {}
    if asked := os.environ.get("_STREAMFLOW_COMPLETE"):
        from streamflow.cli.completion import complete

        return complete(cli, asked)
    try:
        with cli.make_context("streamflow", arguments) as context:
            meta = context.meta
            code = cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except StreamflowError as error:
        return _tell(error, meta)
    except BrokenPipeError:
        raise
    except Exception:
        import traceback

        click.echo(f"{traceback.format_exc()}streamflow: {DEFECT}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _tell(error: StreamflowError, meta: dict[str, Any]) -> int:
    if meta.get("streamflow.debug"):
        import traceback

        traceback.print_exception(error)
    else:
        click.echo(f"streamflow: {error}", err=True)
    return exit_code(error)
