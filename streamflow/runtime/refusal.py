"""What becomes of a record that could not be read or whose function raised.

The policy is settled before the commit: `fail` stops with a message and commits
nothing of it, `skip` counts it, `dead_letter` keeps it. A dead letter is the
record as it came, byte for byte, written in the same transaction as its offset.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from streamflow.errors import RecordError, StreamflowError
from streamflow.record import TopicPartition
from streamflow.runtime.context import Context
from streamflow.settings import Answer, Policy

logger = logging.getLogger("streamflow.worker")

HEADER_PREFIX = "__streams.errors."
"""Kafka Streams' names for dead letter headers (KIP-1034)."""

ADVICE = {
    "deserialize": "mend the producer or the type, or set on_deserialize_error to 'skip' or 'dead_letter'",
    "process": "mend the function, or set on_process_error to 'skip' or 'dead_letter'",
}


class Unrecorded(StreamflowError):
    """Something failed that no record of the log can stand for."""


def ask(policy: Policy, context: Context, error: Exception) -> Answer:
    """The policy's answer; anything but the three words is `fail`, and so is a policy that raises itself."""
    if not callable(policy):
        return policy
    try:
        answer = policy(context, error)
    except Exception:
        logger.exception("the function that decides about failed records raised itself; the answer is 'fail'")
        return "fail"
    return answer if answer in ("skip", "dead_letter") else "fail"


def record_error(kind: str, step: str, tp: TopicPartition, record: Any, error: Exception) -> RecordError:
    """The error that names everything a person needs to find the record."""
    raised = f"made step {step!r} raise {type(error).__name__}"
    what = f"could not be read by step {step!r}" if kind == "deserialize" else raised
    message = (
        f"{tp.topic!r} partition {tp.partition} offset {record.offset} (key {_shown(record.key)}) {what}: "
        f"{_said(error)}; nothing of it was committed: {ADVICE[kind]}"
    )
    return RecordError(
        message, kind=kind, step=step, topic=tp.topic, partition=tp.partition, offset=record.offset, cause=error
    )


def dead_letter_headers(tp: TopicPartition, record: Any, step: str, error: Exception) -> list[tuple[str, bytes]]:
    """The record's own headers and the reason, under Kafka Streams' names."""
    trace = "".join(traceback.format_exception(error))
    reason = {
        "exception": f"{type(error).__module__}.{type(error).__qualname__}",
        "message": _said(error),
        "stacktrace": trace[-8000:],
        "topic": tp.topic,
        "partition": str(tp.partition),
        "offset": str(record.offset),
        "step": step,
    }
    told = [(HEADER_PREFIX + name, text.encode(errors="backslashreplace")) for name, text in reason.items()]
    return [*record.headers, *told]


def _said(error: Exception) -> str:
    """An error's own words; one that cannot even say them is no reason to fail once more."""
    try:
        return str(error)
    except Exception:
        return f"{type(error).__name__}, whose text cannot be had"


def _shown(key: bytes | None) -> str:
    """A key short enough for one line."""
    if key is None:
        return "null"
    try:
        text = repr(key.decode())
    except UnicodeDecodeError:
        text = f"0x{key.hex()}"
    return text if len(text) <= 60 else text[:57] + "..."
