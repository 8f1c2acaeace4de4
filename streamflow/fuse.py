"""Fusing: the steps of a sub-topology become one function per source step.

Built leaf first: each step's function calls the next one's directly, so no
record passes through an interpreter of the graph. Every function carries its
step's name in its code object, where it costs nothing while all goes well and
names the step when something is raised (`step_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FunctionType, TracebackType
from typing import Any, Protocol, cast

from streamflow.forms import Form, settle
from streamflow.operators.contract import Emit, Services, StreamTime
from streamflow.plan import SubTopology
from streamflow.record import Windowed
from streamflow.sinks import Outlet, sink
from streamflow.topology import Sink, Source, Step, stores_of

_MARK = "step of a topology"
"""The qualified name of every fused function; its plain name is the step's."""


class Host(Protocol):
    """What fused steps need of the task they run in."""

    @property
    def context(self) -> Any:
        """The record in hand (`streamflow.operators.contract.Context`), with ``record.headers`` besides."""
        ...

    @property
    def services(self) -> Services:
        """What processors ask for."""
        ...

    @property
    def undo(self) -> list[Any] | None:
        """Where every change notes how to take it back, or None when nothing is ever taken back."""
        ...

    def store(self, name: str) -> Any:
        """A store, which has ``handle(key_raw=..., value_raw=...)``."""
        ...

    @property
    def global_rows(self) -> Callable[[str], Callable[[Any], tuple[Any, int] | None]]:
        """Gives, for the store of a table that every worker has whole, how to find a row."""
        ...

    def stream_time(self, step: str, name: str) -> StreamTime: ...

    def apart(self, step: str, emit: Emit) -> Emit:
        """``emit`` itself, or a function whose failures are its own."""
        ...

    def dropped(self, step: str, reason: str) -> Callable[[], None]: ...

    def outlet(self, topic: str) -> Outlet: ...

    def hold(self, step: str, emit: Emit, identity: Callable[[Any], Any] | None) -> Emit:
        """``emit`` itself, or a function that holds back what a table's step tells until the commit."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """Where records of one topic enter: one source step.

    ``process(key, value, timestamp)`` takes both as ``key`` and ``value`` give them; None means: as bytes.
    ``read_key`` and ``read_value`` decode always, for the user's ``timestamp(key, value, context)``.
    """

    step: str
    process: Emit
    key: Callable[[bytes | None], Any] | None
    value: Callable[[bytes | None], Any] | None
    read_key: Callable[[bytes | None], Any]
    read_value: Callable[[bytes | None], Any]
    timestamp: Callable[[Any, Any, Any], Any] | None


def fuse(sub: SubTopology, host: Host) -> dict[str, list[Entry]]:
    """The entries of every topic that ``sub`` reads, in the order of declaration."""
    forms = settle(sub.steps, sub.stores)
    children: dict[str, list[tuple[str, int]]] = {step.name: [] for step in sub.steps}
    for step in sub.steps:
        for place, parent in enumerate(() if isinstance(step.meaning, Source) else step.parents):
            children[parent].append((step.name, place))

    functions: dict[str, tuple[Emit, ...]] = {}
    for step in reversed(sub.steps):
        emits = tuple(functions[child][place] for child, place in children[step.name])
        names = tuple(child for child, _ in children[step.name])
        functions[step.name] = _functions(step, emits, names, sub, forms[step.name], host)

    entries: dict[str, list[Entry]] = {}
    for step in sub.steps:
        if isinstance(step.meaning, Source):
            entry = _entry(step.name, step.meaning, functions[step.name][0], forms[step.name])
            for topic in sub.topics[step.name]:
                entries.setdefault(topic, []).append(entry)
    return entries


def step_of(traceback: TracebackType | None, fallback: str) -> str:
    """The step whose function, or a user's function in it, raised; ``fallback`` when no step had begun."""
    step = fallback
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_qualname == _MARK:
            step = code.co_name
        traceback = traceback.tb_next
    return step


def _functions(
    step: Step, emits: tuple[Emit, ...], names: tuple[str, ...], sub: SubTopology, form: Form, host: Host
) -> tuple[Emit, ...]:
    """A step's own function, once per parent."""
    meaning = step.meaning
    if isinstance(meaning, Source):
        return (_all(emits),)
    if isinstance(meaning, Sink):
        built: Any = sink(step.name, meaning, sub.sinks.get(step.name), form, host)
    else:
        emit = emits if getattr(meaning, "fans_out", False) else _all(emits)
        if step.table and meaning.stores and callable(emit) and not getattr(meaning, "final", False):
            emit = host.hold(step.name, emit, _identity(step, sub))
        built = meaning.build(emit, _Scope(step, names, form, host))
        emits = (*emits, emit) if callable(emit) else emits
    each = cast("tuple[Emit, ...]", built if isinstance(built, tuple) else (built,) * len(step.parents))
    for function in each:
        if function not in emits:
            _name(function, step.name)
    return each


def _identity(step: Step, sub: SubTopology) -> Callable[[Any], Any] | None:
    """What tells the keys of a table apart, where the keys themselves cannot be looked up: their bytes."""
    (spec, *_) = (each for each in sub.stores if each.name in stores_of(step))
    if spec.key.immutable:
        return None
    write = spec.key.serialize

    def identity(key: Any) -> Any:
        if key.__class__ is bytes:
            return key
        if not isinstance(key, Windowed):
            return write(key)
        inner, start, end = key  # pyright: ignore[reportUnknownVariableType]
        return write(inner), start, end

    return identity


def _name(function: Emit, step: str) -> None:
    """Give a function a code object of its own that bears its step's name.

    Steps of one kind share their code until then, so the traceback could not tell them apart, and neither could
    the interpreter, which remembers per code object what its calls usually meet.
    """
    if isinstance(function, FunctionType):
        function.__code__ = function.__code__.replace(co_name=step, co_qualname=_MARK)


def _entry(name: str, source: Source, process: Emit, form: Form) -> Entry:
    read_key, read_value = source.key.deserialize, source.value.deserialize
    return Entry(
        step=name,
        process=process,
        key=None if form.key_out_raw else read_key,
        value=None if form.value_out_raw else read_value,
        read_key=read_key,
        read_value=read_value,
        timestamp=source.timestamp,
    )


def _all(emits: Sequence[Emit]) -> Emit:
    """One function that calls them all, in their order."""
    if not emits:
        return _nobody
    if len(emits) == 1:
        return emits[0]
    if len(emits) == 2:
        first, second = emits

        def both(*record: Any) -> None:
            first(*record)
            second(*record)

        return both

    def every(*record: Any) -> None:
        for emit in emits:
            emit(*record)

    return every


def _nobody(*record: Any) -> None:
    """What comes after the last step."""


class _Scope:
    """What one step may ask for (`streamflow.operators.contract.Scope`)."""

    def __init__(self, step: Step, children: tuple[str, ...], form: Form, host: Host) -> None:
        self.step = step.name
        self.children: Sequence[str] = children
        self._form, self._host = form, host
        self.context = host.context
        self.key_raw = form.key_raw
        self.key_out_raw = form.key_out_raw
        self.decode_key = form.decode_key
        self.encode_key = form.encode_key
        self.sends_old = step.sends_old
        self.undo = host.undo

    @property
    def services(self) -> Services:
        return self._host.services

    def store(self, name: str) -> Any:
        return self._host.store(name).handle(key_raw=self._form.key_raw, value_raw=self._form.value_out_raw)

    def global_rows(self, name: str) -> Callable[[Any], tuple[Any, int] | None]:
        return self._host.global_rows(name)

    def stream_time(self, name: str = "") -> StreamTime:
        time = self._host.stream_time(self.step, name)
        return time if self._host.undo is None else _UndoableTime(time, self._host.undo)

    def apart(self, emit: Emit) -> Emit:
        return self._host.apart(self.step, emit)

    def dropped(self, reason: str) -> Callable[[], None]:
        return self._host.dropped(self.step, reason)


class _UndoableTime(StreamTime):
    """A stream time that can go back, together with all else that a refused record did."""

    __slots__ = ("_time", "_undo")

    def __init__(self, time: StreamTime, undo: list[Any]) -> None:
        self._time = time
        self._undo = undo

    @property
    def now(self) -> int:
        return self._time.now

    @now.setter
    def now(self, now: int) -> None:
        self._undo.append(_going_back(self._time, self._time.now))
        self._time.now = now


def _going_back(time: StreamTime, then: int) -> Callable[[], None]:
    def back() -> None:
        time.now = then

    return back
