"""`KTable.suppress`: which updates of a table go on, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from streamflow.builder import Builder, Known
from streamflow.clock import Duration, milliseconds
from streamflow.errors import TopologyError
from streamflow.operators.suppress import Bound, Suppress, WindowEnds
from streamflow.serdes.kept import buffered
from streamflow.state.spec import StoreSpec
from streamflow.windows import CustomWindow, SessionWindow, SlidingWindow, TimeWindow, Window

if TYPE_CHECKING:
    from streamflow.table import KTable

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class UntilTimeLimit:
    """Rows wait for ``ms`` of stream time from their first update on."""

    ms: int


@dataclass(frozen=True)
class UntilWindowCloses:
    """Rows wait until their window, and its grace, are over."""


def until_time_limit(limit: Duration) -> UntilTimeLimit:
    """At most one update of a row per ``limit`` of stream time, the last one.

    >>> until_time_limit("10s")
    UntilTimeLimit(ms=10000)
    """
    found = milliseconds(limit, "the time limit")
    if found < 0:
        raise TopologyError(f"until_time_limit: {limit!r} is negative; write a duration of 0 or more")
    return UntilTimeLimit(found)


def until_window_closes() -> UntilWindowCloses:
    """One final row per window, when it can take no more records.

    >>> until_window_closes()
    UntilWindowCloses()
    """
    return UntilWindowCloses()


class SuppressWords(Generic[K, V]):
    """The part of `KTable` that holds updates back."""

    _builder: Builder
    _step: str
    _key: Known
    _value: Known
    _anchor: str

    def suppress(
        self,
        until: UntilTimeLimit | UntilWindowCloses,
        *,
        max_records: int | None = None,
        max_bytes: int | None = None,
        when_full: Literal["emit", "fail"] = "emit",
        store: str | None = None,
        name: str | None = None,
    ) -> KTable[K, V]:
        """The same rows with fewer updates: the last one of each `until_time_limit` or `until_window_closes`.

        Rows come out as stream time moves on, so the last ones wait for a later record. ``max_records`` and
        ``max_bytes`` (of keys and values) bound what waits in each task; when that is full the oldest rows come
        out early, or with ``when_full="fail"`` the step fails. Rows of windows are final, so there only
        ``"fail"`` goes with a bound.

        >>> from streamflow import App, tumbling, until_window_closes
        >>> app = App("visits")
        >>> hourly = app.stream("clicks", key=str, value=str).group_by_key().windowed_by(tumbling("1h")).count(name="hourly")
        >>> hourly.suppress(until_window_closes(), name="final").to_stream().to("hours")
        """
        from streamflow.table import KTable

        builder, named = self._builder, name is not None or store is not None
        step, kept = builder.naming.stateful("table-suppress", self._anchor, name, store)
        if not isinstance(until, UntilTimeLimit | UntilWindowCloses):
            raise TopologyError(
                f"step '{step}': suppress takes until_window_closes() or until_time_limit(\"10s\"), not {until!r}"
            )
        bound = _bound(step, max_records, max_bytes, when_full)
        windows: WindowEnds | None = None
        if isinstance(until, UntilTimeLimit):
            wait = until.ms
        else:
            if when_full != "fail" and (max_records is not None or max_bytes is not None):
                raise TopologyError(
                    f"step '{step}': rows that a full buffer emits early would not be final; with until_window_closes() "
                    f'write when_full="fail", or give no bound'
                )
            wait, windows = _patience(builder, self._step, step)
        key = builder.need(self._key, "key", step, "be stored")
        value = buffered(builder.need(self._value, "value", step, "be stored"))
        builder.add_store(StoreSpec(kept, "key_value", key, value))

        def size(row: Any) -> int:
            return len(value.serialize(row) or b"")

        builder.add(step, Suppress(kept, wait, size, windows, bound), builder.newest(self._step), table=True)
        builder.may_store(step, f"{kept}-rows", self._key, self._value, named=False, by_topic=True)
        if not named:
            builder.unnamed(step)
        return KTable(builder, step, self._key, self._value, step)


def _bound(step: str, records: int | None, size: int | None, when_full: str) -> Bound:
    if when_full not in ("emit", "fail"):
        raise TopologyError(f"step '{step}': when_full is {when_full!r}; write 'emit' or 'fail'")
    for keyword, most in (("max_records", records), ("max_bytes", size)):
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 0):
            raise TopologyError(f"step '{step}': {keyword} is {most!r}; it must be a whole number of 0 or more")
    return Bound(records, size, when_full == "fail")


def _patience(builder: Builder, table: str, step: str) -> tuple[int, WindowEnds]:
    """How long after its end a window still takes records, and how its end is told, by the windows above."""
    windows = _windows_above(builder, table)
    if not windows:
        raise TopologyError(
            f"step '{step}': until_window_closes() needs a table with windows, and none of the steps above it has any; "
            f'write windowed_by(...) before the aggregation, or use until_time_limit("10s")'
        )
    # Where both ends belong to a window it takes records in the last millisecond of its grace, too.
    wait = max(
        window.grace_ms
        + (window.gap_ms + 1 if isinstance(window, SessionWindow) else isinstance(window, SlidingWindow))
        for window in windows
    )
    first = windows[0]
    match first:
        case CustomWindow():
            return wait, WindowEnds(first.end_of)
        case TimeWindow(size_ms=size) | SlidingWindow(difference_ms=size):
            return wait, WindowEnds(lambda start: start + size)
        case SessionWindow():
            return wait, WindowEnds(lambda end: end)


def _windows_above(builder: Builder, step: str) -> list[Window]:
    meaning = builder.steps[step].meaning
    window = getattr(meaning, "window", None)
    if isinstance(window, TimeWindow | SessionWindow | SlidingWindow | CustomWindow):
        return [window]
    return [found for parent in builder.steps[step].parents for found in _windows_above(builder, parent)]
