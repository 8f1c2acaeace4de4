"""What becomes of a record that could not be read or whose function raised.

The policy is settled before the commit: `fail` stops with a message and commits
nothing of it, `skip` counts it, `dead_letter` keeps it. A dead letter is the
record as it came, byte for byte, written in the same transaction as its offset.
"""

from __future__ import annotations

import traceback
from typing import Any

from streamflow.errors import RecordError
from streamflow.record import TopicPartition
from streamflow.runtime.context import Context
from streamflow.settings import Answer, Policy

HEADER_PREFIX = "__streams.errors."
"""Kafka Streams' names for dead letter headers (KIP-1034)."""

ADVICE = {
    "deserialize": "mend the producer or the type, or set on_deserialize_error to 'skip' or 'dead_letter'",
    "process": "mend the function, or set on_process_error to 'skip' or 'dead_letter'",
}


def ask(policy: Policy, context: Context, error: Exception) -> Answer:
    """The policy's answer; anything but the three words is `fail`."""
    answer = policy(context, error) if callable(policy) else policy
    return answer if answer in ("skip", "dead_letter") else "fail"


def record_error(kind: str, step: str, tp: TopicPartition, record: Any, error: Exception) -> RecordError:
    """The error that names everything a person needs to find the record."""
    what = "could not be read" if kind == "deserialize" else f"made step {step!r} raise {type(error).__name__}"
    message = (
        f"{tp.topic!r} partition {tp.partition} offset {record.offset} (key {_shown(record.key)}) {what}: {error}; "
        f"nothing of it was committed: {ADVICE[kind]}"
    )
    return RecordError(
        message, kind=kind, step=step, topic=tp.topic, partition=tp.partition, offset=record.offset, cause=error
    )


def dead_letter_headers(tp: TopicPartition, record: Any, step: str, error: Exception) -> list[tuple[str, bytes]]:
    """The record's own headers and the reason, under Kafka Streams' names."""
    trace = "".join(traceback.format_exception(error))
    reason = {
        "exception": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": str(error),
        "stacktrace": trace[-8000:],
        "topic": tp.topic,
        "partition": str(tp.partition),
        "offset": str(record.offset),
        "step": step,
    }
    return [*record.headers, *((HEADER_PREFIX + name, text.encode()) for name, text in reason.items())]


def _shown(key: bytes | None) -> str:
    """A key short enough for one line."""
    if key is None:
        return "null"
    try:
        text = repr(key.decode())
    except UnicodeDecodeError:
        text = f"0x{key.hex()}"
    return text if len(text) <= 60 else text[:57] + "..."
