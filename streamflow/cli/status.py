"""``streamflow status``: which worker has which task, how far it is, and what it waits for.

Lag is read from the log: what lies beyond the group's committed offsets. Whether a task runs or is being restored is
asked of the workers themselves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import click
import msgspec

from streamflow.cli.ask import Unreachable, get
from streamflow.cli.options import broker, debug, http_token, option, with_log
from streamflow.cli.script import load
from streamflow.cli.topics import table
from streamflow.config import apply, outside
from streamflow.log.contract import Log, Member
from streamflow.plan import Plan, plan, task_name
from streamflow.record import TopicPartition

TIMEOUT = 2.0


@dataclass(frozen=True)
class Row:
    """One task. ``worker`` is its address, or its member id when it answers no questions; None: nobody has it.

    ``standbys`` are the workers that keep a copy of its state.
    """

    task: str
    worker: str | None
    state: str
    lag: int
    restoring: str
    standbys: list[str]
    processed: int | None = None
    """Records since the worker has the task; None if it answers no questions."""


@click.command("status")
@click.argument("script", metavar="SCRIPT[:APP]")
@broker
@option("--format", "layout", type=click.Choice(["text", "json"]), default="text", show_default=True)
@option("--watch", is_flag=True, help="Go on telling, once a second, until Ctrl-C.")
@http_token
@debug
def command(script: str, broker: str | None, layout: str, watch: bool, http_token: str | None) -> None:
    """Tell how far the tasks of SCRIPT are: worker, state, lag, restore progress."""
    app = load(script)
    topology = app.topology
    settings = apply(app.settings, outside({"broker": broker}))

    async def look(log: Log) -> list[Row]:
        counts = {name: info.partitions for name, info in (await log.topics()).items()}
        found = await lags(plan(topology, app.id, counts), log)
        members = await log.membership(app.id).members()
        asked = await asyncio.gather(*(asyncio.to_thread(_tasks, member, http_token) for member in members))
        told = {task["task"]: task for tasks in asked for task in tasks}
        owners = {task: member for member in members for task in member.tasks}
        copies = {task: [m.address or m.id for m in members if task in m.standbys] for task, _ in found}
        return [_row(task, lag, owners.get(task), told.get(task), copies[task]) for task, lag in found]

    if watch:
        from streamflow.cli.watch import until_interrupted

        with_log(settings.broker, lambda log: until_interrupted(app.id, lambda: look(log), layout))
        return
    rows = with_log(settings.broker, look)
    if layout == "json":
        for row in rows:
            click.echo(msgspec.json.encode(row).decode())
        return
    headings = ["TASK", "WORKER", "STATE", "LAG", "RESTORE", "STANDBYS"]
    lines = [
        [row.task, row.worker or "-", row.state, f"{row.lag:,}", row.restoring, ", ".join(row.standbys)] for row in rows
    ]
    table([headings, *lines], {3})
    if all(row.worker is None for row in rows):
        click.echo(f"no worker runs; start one with `streamflow run {script}`", err=True)


async def lags(planned: Plan, log: Log) -> list[tuple[str, int]]:
    """Each task and how many offsets of its inputs are not committed yet."""
    inputs = {
        task_name(sub, partition): [
            TopicPartition(topic, partition) for topic in sub.inputs if partition < planned.partitions[topic]
        ]
        for sub in planned.subtopologies
        for partition in range(sub.partitions)
    }
    known = await log.topics()
    every = [tp for tps in inputs.values() for tp in tps if tp.topic in known]
    bounds = await log.offsets(every)
    committed = await log.committed(planned.app_id, every)
    left = {tp: each.end - max(committed.get(tp, 0), each.start) for tp, each in bounds.items()}
    return [(task, sum(left.get(tp, 0) for tp in tps)) for task, tps in inputs.items()]


def _tasks(member: Member, token: str | None) -> list[dict[str, Any]]:
    """What a worker says of its tasks; nothing when it answers no questions."""
    if not member.address:
        return []
    try:
        status, answer = get(member.address, "/tasks", TIMEOUT, token=token)
    except Unreachable:
        return []
    return list(answer["tasks"]) if status == 200 else []


def _row(task: str, lag: int, owner: Member | None, told: dict[str, Any] | None, standbys: list[str]) -> Row:
    if owner is None:
        return Row(task, None, "UNASSIGNED", lag, "", standbys)
    state = told["state"] if told else "UNKNOWN"
    restore = (told or {}).get("restore")
    text = ""
    if restore:
        text = f"{restore['remaining']:,} of {restore['store_records']:,} left"
        if restore["seconds_left"] is not None:
            text += f", {restore['seconds_left']:.0f} s"
    return Row(task, owner.address or owner.id, state, lag, text, standbys, (told or {}).get("processed"))
