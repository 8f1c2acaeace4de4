"""One worker in one process: everything it needs is made here and handed to it.

The order at the start is that of need: log, plan, worker; HTTP is imported when the first records are on their way.
The order at the end is the reverse: no more questions, the worker commits and closes, the user's resources, the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from streamflow.clock import SystemClock
from streamflow.errors import LogUnavailable
from streamflow.log.contract import Log
from streamflow.log.open import is_embedded, open_log, shown
from streamflow.plan import Plan
from streamflow.run.hooks import call, teller
from streamflow.run.idle import Idle
from streamflow.run.lifeline import hold
from streamflow.run.listen import is_local, listening, url
from streamflow.run.orders import Orders
from streamflow.run.report import Report
from streamflow.run.signals import Signals
from streamflow.run.topics import news
from streamflow.run.watchdog import watch
from streamflow.runtime.collector import settle
from streamflow.runtime.prepare import maker, prepare
from streamflow.runtime.stats import Stats
from streamflow.runtime.stores import DiskStores
from streamflow.runtime.task import Rules
from streamflow.runtime.worker import Pace, Worker
from streamflow.settings import Settings

if TYPE_CHECKING:
    from streamflow.app import App

logger = logging.getLogger("streamflow.run")

ASK_AGAIN = 1.0  # seconds between two looks whether a log that cannot be had is there
LOOK = 0.1  # seconds between two looks at how far a restore is
HTTP_PATIENCE = 1.0  # seconds that the first records get before HTTP is imported


def creates(settings: Settings, orders: Orders) -> bool:
    """Whether topics that the script names are made: on the embedded log always."""
    return orders.create_topics or is_embedded(settings.broker)


def run_until_stopped(
    app: App, settings: Settings, orders: Orders, report: Report, channel: socket.socket | None = None
) -> None:
    """Run a worker in this process, with its loop and its signals; ``channel`` leads to a supervisor."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(stopping.set)

        signals = Signals(stop, say="stop      committing and closing" if channel is None else "")
        signals.install()
        if channel is not None:
            hold(channel, stop)
        try:
            await run_worker(app, settings, orders, report, stopping)
        finally:
            signals.over()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def run_worker(app: App, settings: Settings, orders: Orders, report: Report, stopping: asyncio.Event) -> None:
    """Run a worker until ``stopping`` is set, or until idle. Raises what it could not get over, after closing."""
    log = open_log(settings.broker, replication=settings.replication_factor)
    await log.start()
    try:
        planned = await _planned(app, settings, orders, log, report, stopping)
        if planned is None:
            return
        _tell(app, planned, settings, report)
        await call("on_start", settings.on_start)
        try:
            while (what := await _run(app, planned, settings, orders, log, report, stopping)) is not None:
                report.warn(f"{what}: planning anew")
                planned = await _planned(app, settings, orders, log, report, stopping)
                if planned is None:
                    return
        finally:
            await call("on_stop", settings.on_stop)
    finally:
        await log.close()


async def _planned(
    app: App, settings: Settings, orders: Orders, log: Log, report: Report, stopping: asyncio.Event
) -> Plan | None:
    """The plan, as soon as the log can be had: a cluster may come up later than its workers. None if told to stop."""
    waiting = False
    while True:
        try:
            return await prepare(app.id, app.topology, settings, log, create=creates(settings, orders))
        except LogUnavailable as error:
            if is_embedded(settings.broker):
                raise
            if not waiting:
                report.warn(f"waiting for the log: {error}")
            waiting = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), ASK_AGAIN)
        if stopping.is_set():
            return None


async def wait_until_idle(app: App, settings: Settings, orders: Orders, report: Report) -> None:
    """Return when workers elsewhere have nothing left to do (see `idle.py`)."""
    log = open_log(settings.broker)
    await log.start()
    try:
        planned = await prepare(app.id, app.topology, settings, log, create=creates(settings, orders))
        idle = Idle(planned, log)
        await idle.start()
        await idle.wait(lambda total, left: report.progress("processing", total, left))
    finally:
        await log.close()


async def _run(
    app: App, planned: Plan, settings: Settings, orders: Orders, log: Log, report: Report, stopping: asyncio.Event
) -> str | None:
    """Run to the end; gives what is new of the topics, if that ended it."""
    worker = make_worker(app, planned, settings, log, create=creates(settings, orders))
    settle()
    idle = Idle(planned, log) if orders.until_idle else None
    if idle is not None:
        await idle.start()
    sock = _listen(worker, *orders.http, orders, report) if orders.http is not None else None
    helpers: list[Coroutine[Any, Any, None]] = [_stop_when(stopping, worker), _show_restores(worker, report)]
    found: list[str] = []
    if idle is not None:
        helpers.append(_stop_when_idle(idle, worker, report))
    else:
        helpers.append(_stop_when_planned_otherwise(app, planned, log, worker, found))
    if orders.fake_input:
        from streamflow.run.made_up import feed

        helpers.append(feed(app.topology, planned, log, orders.fake_input, report))
    if settings.watchdog_ms is not None:
        helpers.append(watch(worker, settings.watchdog_ms / 1000))
    if sock is not None:
        helpers.append(_serve(app, worker, settings, sock, orders, hurry=idle is None))
    await beside(worker.run(), helpers, worker.stop)
    return found[0] if found and not stopping.is_set() else None


def make_worker(app: App, planned: Plan, settings: Settings, log: Log, *, create: bool) -> Worker:
    """A worker and its stores, ready to run."""
    clock, stats = SystemClock(), Stats()
    stores = DiskStores(settings.state_dir, app.id, clock, stats)
    return Worker(
        planned,
        log,
        clock,
        stores,
        stats=stats,
        rules=Rules.of(app.id, settings),
        pace=Pace.of(settings),
        holding=stores.holding(),
        standby_replicas=settings.standby_replicas,
        home=stores.home,
        create_topic=maker(planned, app.topology, settings, log, create=create),
        on_state_change=teller(settings.on_state_change) if settings.on_state_change else None,
    )


async def beside(main: Awaitable[None], helpers: list[Coroutine[Any, Any, None]], stop: Callable[[], object]) -> None:
    """Run ``main`` to its end with the helpers beside it; a helper that fails stops it, and its error is raised."""
    loop = asyncio.get_running_loop()

    def look(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            stop()

    tasks = [loop.create_task(helper) for helper in helpers]
    for task in tasks:
        task.add_done_callback(look)
    try:
        await main
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


def _tell(app: App, planned: Plan, settings: Settings, report: Report) -> None:
    tasks = sum(sub.partitions for sub in planned.subtopologies)
    stores = sum(len(sub.stores) for sub in planned.subtopologies)
    report.fact("app", f"{app.id}: {_many(tasks, 'task')}, {_many(stores, 'store')}")
    report.fact("log", shown(settings.broker))
    if stores:
        report.fact("state", os.path.join(settings.state_dir, app.id))
    if unnamed := app.topology.unnamed_stateful:
        report.warn(
            f"{_many(len(unnamed), 'stateful step')} without a name: {', '.join(unnamed)}; give each name=, "
            "or a change of the script around it may lose its state"
        )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


async def _stop_when(stopping: asyncio.Event, worker: Worker) -> None:
    await stopping.wait()
    worker.stop()


async def _stop_when_idle(idle: Idle, worker: Worker, report: Report) -> None:
    await idle.wait(lambda total, left: report.progress("processing", total, left))
    worker.stop()


async def _stop_when_planned_otherwise(app: App, planned: Plan, log: Log, worker: Worker, found: list[str]) -> None:
    found.append(await news(app.topology, planned, log))
    worker.stop()


async def _show_restores(worker: Worker, report: Report) -> None:
    """Tell how far restores are while there are any, and who the worker is whenever that changes."""
    shown, member = False, ""
    while True:
        if worker.membership.member_id != member:
            member = worker.membership.member_id
            report.member(member)
        progresses = [held.place.progress for held in worker.roster.restoring()]
        left = sum(progress.left for progress in progresses)
        if left or shown:
            report.progress("restoring", sum(progress.total for progress in progresses), left)
        shown = left > 0
        await asyncio.sleep(LOOK)


def _listen(worker: Worker, host: str, port: int, orders: Orders, report: Report) -> socket.socket:
    """Take the port at once, so that the worker can tell its group where it answers."""
    sock = listening(host, port)
    worker.address = url(sock, orders.advertise)
    given = sock.getsockname()[1]
    report.fact("http", worker.address + (f" (port {port} is in use)" if port and given != port else ""))
    if not is_local(host) and orders.http_token is None:
        report.warn(f"HTTP on {host} can be reached from other machines, and anybody there can read all state")
    return sock


async def _serve(
    app: App, worker: Worker, settings: Settings, sock: socket.socket, orders: Orders, *, hurry: bool
) -> None:
    """Import and start the server when the first records are through; a short job ends without it."""
    try:
        await (_first_records(worker) if hurry else asyncio.sleep(HTTP_PATIENCE))
        serve, told = await asyncio.to_thread(_import_server)
        host = sock.getsockname()[0]
        server = await serve(
            worker,
            host=host,
            topology=app.topology,
            routes=app.routes,
            token=orders.http_token,
            allow_remote=orders.http_open,
            address=worker.address,
            sock=sock,
            settings=told(settings, http_token=orders.http_token, http_open=orders.http_open or None),
        )
    except BaseException:
        sock.close()
        raise
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()


async def _first_records(worker: Worker) -> None:
    """Until something was committed or there is nothing to do, but not for long."""
    loop = asyncio.get_running_loop()
    latest = loop.time() + HTTP_PATIENCE
    while loop.time() < latest and not worker.stats.commits:
        if worker.state == "RUNNING" and worker.drained:
            return
        await asyncio.sleep(0.02)


def _import_server() -> Any:
    import streamflow.http
    from streamflow.http.settings import told

    return streamflow.http.serve, told
