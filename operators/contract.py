"""What an operator is, and what it may ask of the task it runs in.

An operator is declared as frozen data and built leaf first: `build` receives
the function of what comes after it and returns its own. So a chain of steps is
one function calling the next, and nothing is created per record.

**Two kinds of edges.** On a stream edge a record is ``(key, value, timestamp)``.
On a table edge it is a change, ``(key, new, old, timestamp)``; ``old`` is None
where nobody downstream asked for old values (`Scope.sends_old`).

**Forms.** A key or value on an edge is either *raw*, the bytes as they came from
the topic, or *decoded*, the user's object. Which of the two is settled once,
when the task is built, for a whole run of steps that pass it on unchanged:
decoded as soon as one of them looks at it (``reads_key``, ``reads_value``) or
makes it (``key``, ``value`` effect other than `Effect.SAME`), raw when nobody
does. An operator never needs to know: what passes through is passed through,
and a store handle from `Scope.store` takes keys in the form of the step's input
and values in the form of its output. Only sources, sinks and windowed
aggregations, which make a key out of a key, ask (`Scope.key_raw`). Sources and
sinks belong to the graph (`streamflow/topology.py`): operators know stores,
never topics.

Other fields of the record in hand (topic, partition, offset, headers) are on
`Scope.context`, read only by those who ask.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from streamflow.record import Headers

Emit = Callable[..., None]
"""``(key, value, timestamp)`` on a stream edge, ``(key, new, old, timestamp)`` on a table edge."""


class Effect(enum.Enum):
    """What a step does to a key or a value.

    ``SAME`` passes it on, ``NEW`` makes another object, ``WINDOWED`` (keys only)
    makes a windowed key of it: raw when the input is raw and nobody looks.
    """

    SAME = "same"
    NEW = "new"
    WINDOWED = "windowed"


class Context(Protocol):
    """The record in hand, for those who ask."""

    topic: str
    partition: int

    @property
    def offset(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def timestamp(self) -> int: ...

    @property
    def record(self) -> Any:
        """The record as the log gave it."""
        ...

    def stand_in(self, timestamp: int, headers: Headers) -> None:
        """What comes next is no record of the log, but has a time and headers like one."""
        ...

    def bearing(self, headers: Headers, emit: Emit, *record: Any) -> None:
        """``emit(*record)``, which may read the headers of the record in hand, and is to find these."""
        ...


class StreamTime:
    """The greatest timestamp one step (or store) has seen; kept over restarts with the commit.

    ``now`` is -1 before the first record.
    """

    __slots__ = ("now",)

    def __init__(self, now: int = -1) -> None:
        self.now = now


class Punctuation(Protocol):
    """A call that comes again and again."""

    def cancel(self) -> None:
        """No more of it."""
        ...


class Services(Protocol):
    """What a user's processor asks of its task."""

    task: str
    commit_wanted: bool

    @property
    def now(self) -> StreamTime:
        """The greatest timestamp that the task has processed."""
        ...

    def wall_clock(self) -> int:
        """Milliseconds since 1970."""
        ...

    def handle(self, name: str) -> Any:
        """A store with keys and values as objects."""
        ...

    @property
    def global_view(self) -> Callable[[str], Any]:
        """The rows of a table that every worker has whole, to be read only; None for another name."""
        ...

    def schedule(
        self, step: str, every: int, f: Callable[[int], object], *, by_wall_clock: bool, lasting: bool
    ) -> Punctuation:
        """Call ``f(timestamp)`` every so many milliseconds."""
        ...

    def closing(self, f: Callable[[], object]) -> None:
        """Call ``f`` when the task ends."""
        ...

    def when_silent(self, step: str, time: StreamTime, close: Callable[[int], object]) -> None:
        """Where the application wants it: while the input is silent, move ``time`` on and call ``close(time)``."""
        ...

    def calls(
        self, step: str, most: int, on_error: str
    ) -> Callable[[Coroutine[Any, Any, Any], Callable[[Any], None]], None]:
        """A function that starts a coroutine, and has its result delivered by another in the order of the starts."""
        ...


class Scope(Protocol):
    """What a step may ask for while it is built. One scope per step and task."""

    step: str
    """The step's name."""
    children: Sequence[str]
    """The names of the steps that come after it."""
    context: Context
    key_raw: bool
    """The step's input key comes as bytes."""
    key_out_raw: bool
    """The key the step emits is to be bytes (differs from ``key_raw`` for windowed keys only)."""
    decode_key: Callable[[Any], Any]
    """The step's input key as the user's object, whatever its form."""
    encode_key: Callable[[Any], bytes]
    """The step's input key as its store writes it, whatever its form."""
    sends_old: bool
    """Somebody downstream asked for the old values of this table."""
    undo: list[Any] | None
    """Where a step that remembers something beside its stores notes a function that takes it back; None when nothing
    is ever taken back."""

    @property
    def services(self) -> Services:
        """What a user's processor may ask for."""
        ...

    def store(self, name: str) -> Any:
        """The typed handle of a store this step is connected to (`state/keyvalue.py`, `state/window.py`)."""
        ...

    def global_rows(self, name: str) -> Callable[[Any], tuple[Any, int] | None]:
        """A function that gives ``(value, timestamp)`` of a key in a table that every worker has whole, as objects."""
        ...

    def stream_time(self, name: str = "") -> StreamTime:
        """This step's own stream time (several by name); restored from the last commit."""
        ...

    def apart(self, emit: Emit) -> Emit:
        """``emit`` for a row that waited here: one that fails is refused alone, not the record that let it out."""
        ...

    def dropped(self, reason: str) -> Callable[[], None]:
        """A function that counts one dropped record under ``reason``, a short text: ``null_key``, ``late``, ..."""
        ...


class Operator(Protocol):
    """A step's meaning, as frozen data."""

    @property
    def reads_key(self) -> bool:
        """It (or a user's function in it) looks at the decoded key."""
        ...

    @property
    def reads_value(self) -> bool:
        """It (or a user's function in it) looks at the decoded value."""
        ...

    @property
    def key_effect(self) -> Effect: ...

    @property
    def value_effect(self) -> Effect: ...

    @property
    def stores(self) -> Sequence[str]:
        """Names of the stores it is connected to."""
        ...

    def build(self, emit: Any, scope: Scope) -> Emit | tuple[Emit, ...]:
        """Its own function, given the next one's.

        A step that chooses between its children (a split) declares ``fans_out = True`` and gets a tuple of
        functions, in the order of its children, as ``emit``. A step that means something else to each of its
        parents (a join of two tables) gives a tuple, in the order of its parents.
        """
        ...


class Passing:
    """The answers of a step that looks at nothing and passes everything on; an operator gives those that differ."""

    @property
    def reads_key(self) -> bool:
        return False

    @property
    def reads_value(self) -> bool:
        return False

    @property
    def key_effect(self) -> Effect:
        return Effect.SAME

    @property
    def value_effect(self) -> Effect:
        return Effect.SAME

    @property
    def stores(self) -> Sequence[str]:
        return ()
