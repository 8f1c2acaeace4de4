"""What a worker says about itself: its stores, its tasks, and whether it is ready."""

from __future__ import annotations

from typing import Any

from streamflow.plan import Plan
from streamflow.query import Owners, Site
from streamflow.record import TopicPartition
from streamflow.runtime.commit import Ledger
from streamflow.runtime.roster import Held
from streamflow.runtime.task import Task
from streamflow.runtime.worker import Worker


def store(site: Site) -> dict[str, Any]:
    """One store as `/stores` lists it."""
    spec = site.spec
    return {
        "name": spec.name,
        "kind": spec.kind,
        "key": spec.key.name,
        "value": spec.value.name,
        "partitions": site.sub.partitions,
        "subtopology": site.sub.name,
        "base": spec.base,
        "changelog": site.sub.changelogs.get(spec.name),
        "window_ms": spec.window_ms if spec.kind == "window" else None,
        "retention_ms": spec.retention_ms if spec.segmented else None,
    }


def tasks(worker: Worker) -> list[dict[str, Any]]:
    """The tasks of this worker by name."""
    now = worker.clock.monotonic()
    return [task(held, now) for _, held in sorted(worker.roster.held.items())]


def task(held: Held, now: float) -> dict[str, Any]:
    """One task as `/tasks` lists it."""
    place, running = held.place, held.task
    found: dict[str, Any] = {
        "task": place.name,
        "subtopology": place.sub.name,
        "partition": place.partition,
        "state": "RESTORING" if running is None else "RUNNING",
        "processed": 0 if running is None else running.processed,
        "inputs": [] if running is None or held.ledger is None else inputs(running, held.ledger),
        "stores": [
            {
                "name": name,
                "kind": store.spec.kind,
                "changelog_position": store.position,
                "uncommitted_rows": store.dirty,
                "unwritten_rows": (behind := store.behind)[0],
                "unwritten_bytes": behind[1],
            }
            for name, store in sorted(place.stores.items())
        ],
    }
    if running is None:
        found["restore"] = restore(held, now)
    return found


def inputs(running: Task, ledger: Ledger) -> list[dict[str, Any]]:
    """The inputs of a running task; lag is what is not committed yet, up to the end as far as it is known."""
    return [
        {
            "topic": tp.topic,
            "partition": tp.partition,
            "position": source.position,
            "committed": ledger.committed.get(tp),
            "end": max(source.end, source.position),
            "lag": lag(ledger, tp, source.end),
        }
        for tp, source in running.inputs.items()
    ]


def lag(ledger: Ledger, tp: TopicPartition, end: int) -> int:
    """How many positions of an input are not committed."""
    return max(0, end - ledger.committed.get(tp, 0))


def restore(held: Held, now: float) -> dict[str, Any]:
    """How far a restore is. A changelog has gaps, so records and seconds to go are the most there can be."""
    progress = held.place.progress
    passed = max(now - progress.started, 1e-9) if progress.started else 0.0
    done = progress.total - progress.left
    rate = done / passed if passed else 0.0
    return {
        "store_records": progress.total,
        "remaining": progress.left,
        "records_per_second": round(rate, 1),
        "seconds_left": round(progress.left / rate, 1) if rate else None,
    }


async def not_ready(worker: Worker, owners: Owners) -> str | None:
    """Why this worker is not ready, or None. One without tasks is ready when others hold them all."""
    if worker.state in ("CREATED", "STOPPING", "STOPPED"):
        return "not assigned: the worker has not joined its group" if worker.state == "CREATED" else "stopping"
    assignment = worker.membership.assignment()
    if assignment.lost:
        return "not assigned: the worker was put out of its group and joins again"
    waiting = sorted(assignment.tasks - {held.place.name for held, _, _ in worker.roster.running()})
    if waiting:
        restoring = {held.place.name: held.place.progress.left for held in worker.roster.restoring()}
        left = sum(restoring.values())
        here = [name for name in waiting if name in restoring]
        if here:
            return f"restoring {len(here)} of {len(assignment.tasks)} tasks, {left:,} changelog records to go"
        return f"not assigned: waiting for {waiting[0]}, which another worker has not let go yet"
    if not assignment.tasks and (missing := await unassigned(worker.plan, owners)):
        return f"not assigned: {len(missing)} tasks are not shared out yet"
    return None


async def unassigned(plan: Plan, owners: Owners) -> list[str]:
    """The tasks of the plan that no worker holds."""
    every = [f"{sub.name}_{partition}" for sub in plan.subtopologies for partition in range(sub.partitions)]
    held = await owners.of(every)
    return [name for name in every if name not in held]
