"""Running an application: the only place that knows both ends, the language and the log.

`process.py` makes one worker and everything it needs; `supervisor.py` starts several of them as processes. Nothing
heavy is imported here: a supervisor needs no log and no event loop's worth of clients.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streamflow.config import address, apply, outside
from streamflow.errors import ConfigError, StreamflowError, TopologyError
from streamflow.run.listen import is_local
from streamflow.run.logs import JsonReport, log_to_stderr
from streamflow.run.orders import Orders
from streamflow.run.report import Report, Terminal, Upstream

if TYPE_CHECKING:
    from streamflow.app import App

DEFECT = "this is a defect of streamflow, or of a module it uses; please report it with the traceback"
_loading = 0


@dataclass(frozen=True)
class Options:
    """The command line of ``run``, settled. ``changes`` are arguments of ``App(...)`` that come from outside."""

    workers: int = 1
    http: str | None = "127.0.0.1:8080"
    until_idle: bool = False
    reload: bool = False
    create_topics: bool = False
    log_level: str = "warning"
    log_format: str = "text"
    debug: bool = False
    http_token: str | None = None
    http_open: bool = False
    advertise: str | None = None
    fake_input: float | None = None
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def orders(self, worker: int = 0) -> Orders:
        """What the worker of this number is told; it answers HTTP on the given port plus its number."""
        if self.http is None:
            return Orders(None, self.until_idle, self.create_topics)
        host, port = address(self.http)
        if self.http_token is None and not self.http_open and not is_local(host):
            raise ConfigError(
                f"--http {self.http}: other machines reach it, and anybody there could read all state and write events; "
                "set STREAMFLOW_HTTP_TOKEN, or allow everybody with --http-open, or listen on 127.0.0.1"
            )
        at = host, port + worker if port else 0
        return Orders(
            at, self.until_idle, self.create_topics, self.http_token, self.http_open, self.advertise, self.fake_input
        )


def run_app(app: App, **options: Any) -> None:
    """`App.run`: what ``streamflow run`` does, for a script that is started with ``python app.py``.

    ``options`` are those of the command line (``workers=2, until_idle=True, http=None, ...``) and arguments of
    ``App(...)``. Ends the program with the command line's exit code when the application fails. While ``streamflow
    run`` imports the script it does nothing, so that both ways of starting work.
    """
    if _loading:
        return
    known = {name for name in Options.__dataclass_fields__ if name != "changes"}
    changes = outside({name: value for name, value in options.items() if name not in known})
    unknown = options.keys() - known - {name for name in options if name in changes}
    if unknown:
        raise ConfigError(f"run() has no option {min(unknown)!r}; known are {', '.join(sorted(known))}")
    chosen = Options(changes=changes, **{name: value for name, value in options.items() if name in known})
    try:
        code = start(app, chosen, _own_script(app) if chosen.workers > 1 or chosen.reload else "")
    except StreamflowError as error:
        if chosen.debug:
            raise
        sys.stderr.write(f"streamflow: {error}\n")
        code = exit_code(error)
    if code:
        sys.exit(code)


class Loading:
    """While a script is imported, its ``app.run()`` does nothing."""

    def __enter__(self) -> None:
        global _loading
        _loading += 1

    def __exit__(self, *_: object) -> None:
        global _loading
        _loading -= 1


def exit_code(error: StreamflowError) -> int:
    """2 for wrong use and wrong scripts, 1 for everything else."""
    return 2 if isinstance(error, ConfigError | TopologyError) else 1


def start(app: App, options: Options, script: str, report: Report | None = None) -> int:
    """Run it, here or in processes of their own; gives the exit code. ``script`` is how ``streamflow run`` names it."""
    settings = apply(app.settings, options.changes)
    options.orders()  # what is wrong with it is told once, before any process is started
    log_to_stderr(options.log_level, options.log_format)
    report = report or (JsonReport() if options.log_format == "json" else Terminal())
    try:
        if options.workers == 1 and not options.reload:
            _run_here(app, settings, options.orders(), report)
            return 0
        from streamflow.run.supervisor import supervise

        return supervise(app, settings, options, script, report)
    except StreamflowError as error:
        if options.debug or options.log_format == "text":
            raise  # the command line tells it
        report.failed(str(error), exit_code(error))
        return exit_code(error)
    finally:
        report.close()


def start_supervised(app: App, options: Options, worker: int, descriptor: int) -> int:
    """Run the worker of this number for the supervisor at the other end of the socket; gives the exit code."""
    channel = socket.socket(fileno=descriptor)
    report = Upstream(channel)
    log_to_stderr(options.log_level, options.log_format, worker)
    try:
        _run_here(app, apply(app.settings, options.changes), options.orders(), report, channel)
    except StreamflowError as error:
        if options.debug:
            raise
        report.failed(str(error), exit_code(error))
        return exit_code(error)
    except Exception:
        import traceback

        report.failed(f"{DEFECT}\n{traceback.format_exc()}", 1)
        return 1
    return 0


def _run_here(app: App, settings: Any, orders: Orders, report: Report, channel: socket.socket | None = None) -> None:
    from streamflow.run.process import run_until_stopped

    run_until_stopped(app, settings, orders, report, channel)


def _own_script(app: App) -> str:
    """How ``streamflow run`` would name the script that is running."""
    main = sys.modules["__main__"]
    names = [name for name, value in vars(main).items() if value is app]
    if not names or getattr(main, "__file__", None) is None:
        raise ConfigError("run(workers=...) needs the App in a variable of the script that is started")
    return f"{os.path.relpath(str(main.__file__))}:{names[0]}"
