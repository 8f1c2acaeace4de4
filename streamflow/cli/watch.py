"""``streamflow status --watch``: the table of `status`, kept up to date, with rates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamflow.errors import LogUnavailable

if TYPE_CHECKING:
    from streamflow.cli.status import Row

EVERY = 1.0  # seconds
_COLOURS = {"RUNNING": "green", "RESTORING": "yellow", "UNASSIGNED": "red"}


async def until_interrupted(app: str, look: Callable[[], Awaitable[Sequence[Row]]], layout: str) -> None:
    """Show what ``look`` finds, each second; as JSON one object a line, with the time, in place of a table."""
    before: dict[str, int] = {}
    last = time.monotonic()
    console = Console()
    live = None if layout == "json" else Live(console=console, auto_refresh=False)
    with live or nullcontext():
        while True:
            try:
                rows = await look()
            except LogUnavailable as error:
                if live is None:
                    click.echo(f"{error}; trying again", err=True)
                else:
                    live.update(Text(f"{error}; trying again", style="red"), refresh=True)
                await asyncio.sleep(EVERY)
                continue
            now = time.monotonic()
            rates = {row.task: max(0.0, (row.processed - before[row.task]) / (now - last))
                     for row in rows if row.processed is not None and row.task in before}  # fmt: skip
            before = {row.task: row.processed for row in rows if row.processed is not None}
            last = now
            if live is None:
                for row in rows:
                    told = {"time": round(time.time(), 3), **msgspec.to_builtins(row), "rate": rates.get(row.task)}
                    click.echo(msgspec.json.encode(told).decode())
            else:
                live.update(table(app, rows, rates, console.height - 6), refresh=True)
            await asyncio.sleep(EVERY)


def table(app: str, rows: Sequence[Row], rates: dict[str, float], room: int) -> Table:
    """The tasks; where there is no room for all, those that need a look come first.

    >>> from streamflow.cli.status import Row
    >>> rows = [Row("a_0", "w", "RUNNING", 0, "", []), Row("a_1", None, "UNASSIGNED", 7, "", [])]
    >>> shown = table("shop", rows, {"a_0": 12.5}, 1)
    >>> shown.title, shown.caption, shown.row_count
    ('shop: 1 worker, 2 tasks, 7 records behind, 12 records/s', '1 more', 1)
    """
    workers = len({row.worker for row in rows if row.worker})
    title = (
        f"{app}: {workers} worker{'' if workers == 1 else 's'}, {len(rows)} tasks, "
        f"{sum(row.lag for row in rows):,} records behind, {sum(rates.values()):,.0f} records/s"
    )
    found = Table(title=title, title_justify="left", title_style="bold", caption_justify="left")
    for heading in ("task", "worker", "state"):
        found.add_column(heading)
    for heading in ("lag", "records/s"):
        found.add_column(heading, justify="right")
    for heading in ("restore", "standbys"):
        found.add_column(heading)
    room = max(1, room)
    if len(rows) > room:
        rows = sorted(rows, key=lambda row: (row.state == "RUNNING", -row.lag, row.task))
        found.caption = f"{len(rows) - room} more"
    for row in rows[:room]:
        rate = f"{rates[row.task]:,.0f}" if row.task in rates else ""
        found.add_row(
            row.task, row.worker or "-", Text(row.state, style=_COLOURS.get(row.state, "")), f"{row.lag:,}", rate,
            row.restoring, ", ".join(row.standbys),
        )  # fmt: skip
    return found
