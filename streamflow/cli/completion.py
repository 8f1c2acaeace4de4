"""``streamflow completion``: what makes a shell complete commands, options and their choices."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class, shell_complete

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_STREAMFLOW_COMPLETE"  # what the shell sets when it asks; click's own convention


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a script for SHELL that completes streamflow's commands.

    For bash: streamflow completion bash >> ~/.bashrc; for zsh the same into ~/.zshrc; for fish into
    ~/.config/fish/completions/streamflow.fish.
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(click.get_current_context().find_root().command, {}, "streamflow", VARIABLE).source())


def complete(cli: click.Command, instruction: str) -> int:
    """Answer a shell that asks; gives the exit code."""
    return shell_complete(cli, {}, "streamflow", VARIABLE, instruction)
