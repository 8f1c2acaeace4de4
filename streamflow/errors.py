"""What can go wrong, named as the user would name it.

Every error a user can cause is a `StreamflowError` whose text says what, what
was found, and what to do, in one or two lines. Anything else that reaches the
user is a defect of streamflow.
"""

from __future__ import annotations


class StreamflowError(Exception):
    """Base of every error that is shown to a user without a traceback."""


class TopologyError(StreamflowError):
    """The script declares something that cannot be built or planned."""


class ConfigError(StreamflowError):
    """A setting, flag or environment variable has a value that cannot be used."""


class SerdeError(StreamflowError):
    """Bytes that are not what their type says, or a value its type cannot write."""


class RecordError(StreamflowError):
    """One record could not be handled; carries where it came from.

    ``kind`` is ``"deserialize"``, ``"process"`` or ``"produce"``.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        step: str,
        topic: str,
        partition: int,
        offset: int,
        cause: BaseException | None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.step = step
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.cause = cause


class StateError(StreamflowError):
    """A store cannot be read or written; the text names its directory."""


class StoreCorrupt(StateError):
    """A store's files are damaged or of another life: it is moved aside and restored."""


class StoreStalled(StateError):
    """A store refused a write for now (write stall, full disk); nothing of the batch was applied."""


class StoreLocked(StateError):
    """Another process holds a store's directory open."""


class StoreUnavailable(StateError):
    """The machine does not let a store at its files (permissions, I/O errors, open files): no reason to rebuild it."""


class LogError(StreamflowError):
    """The log cannot do what was asked."""


class LogCorrupt(LogError):
    """The log's files are damaged: a checksum, a gap, or a missing row. Never a silent wrong answer."""


class LogUnavailable(LogError):
    """The log could not be reached or written for now (locked, full disk); asking again may work."""


class UnknownTopic(LogError):
    """A topic or partition that does not exist."""


class TopicMismatch(LogError):
    """A topic exists, with another partition count or setting than was asked for."""


class OffsetOutOfRange(LogError):
    """A position that the log no longer, or not yet, holds."""
