"""``streamflow doctor``: look at all that a script needs before it runs, or when it does not; changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

import click

from streamflow.app import App
from streamflow.cli.options import broker, complain, debug, option
from streamflow.cli.script import load
from streamflow.cli.status import lags
from streamflow.config import apply, outside
from streamflow.errors import StreamflowError
from streamflow.log.contract import Log
from streamflow.log.open import is_embedded, open_log, shown
from streamflow.plan import Plan, needed_topics, plan
from streamflow.record import TopicPartition
from streamflow.runtime.prepare import check_internal, check_reused, under_reset
from streamflow.runtime.task import Rules
from streamflow.settings import Settings
from streamflow.state.locks import held_elsewhere
from streamflow.topic import TopicInfo

LIBRARIES = ("streamflow", "rocksdict", "aiokafka", "msgspec", "aiohttp")
ROOM = 1 << 30  # bytes of disk below which a person should know
FILES = 64  # open files that one store takes, and some are the worker's own
PATIENCE = 15.0  # seconds for a log to answer


class Finding(NamedTuple):
    """``wrong`` keeps the script from running, ``look`` does not."""

    verdict: Literal["ok", "look", "wrong"]
    about: str
    text: str


@click.command("doctor")
@click.argument("script", metavar="SCRIPT[:APP]")
@option("--state-dir", metavar="DIR", help="Where the stores lie.  [default: .streamflow/state]")
@broker
@debug
def command(script: str, state_dir: str | None, broker: str | None) -> int:
    """Check what SCRIPT needs: versions, log, topics, positions, state directory; says what to do. Changes nothing.

    Exits with 1 if something keeps it from running.
    """
    app = load(script)
    settings = apply(app.settings, outside({"broker": broker, "state_dir": state_dir}))
    findings = [*_of_python(), *asyncio.run(_of_log(app, settings)), *_of_disk(app, settings)]
    colours = {"ok": "green", "look": "yellow", "wrong": "red"}
    for verdict, about, text in findings:
        click.echo(f"{click.style(f'{verdict:<6}', fg=colours[verdict])} {about:<10} {text}")
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    complain(f"{wrong} of {len(findings)} checks failed" if wrong else f"{app.id!r} can run: `streamflow run {script}`")
    return int(wrong > 0)


def _of_python() -> Iterator[Finding]:
    yield Finding("ok", "python", f"{sys.version.split()[0]} on {sys.platform}")
    found: list[str] = []
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    yield Finding("ok", "versions", ", ".join(found))


async def _of_log(app: App, settings: Settings) -> list[Finding]:
    """What the log says; where it cannot be had, why."""
    url = shown(settings.broker)
    if is_embedded(settings.broker) and not Path(settings.broker.partition("://")[2].partition("?")[0]).exists():
        return [Finding("look", "log", f"{url} is not there yet; `streamflow run` and `produce` make it")]
    log = open_log(settings.broker, replication=settings.replication_factor)
    try:
        async with asyncio.timeout(PATIENCE):
            await log.start()
            return [finding async for finding in _asked(app, settings, log, url)]
    except TimeoutError:
        return [Finding("wrong", "log", f"{url} did not answer within {PATIENCE:g} s")]
    except StreamflowError as error:
        return [Finding("wrong", "log", str(error))]
    finally:
        await log.close()


async def _asked(app: App, settings: Settings, log: Log, url: str) -> AsyncIterator[Finding]:
    found = await log.topics()
    yield Finding("ok", "log", f"{url} answers; it has {len(found)} topics")
    if under_reset(app.id) in found:
        yield Finding("wrong", "reset", "a reset did not come to its end; run `streamflow reset` again to finish it")
    missing = [
        topic.name for topic in needed_topics(app.topology, settings.topic_partitions) if topic.name not in found
    ]
    for name in missing:
        if is_embedded(settings.broker):
            yield Finding("ok", "topic", f"{name!r} is not there yet; `streamflow run` makes it")
        else:
            advice = f"`streamflow topics create {name} --partitions N`, or run with --create-topics"
            yield Finding("wrong", "topic", f"{name!r} does not exist; {advice}")
    if missing:
        return
    try:
        planned = plan(app.topology, app.id, {name: info.partitions for name, info in found.items()})
        check_reused(planned, Rules.of(app.id, settings), found)
    except StreamflowError as error:
        yield Finding("wrong", "topology", str(error))
        return
    for name, count in sorted(planned.partitions.items()):
        if name in found:
            yield Finding("ok", "topic", f"{name!r} has {count} partitions")
    for finding in _internal(planned, found):
        yield finding
    for finding in await _positions(app, planned, log):
        yield finding


def _internal(planned: Plan, found: dict[str, TopicInfo]) -> Iterator[Finding]:
    """The topics that are streamflow's own."""
    for topic in planned.internal_topics:
        try:
            check_internal(topic, found.get(topic.name))
        except StreamflowError as error:
            yield Finding("wrong", "internal", str(error))
    if absent := [topic.name for topic in planned.internal_topics if topic.name not in found]:
        yield Finding(
            "ok", "internal", f"{len(absent)} topics are not there yet; `streamflow run` or `init` makes them"
        )


async def _positions(app: App, planned: Plan, log: Log) -> list[Finding]:
    """Whether the group can go on where it is, who is in it, and how far it lags."""
    inputs = [TopicPartition(topic, p) for sub in planned.subtopologies for topic in sub.inputs
              for p in range(planned.partitions[topic])]  # fmt: skip
    known = await log.topics()
    bounds = await log.offsets([tp for tp in inputs if tp.topic in known])
    committed = await log.committed(app.id, list(bounds))
    found = [
        Finding("wrong", "position", f"{tp.topic!r} partition {tp.partition} begins at {bounds[tp].start}, and {at} is "
                f"the next to be read: what lies between is gone; `streamflow reset` says where to go on")
        for tp, at in committed.items() if at < bounds[tp].start
    ]  # fmt: skip
    members = await log.membership(app.id).members()
    lag = sum(left for _, left in await lags(planned, log))
    behind = f"{lag:,} records behind" if committed else "it has not run yet"
    found.append(Finding("ok", "group", f"{len(members)} workers run, {behind}"))
    return found


def _of_disk(app: App, settings: Settings) -> Iterator[Finding]:
    stores = sum(spec.base == "rocksdb" for spec in app.topology.stores.values())
    if not stores:
        return
    folder = Path(settings.state_dir).resolve()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "wrong", "state", f"{folder} cannot be written: {there} is no folder of ours; --state-dir names one"
        )
        return
    free = shutil.disk_usage(there).free
    text = f"{folder}, {free / (1 << 30):,.1f} GB free"
    yield Finding("ok", "state", text) if free >= ROOM else Finding("look", "state", f"{text}: make some room")
    own = folder / app.id
    held = sorted({path.parent.parent.name for path in own.glob("*/*/LOCK") if held_elsewhere(path.parent)})
    if held:
        yield Finding("ok", "stores", f"{len(held)} tasks are held by workers that run here")
    with suppress(ImportError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        need = FILES * stores * settings.topic_partitions
        if 0 < limit < need:
            yield Finding("look", "files", f"{limit} may be open (ulimit -n); all tasks on one machine may need {need}")
