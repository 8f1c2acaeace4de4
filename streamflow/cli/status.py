"""``streamflow status``: which worker has which task, how far it is, and what it waits for.

Lag is read from the log: what lies beyond the group's committed offsets. Whether a task runs or is being restored is
asked of the workers themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click
import msgspec

from streamflow.cli.ask import Unreachable, get
from streamflow.cli.options import broker, debug, option, with_log
from streamflow.cli.script import load
from streamflow.cli.topics import table
from streamflow.config import apply, outside
from streamflow.log.contract import Log, Member
from streamflow.plan import Plan, plan, task_name
from streamflow.record import TopicPartition

TIMEOUT = 2.0


@dataclass(frozen=True)
class Row:
    """One task. ``worker`` is its address, or its member id when it answers no questions; None: nobody has it."""

    task: str
    worker: str | None
    state: str
    lag: int
    restoring: str


@click.command("status")
@click.argument("script", metavar="SCRIPT[:APP]")
@broker
@option("--format", "layout", type=click.Choice(["text", "json"]), default="text", show_default=True)
@debug
def command(script: str, broker: str | None, layout: str) -> None:
    """Tell how far the tasks of SCRIPT are: worker, state, lag, restore progress."""
    app = load(script)
    topology = app.topology
    settings = apply(app.settings, outside({"broker": broker}))

    async def work(log: Log) -> tuple[list[Member], list[tuple[str, int]]]:
        counts = {name: info.partitions for name, info in (await log.topics()).items()}
        planned = plan(topology, app.id, counts)
        return await log.membership(app.id).members(), await lags(planned, log)

    members, found = with_log(settings.broker, work)
    told = {task["task"]: task for member in members for task in _tasks(member)}
    owners = {task: member for member in members for task in member.tasks}
    rows = [_row(task, lag, owners.get(task), told.get(task)) for task, lag in found]
    if layout == "json":
        for row in rows:
            click.echo(msgspec.json.encode(row).decode())
        return
    headings = ["TASK", "WORKER", "STATE", "LAG", "RESTORE"]
    table([headings, *([row.task, row.worker or "-", row.state, f"{row.lag:,}", row.restoring] for row in rows)], {3})
    if not members:
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


def _tasks(member: Member) -> list[dict[str, Any]]:
    """What a worker says of its tasks; nothing when it answers no questions."""
    if not member.address:
        return []
    try:
        status, answer = get(member.address, "/tasks", TIMEOUT)
    except Unreachable:
        return []
    return list(answer["tasks"]) if status == 200 else []


def _row(task: str, lag: int, owner: Member | None, told: dict[str, Any] | None) -> Row:
    if owner is None:
        return Row(task, None, "UNASSIGNED", lag, "")
    state = told["state"] if told else "UNKNOWN"
    restore = (told or {}).get("restore")
    text = ""
    if restore:
        text = f"{restore['remaining']:,} of {restore['store_records']:,} left"
        if restore["seconds_left"] is not None:
            text += f", {restore['seconds_left']:.0f} s"
    return Row(task, owner.address or owner.id, state, lag, text)
