"""A user's own processor, and what it may ask of the task it runs in.

A processor is made anew for each task, and again when the task is: whatever it
has to keep is to be in its stores. What it forwards, and what it changes, is in
the same commit as the position of the record in hand.

Punctuations follow stream time (of the task: the greatest timestamp it has
processed) or the wall clock. However many intervals have passed, there is one
call, and the next is due at a multiple of the interval. By stream time the first
comes with the first record; when it is due next outlives a restart.

Source: Kafka Streams' Processor API, by its documentation and KIP-138.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from streamflow.clock import Duration, milliseconds
from streamflow.errors import StreamflowError, TopologyError
from streamflow.operators.contract import Effect, Emit, Passing, Punctuation, Scope
from streamflow.record import Headers, Record

K = TypeVar("K")
V = TypeVar("V")

TimeKind = Literal["stream_time", "wall_clock"]


class ProcessorContext(Generic[K, V]):
    """What a processor asks and tells; ``K`` and ``V`` are the types that it forwards."""

    def __init__(self, scope: Scope, stores: Sequence[str], emits: Sequence[Emit] | None, *, fixed_key: bool) -> None:
        self._scope = scope
        self._services = scope.services
        self._record = scope.context
        self._names = tuple(stores)
        self._handles: dict[str, Any] = {}
        self._emits = emits
        self._by_name = dict(zip(scope.children, emits or (), strict=False))
        self._fixed_key = fixed_key
        self._beginning = True
        self.key: Any = None
        """The key in hand, where it must stay as it is."""

    def forward(self, record: Record[K, V], to: str | None = None) -> None:
        """Send a record to every child, or to the one whose step is named ``to``."""
        if not isinstance(record, Record):
            raise StreamflowError(f"forward takes a Record(key, value, timestamp), not {type(record).__name__}")
        if record.timestamp < 0:
            raise StreamflowError(f"forward: the record's timestamp is {record.timestamp}, and times begin at 0")
        if self._fixed_key and record.key != self.key:
            raise StreamflowError("process_values cannot change the key; use process where it is to change")
        emits = self._emits
        if emits is None:
            raise StreamflowError("a transformer gives its value back, and forwards nothing")
        if to is not None:
            if to not in self._by_name:
                raise StreamflowError(f"forward: there is no child {to!r}; there are {_listed(self._by_name)}")
            emits = (self._by_name[to],)
        for emit in emits:
            self._record.bearing(record.headers, emit, record.key, record.value, record.timestamp)

    def store(self, name: str) -> Any:
        """A store that this processor is connected to, or a global table's (to be read only)."""
        if name not in self._handles:
            self._handles[name] = self._open(name)
        return self._handles[name]

    def schedule(self, interval: Duration, kind: TimeKind, f: Callable[[int], object]) -> Punctuation:
        """Call ``f(timestamp)`` every ``interval`` of stream time or of the wall clock; ``.cancel()`` ends that."""
        every = milliseconds(interval, "the interval of a punctuation")
        if every < 1:
            raise StreamflowError(f"the interval of a punctuation is {interval!r}; it must be at least 1 ms")
        if kind not in ("stream_time", "wall_clock"):
            raise StreamflowError(f"a punctuation follows 'stream_time' or 'wall_clock', not {kind!r}")
        return self._services.schedule(
            self._scope.step, every, f, by_wall_clock=kind == "wall_clock", lasting=self._beginning
        )

    def commit(self) -> None:
        """Ask for a commit soon."""
        self._services.commit_wanted = True

    @property
    def task_id(self) -> str:
        """The task's name, such as ``orders_0``."""
        return self._services.task

    @property
    def topic(self) -> str | None:
        """The topic of the record in hand; None in a punctuation."""
        return self._record.topic if self._record.offset >= 0 else None

    @property
    def partition(self) -> int | None:
        """The partition of the record in hand; None in a punctuation."""
        return self._record.partition if self._record.offset >= 0 else None

    @property
    def offset(self) -> int | None:
        """The offset of the record in hand; None in a punctuation."""
        return self._record.offset if self._record.offset >= 0 else None

    @property
    def headers(self) -> Headers:
        """The headers of the record in hand."""
        return self._record.headers

    @property
    def stream_time(self) -> int:
        """The greatest timestamp that the task has processed, in milliseconds; -1 before the first record."""
        return self._services.now.now

    @property
    def wall_clock(self) -> int:
        """The time of day, in milliseconds since 1970."""
        return self._services.wall_clock()

    def begun(self) -> None:
        """`init` is over: punctuations that are scheduled from now on do not outlive a restart."""
        self._beginning = False

    def _open(self, name: str) -> Any:
        if name in self._names:
            return self._services.handle(name)
        if (found := self._services.global_view(name)) is not None:
            return found
        raise StreamflowError(
            f"step '{self._scope.step}' is not connected to store {name!r}; it is connected to {_listed(self._names)}: "
            f"name it in stores=[...]"
        )


@dataclass(frozen=True)
class Process(Passing):
    """Every record goes to the processor that ``factory`` makes; it may forward any number to any child.

    ``names`` are its stores. With ``fixed_key`` the key must stay as it is.
    """

    factory: Callable[[], Any]
    names: tuple[str, ...] = ()
    fixed_key: bool = False

    fans_out = True

    @property
    def reads_key(self) -> bool:
        return True

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def key_effect(self) -> Effect:
        return Effect.SAME if self.fixed_key else Effect.NEW

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return self.names

    def build(self, emit: tuple[Emit, ...], scope: Scope) -> Emit:
        processor = made(self.factory, "process", scope)
        context: ProcessorContext[Any, Any] = ProcessorContext(scope, self.names, emit, fixed_key=self.fixed_key)
        begin(processor, context, scope)
        handle, in_hand, fixed = processor.process, scope.context, self.fixed_key

        def process(key: Any, value: Any, timestamp: int) -> None:
            if fixed:
                context.key = key
            handle(Record(key, value, timestamp, in_hand.headers))

        return process


@dataclass(frozen=True)
class TableTransform(Passing):
    """Each row's value as the transformer that ``factory`` makes gives it, which may look into its stores.

    It is asked about deleted rows, too, and, where nothing keeps the result (``store``), about the row that a new one
    replaces.
    """

    factory: Callable[[], Any]
    names: tuple[str, ...] = ()
    store: str | None = None

    @property
    def reads_key(self) -> bool:
        return True

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return self.names if self.store is None else (self.store, *self.names)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        transformer = made(self.factory, "transform", scope)
        context: ProcessorContext[Any, Any] = ProcessorContext(scope, self.names, None, fixed_key=True)
        begin(transformer, context, scope)
        transform, sends_old = transformer.transform, scope.sends_old
        kept = None if self.store is None else scope.store(self.store)

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            new = transform(key, new)
            if kept is None:
                emit(key, new, transform(key, old) if sends_old else None, timestamp)
                return
            found = kept.get_pair(key) if sends_old else None
            kept.put_pair(key, new, timestamp)
            emit(key, new, None if found is None else found[0], timestamp)

        return process


def made(factory: Callable[[], Any], word: str, scope: Scope) -> Any:
    """What a factory makes, once it is found to be of use."""
    found = factory()
    if not callable(getattr(found, word, None)):
        raise TopologyError(
            f"step '{scope.step}': its factory gave {type(found).__name__}, which has no {word}(); give a class, such as "
            f"a Processor of streamflow.processor, or a function that makes one"
        )
    return found


def begin(processor: Any, context: ProcessorContext[Any, Any], scope: Scope) -> None:
    """Hand it its context, and see that it is closed with the task."""
    if callable(init := getattr(processor, "init", None)):
        try:
            init(context)
        except StreamflowError:
            raise
        except Exception as error:
            raise StreamflowError(f"step '{scope.step}': init raised {type(error).__name__}: {error}") from error
    context.begun()
    if callable(close := getattr(processor, "close", None)):
        scope.services.closing(close)


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"
