"""What a worker says about itself: its stores, its tasks, and whether it is ready."""

from __future__ import annotations

from typing import Any

from streamflow.http.forward import url_of
from streamflow.log.contract import Member
from streamflow.plan import Plan
from streamflow.query import Owners, Site
from streamflow.record import TopicPartition
from streamflow.runtime.commit import Ledger
from streamflow.runtime.recovery import Progress
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
        "changelog": site.sub.changelogs.get(spec.name) or site.sub.reused.get(spec.name),
        "window_ms": spec.window_ms if spec.kind == "window" else None,
        "retention_ms": spec.retention_ms if spec.segmented else None,
    }


def tasks(worker: Worker, address: str) -> list[dict[str, Any]]:
    """The tasks of this worker by name."""
    now = worker.clock.monotonic()
    return [task(held, now, address) for _, held in sorted(worker.roster.held.items())]


def task(held: Held, now: float, address: str = "") -> dict[str, Any]:
    """One task as `/tasks` lists it; ``address`` is that of its worker."""
    place, running = held.place, held.task
    found: dict[str, Any] = {
        "task": place.name,
        "worker": address,
        "subtopology": place.sub.name,
        "partition": place.partition,
        "state": "RESTORING" if running is None else "RUNNING",
        "processed": 0 if running is None else running.processed,
        "inputs": [] if running is None or held.ledger is None else inputs(running, held.ledger),
        "outputs": [] if running is None else [{"topic": t, "sent": n} for t, n in sorted(running.outbox.sent.items())],
        "dropped": [] if running is None else dropped(running),
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
        found["restore"] = restore(place.progress, now)
    return found


def member(each: Member) -> dict[str, Any]:
    """One worker of the group, as the group tells it: also one that has no task, or that does not answer."""
    return {"id": each.id, "worker": url_of(each.address) if each.address else "", "tasks": len(each.tasks)}


def topology(drawn: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """A topology as data, each step with the topics it ``reads`` and ``writes`` by the names they have in the log."""
    reads = {name: topics for sub in plan.subtopologies for name, topics in sub.topics.items()}
    writes = {name: topic for sub in plan.subtopologies for name, topic in sub.sinks.items()}
    for sub in drawn["subtopologies"]:
        for step in sub["steps"]:
            step["reads"] = list(reads.get(step["name"], ()))
            step["writes"] = writes.get(step["name"])
    return drawn


def standbys(worker: Worker, address: str) -> list[dict[str, Any]]:
    """The copies that this worker keeps of tasks others run; nothing of them is answered to queries."""
    now = worker.clock.monotonic()
    return [
        {
            "task": name,
            "worker": address,
            "warm": copy.warm,
            "lag": copy.lag,
            "trouble": copy.trouble,
            "restore": restore(copy.place.progress, now),
        }
        for name, copy in sorted(worker.roster.standbys.copies.items())
    ]


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


def dropped(running: Task) -> list[dict[str, Any]]:
    """What each step of a running task did not let pass: late, refused, set aside as a dead letter."""
    return [{"step": step, "reason": why, "records": n} for (step, why), n in sorted(running.drops.items())]


def lag(ledger: Ledger, tp: TopicPartition, end: int) -> int:
    """How many positions of an input are not committed."""
    return max(0, end - ledger.committed.get(tp, 0))


def restore(progress: Progress, now: float) -> dict[str, Any]:
    """How far a restore is. A changelog has gaps, so records and seconds to go are the most there can be."""
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
