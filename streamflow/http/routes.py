"""What can be asked over HTTP: one table. Requests are checked against it and `/openapi.json` is written from it.

Times are integer milliseconds since the epoch. How a key is written in a path or a parameter is told in `text.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

MOST = 10_000
"""The largest ``limit``."""
LATEST = 2**63 - 1
"""The largest time: what eight bytes hold."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query. ``kind`` is how its text is read; ``default`` is what holds without it."""

    name: str
    kind: Literal["integer", "key", "prefix", "cursor", "choice", "flag"]
    meaning: str
    default: Any = None
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """One path. ``{name}`` stands for one segment. ``answers`` maps each status to its meaning, beside 200.

    ``schema`` is that of the JSON answer; ``media`` are all types of content that may come.
    """

    name: str
    path: str
    summary: str
    schema: Schema
    parameters: tuple[Parameter, ...] = ()
    media: tuple[str, ...] = ("application/json",)
    answers: tuple[int, ...] = ()

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's segments, ``{name}`` among them."""
        return tuple(self.path.split("/")[1:])


def _object(required: bool = True, /, **properties: Schema) -> Schema:
    found: Schema = {"type": "object", "properties": properties}
    return found | {"required": [name for name in properties if name not in _OPTIONAL]} if required else found


_OPTIONAL = {"encoding", "key_encoding", "unreachable", "unassigned", "restore"}
_ANY: Schema = {}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0}
_TIME: Schema = {"type": ["integer", "null"], "description": "milliseconds since the epoch; null: the store keeps none"}
_ENCODING: Schema = {"const": "base64", "description": "there when the text is base64 of bytes that are no UTF-8"}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


ENTRY = _object(key=_ANY, value=_ANY, timestamp=_TIME, encoding=_ENCODING, key_encoding=_ENCODING)
WINDOW = _object(start=_COUNT, end=_COUNT, value=_ANY, timestamp=_TIME, encoding=_ENCODING)
INPUT = _object(topic=_TEXT, partition=_COUNT, position=_COUNT, committed=_MAYBE_COUNT, end=_COUNT, lag=_COUNT)
RESTORE = _object(
    store_records=_COUNT,
    remaining=_COUNT,
    records_per_second={"type": "number"},
    seconds_left={"type": ["number", "null"]},
)
TASK_STORE = _object(
    name=_TEXT,
    kind=_TEXT,
    changelog_position=_COUNT,
    uncommitted_rows=_COUNT,
    unwritten_rows=_COUNT,
    unwritten_bytes=_COUNT,
)
TASK = _object(
    task=_TEXT,
    subtopology=_TEXT,
    partition=_COUNT,
    state={"enum": ["RUNNING", "RESTORING"]},
    processed=_COUNT,
    inputs=_list(INPUT),
    stores=_list(TASK_STORE),
    restore=RESTORE,
)
STORE = _object(
    name=_TEXT,
    kind=_TEXT,
    key=_TEXT,
    value=_TEXT,
    partitions=_COUNT,
    subtopology=_TEXT,
    base=_TEXT,
    changelog={"type": ["string", "null"]},
    window_ms=_MAYBE_COUNT,
    retention_ms=_MAYBE_COUNT,
)
ERROR = _object(error={"type": "string", "description": "a sentence: what was wrong and what to do"})

_SINCE = "the first window that starts at or after this time"
_UNTIL = "the last window that starts at or before this time"

ROUTES: tuple[Route, ...] = (
    Route("index", "/", "this list", _object(False), media=("text/html", "text/plain")),
    Route("stores", "/stores", "the stores of the application", _object(stores=_list(STORE))),
    Route(
        "key",
        "/stores/{store}/keys/{key}",
        "the row of a key, committed",
        ENTRY,
        answers=(400, 404, 409, 503),
    ),
    Route(
        "keys",
        "/stores/{store}/keys",
        "rows in the order of their keys' bytes, over all partitions, a page at a time",
        _object(entries=_list(ENTRY), cursor={"type": ["string", "null"]}),
        (
            Parameter("from", "key", "the first key, included"),
            Parameter("to", "key", "the last key, included"),
            Parameter("prefix", "prefix", "only keys that begin with this; for keys of type str and bytes"),
            Parameter("limit", "integer", "rows a page", default=100, least=1, most=MOST),
            Parameter("cursor", "cursor", "the cursor of the page before"),
        ),
        answers=(400, 404, 503),
    ),
    Route(
        "windows",
        "/stores/{store}/windows/{key}",
        "the windows of a key, oldest first; where `limit` of them came, go on `from` the last start + 1",
        _list(WINDOW),
        (
            Parameter("from", "integer", _SINCE, default=0, least=0, most=LATEST),
            Parameter("to", "integer", _UNTIL, default=LATEST, least=0, most=LATEST),
            Parameter("limit", "integer", "windows at most", default=1000, least=1, most=MOST),
        ),
        answers=(400, 404, 503),
    ),
    Route(
        "sessions",
        "/stores/{store}/sessions/{key}",
        "the sessions of a key that reach into the time asked for, oldest first",
        _list(WINDOW),
        (
            Parameter("from", "integer", "sessions that end at this time or later", default=0, least=0, most=LATEST),
            Parameter(
                "to", "integer", "sessions that start at this time or earlier", default=LATEST, least=0, most=LATEST
            ),
            Parameter("limit", "integer", "sessions at most", default=1000, least=1, most=MOST),
        ),
        answers=(400, 404, 503),
    ),
    Route(
        "topology",
        "/topology",
        "the topology: JSON, Kafka Streams' text, a Mermaid graph or a picture",
        _object(False),
        (Parameter("format", "choice", "how", default="json", choices=("json", "text", "mermaid", "svg")),),
        media=("application/json", "text/plain", "image/svg+xml"),
        answers=(400,),
    ),
    Route(
        "tasks",
        "/tasks",
        "what each task does: inputs and lag, restore progress, stores",
        _object(worker=_TEXT, state=_TEXT, tasks=_list(TASK), unreachable=_list(_TEXT), unassigned=_list(_TEXT)),
        (Parameter("all", "flag", "1: the tasks of all workers of the group", default=False),),
        answers=(400, 503),
    ),
    Route("live", "/health/live", "200 while the worker's loop turns", _object(status=_TEXT)),
    Route(
        "ready",
        "/health/ready",
        "200 when every task that is meant for this worker runs, else 503 with the reason",
        _object(status=_TEXT),
        answers=(503,),
    ),
    Route("metrics", "/metrics", "Prometheus metrics", _object(False), media=("text/plain",)),
    Route("openapi", "/openapi.json", "this interface, as OpenAPI 3.1", _object(False)),
)
