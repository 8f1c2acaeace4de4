"""The log on stderr: lines for a person, or one JSON object a line for whoever collects them.

    {"time": "2024-05-01T12:00:00.123Z", "level": "warning", "logger": "streamflow.worker", "message": "...", "worker": 1}

``worker`` is there under a supervisor, ``exception`` (a traceback) where there is one. Loggers are the standard
library's, so what the script and its libraries log comes the same way.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Literal

import msgspec

from streamflow.errors import ConfigError
from streamflow.run.report import Job

LEVELS = ("debug", "info", "warning", "error")
Layout = Literal["text", "json"]
LAYOUTS: tuple[Layout, ...] = ("text", "json")
EVERY = 5.0  # seconds between two lines about a job that goes on


def log_to_stderr(level: str, layout: str = "text", worker: int | None = None) -> None:
    """Set the root logger up; ``worker`` is a worker's number under a supervisor."""
    if level not in LEVELS:
        raise ConfigError(f"log level {level!r} is none; write {', '.join(LEVELS)}")
    if layout not in LAYOUTS:
        raise ConfigError(f"log format {layout!r} is none; write {' or '.join(LAYOUTS)}")
    handler = logging.StreamHandler(sys.stderr)
    if layout == "json":
        handler.setFormatter(JsonFormatter(worker))
    else:
        time = "%(asctime)s " if level in ("debug", "info") else ""
        prefix = "" if worker is None else f"worker {worker}: "
        handler.setFormatter(logging.Formatter(f"{prefix}{time}%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


class JsonFormatter(logging.Formatter):
    """A record as a line of JSON.

    >>> record = logging.LogRecord("streamflow.worker", logging.WARNING, "", 0, "task %s runs", ("a_0",), None)
    >>> record.created = 1.5
    >>> print(JsonFormatter(0).format(record))
    {"time":"1970-01-01T00:00:01.500Z","level":"warning","logger":"streamflow.worker","message":"task a_0 runs","worker":0}
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        exception = self.formatException(record.exc_info) if record.exc_info else None
        return _line(
            record.levelname.lower(), record.name, record.getMessage(), record.created, self._worker, exception
        )


class JsonReport:
    """A `Report` for whoever collects lines; facts come whatever the level is, as a person would see them."""

    def __init__(self) -> None:
        self._told: dict[Job, float] = {}

    def fact(self, label: str, text: str) -> None:
        self._say("info", f"{label}: {text}")

    def warn(self, text: str) -> None:
        self._say("warning", text)

    def failed(self, text: str, code: int) -> None:
        self._say("error", text)

    def progress(self, job: Job, total: int, left: int) -> None:
        now = time.monotonic()
        if not left and self._told.pop(job, None) is not None:
            self._say("info", f"{job}: done")
        elif left and now - self._told.get(job, now - 2 * EVERY) >= EVERY:
            self._told[job] = now
            self._say("info", f"{job}: {left:,} of {total:,} records left")

    def member(self, id: str) -> None:
        pass

    def close(self) -> None:
        pass

    def _say(self, level: str, message: str) -> None:
        try:
            sys.stderr.write(_line(level, "streamflow.run", message, time.time(), None, None) + "\n")
            sys.stderr.flush()
        except OSError:
            pass  # whoever read this has gone; a worker goes on without


def _line(level: str, logger: str, message: str, at: float, worker: int | None, exception: str | None) -> str:
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    found: dict[str, object] = {"time": when, "level": level, "logger": logger, "message": message}
    if worker is not None:
        found["worker"] = worker
    if exception is not None:
        found["exception"] = exception
    return msgspec.json.encode(found).decode()
