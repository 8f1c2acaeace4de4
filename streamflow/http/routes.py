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
FOREVER = 253_402_300_799_999
"""The last millisecond of the year 9999."""
MOST_RECORDS = 1_000
"""The largest ``limit`` of records."""

Schema = dict[str, Any]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a query. ``kind`` is how its text is read; ``default`` is what holds without it."""

    name: str
    kind: Literal["integer", "key", "prefix", "cursor", "choice", "flag", "text"]
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
    method: Literal["GET", "POST"] = "GET"
    body: Schema | None = None
    takes: tuple[str, ...] = ()
    """Types of content that a POST may have, and what JSON of it is."""
    success: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    """Headers that mean something here, with their meaning."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's segments, ``{name}`` among them."""
        return tuple(self.path.split("/")[1:])


def _object(required: bool = True, /, **properties: Schema) -> Schema:
    found: Schema = {"type": "object", "properties": properties}
    return found | {"required": [name for name in properties if name not in _OPTIONAL]} if required else found


_OPTIONAL = {"encoding", "key_encoding", "unreachable", "unassigned", "workers", "restore"}
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
    worker={"type": "string", "description": "who runs it"},
    subtopology=_TEXT,
    partition=_COUNT,
    state={"enum": ["RUNNING", "RESTORING"]},
    processed=_COUNT,
    inputs=_list(INPUT),
    outputs=_list(_object(topic=_TEXT, sent={**_COUNT, "description": "records committed since the task runs here"})),
    dropped=_list(_object(step=_TEXT, reason=_TEXT, records=_COUNT)),
    stores=_list(TASK_STORE),
    restore=RESTORE,
)
WORKER = _object(
    id={"type": "string", "description": "its name in the group: a worker that is started again has another"},
    worker={"type": "string", "description": "where it answers; empty: it serves no HTTP"},
    tasks={**_COUNT, "description": "how many the group says it has"},
)
STANDBY = _object(
    task=_TEXT,
    worker={"type": "string", "description": "who keeps the copy"},
    warm={"type": "boolean", "description": "the task could go on here after a short replay"},
    lag=_COUNT,
    trouble={"type": "string", "description": "why there is no copy for now; empty when there is"},
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
PLACE = _object(topic=_TEXT, partition=_COUNT, offset=_COUNT)
TOPIC_PARTITION = _object(partition=_COUNT, start=_COUNT, end=_COUNT, committed=_MAYBE_COUNT, lag=_MAYBE_COUNT)
TOPIC = _object(
    name=_TEXT,
    roles=_list({"enum": ["source", "global table", "sink", "repartition", "changelog", "dead letters"]}),
    key=_TEXT,
    value=_TEXT,
    takes_events={"type": "boolean", "description": "whether POST /topics/{topic} writes to it"},
    partitions=_list(TOPIC_PARTITION),
    lag={**_MAYBE_COUNT, "description": "records that are read from it and not committed; null: nobody reads it"},
)
RECORD = _object(
    topic=_TEXT,
    partition=_COUNT,
    offset=_COUNT,
    timestamp={"type": "integer"},
    key=_ANY,
    value=_ANY,
    headers={"type": "object"},
    encoding=_ENCODING,
    key_encoding=_ENCODING,
)
LETTER = _object(
    partition=_COUNT,
    offset=_COUNT,
    timestamp={"type": "integer"},
    key=_ANY,
    value=_ANY,
    headers={"type": "object"},
    reason={"type": "object", "description": "exception, message, stacktrace; topic, partition, offset and step"},
    replayed={"type": "boolean"},
    encoding=_ENCODING,
    key_encoding=_ENCODING,
)
POINT = _object(time=_COUNT, rate={"type": "number", "description": "records a second"}, lag=_COUNT)
SETTING = _object(
    name=_TEXT,
    value={"type": ["string", "null"], "description": "null: not set"},
    default={"type": "boolean", "description": "it is what holds when nobody says anything"},
)
ERROR = _object(error={"type": "string", "description": "a sentence: what was wrong and what to do"})

_SINCE = "the first window that starts at or after this time"
_UNTIL = "the last window that starts at or before this time"

_WAITING = (
    Parameter("wait", "text", "how long to wait for a row, or for the record of after: 5s; 25s at most"),
    Parameter(
        "after", "integer", "an offset, as POST /topics/{topic} gave it: what it led to is in the answer", most=LATEST
    ),
    Parameter("topic", "text", "of which topic after is, where the store's task reads several"),
)
_STALE = Parameter(
    "stale",
    "choice",
    "allow: an older answer will do, of a copy or of a task that is restored; the headers tell how old",
    choices=("allow",),
)
_REDIRECT = Parameter("redirect", "flag", "1: say by 307 who has the answer, do not fetch it", default=False)
ROUTES: tuple[Route, ...] = (
    Route(
        "index",
        "/",
        "for a browser a page to look at all of it, else this list",
        _object(False),
        media=("text/html", "text/plain"),
    ),
    Route(
        "page",
        "/dashboard/{file}",
        "the files of that page",
        _object(False),
        media=("text/html", "text/css", "text/javascript"),
        answers=(304, 404),
    ),
    Route("stores", "/stores", "the stores of the application", _object(stores=_list(STORE))),
    Route(
        "key",
        "/stores/{store}/keys/{key}",
        "the row of a key, committed",
        ENTRY,
        (
            Parameter("as_of", "integer", "of a versioned table: the row that was valid at this time", most=LATEST),
            *_WAITING,
            _STALE,
            _REDIRECT,
        ),
        answers=(304, 307, 400, 404, 409, 503),
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
            _STALE,
        ),
        answers=(304, 400, 404, 503),
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
            *_WAITING,
            _STALE,
            _REDIRECT,
        ),
        answers=(304, 307, 400, 404, 503),
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
            *_WAITING,
            _STALE,
            _REDIRECT,
        ),
        answers=(304, 307, 400, 404, 503),
    ),
    Route(
        "changes",
        "/stores/{store}/changes",
        "committed changes of a store as they happen, from all workers: server-sent events",
        _object(False),
        (Parameter("key", "key", "only changes of this key"),),
        media=("text/event-stream",),
        answers=(400, 404, 503),
        headers=(("Last-Event-ID", "go on behind this event; an event 'reset' says that it cannot be"),),
    ),
    Route(
        "topology",
        "/topology",
        "the topology: JSON, Kafka Streams' text, a Mermaid graph or a picture",
        _object(False),
        (Parameter("format", "choice", "how", default="json", choices=("json", "text", "mermaid", "svg")),),
        media=("application/json", "text/plain", "image/svg+xml"),
        answers=(304, 400),
    ),
    Route(
        "tasks",
        "/tasks",
        "what each task does: inputs and lag, restore progress, stores; and the copies of other workers' tasks",
        _object(
            worker=_TEXT,
            state=_TEXT,
            tasks=_list(TASK),
            standbys=_list(STANDBY),
            unreachable=_list(_TEXT),
            unassigned=_list(_TEXT),
            workers=_list(WORKER),
        ),
        (Parameter("all", "flag", "1: the tasks of all workers of the group", default=False),),
        answers=(400, 503),
    ),
    Route(
        "history",
        "/history",
        "the last hour of this worker, every five seconds: records a second, and lag",
        _object(step_ms=_COUNT, points=_list(POINT), unreachable=_list(_TEXT)),
        (
            Parameter(
                "all", "flag", "1: of all workers of the group together, as far as they are there", default=False
            ),
            Parameter("since", "integer", "only what was at this time or later", default=0, most=LATEST),
        ),
        answers=(400, 503),
    ),
    Route(
        "settings",
        "/settings",
        "how the application was told to run; secrets are left out",
        _object(settings=_list(SETTING)),
    ),
    Route(
        "topics",
        "/topics",
        "the topics of the application: what part each plays, where its partitions begin and end, and lag",
        _object(topics=_list(TOPIC)),
        answers=(503,),
    ),
    Route(
        "records",
        "/topics/{topic}/records",
        "committed records of a topic: the last ones, or from an offset on, or those of a key",
        _object(records=_list(RECORD), next={"type": "object", "description": "partition: the offset to go on from"}),
        (
            Parameter("partition", "integer", "only this partition", most=1_000_000),
            Parameter("from", "integer", "from this offset on, oldest first; with partition", most=LATEST),
            Parameter("key", "key", "only records with this key; among the last 20,000 offsets of a partition"),
            Parameter("limit", "integer", "records at most", default=100, least=1, most=MOST_RECORDS),
        ),
        answers=(400, 404, 503),
    ),
    Route(
        "write",
        "/topics/{topic}",
        "an event into a topic that the application reads; answered when it is durable (200: it was there already)",
        PLACE,
        (
            Parameter("key", "key", "the event's key, as text; none: null"),
            Parameter("timestamp", "integer", "when it happened; now, if not said", most=FOREVER),
            Parameter("partition", "integer", "where to put it; by its key, if not said", most=1_000_000),
            Parameter("headers", "text", 'headers of the record as JSON: {"name": "text"}'),
        ),
        answers=(400, 403, 404, 411, 413, 415, 503),
        method="POST",
        body={},
        takes=("application/json", "text/plain", "application/octet-stream"),
        success=201,
        headers=(("Idempotency-Key", "an id of the event: sent again with the same, it is not written again"),),
    ),
    Route(
        "letters",
        "/dead-letters",
        "records that were set aside, with the reason; the newest",
        _object(topic=_TEXT, count=_COUNT, letters=_list(LETTER)),
        (
            Parameter("topic", "text", "only those that came from this topic"),
            Parameter("step", "text", "only those that this step refused"),
            Parameter("pending", "flag", "1: only those that were not sent again", default=False),
            Parameter("limit", "integer", "letters at most", default=100, least=1, most=MOST_RECORDS),
        ),
        answers=(400, 503),
    ),
    Route(
        "replay",
        "/dead-letters/replay",
        "send dead letters again, as they came, to where they came from; each once, however often it is asked",
        _object(replayed=_list(_object(partition=_COUNT, offset=_COUNT))),
        (
            Parameter("topic", "text", "only those that came from this topic"),
            Parameter("step", "text", "only those that this step refused"),
            Parameter("partition", "integer", "with offset: a letter by its place", most=1_000_000),
            Parameter("offset", "integer", "with partition: a letter by its place", most=LATEST),
            Parameter("letters", "text", "letters by their places: partition:offset, with commas between"),
            Parameter("all", "flag", "1: every letter", default=False),
        ),
        answers=(400, 409, 503),
        method="POST",
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
