"""The words of a stream that put it together with something else: with a table, or with another stream.

With a table only the stream asks and the table answers. With another stream both
wait for each other, within a stretch of time that must be said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from streamflow.builder import Known, same_builder
from streamflow.clock import Duration, milliseconds
from streamflow.errors import TopologyError
from streamflow.functions import arity
from streamflow.global_table import GlobalKTable
from streamflow.operators.global_join import StreamGlobalJoin
from streamflow.operators.grace_join import GraceJoin
from streamflow.operators.join import StreamTableJoin
from streamflow.operators.keeps import Keeps
from streamflow.operators.stream_join import StreamStreamJoin
from streamflow.processing import ProcessWords
from streamflow.serdes import Serde, Typed, raw
from streamflow.serdes.hints import result
from streamflow.serdes.kept import headed, of_two_sides, with_key
from streamflow.state.spec import StoreSpec
from streamflow.table import KTable

if TYPE_CHECKING:
    from streamflow.stream import KStream

K = TypeVar("K")
K2 = TypeVar("K2")
V = TypeVar("V")
V2 = TypeVar("V2")
R = TypeVar("R")

Within = Duration | tuple[Duration, Duration]
"""How far apart two records may lie that meet: a duration, or how far before and how far after the left one."""

_PLACES: Serde[bytes] = replace(raw, name="place", any_form=True)


class JoinWords(ProcessWords[K, V]):
    """The part of `KStream` that joins."""

    # With a table, `KTable`; with another stream, `KStream`; with a `GlobalKTable`, told by ``on=``.

    @overload
    def join(
        self, other: KTable[K, V2], joiner: Callable[[V, V2], R], *, grace: Duration | None = None,
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: KTable[K, V2], joiner: Callable[[K, V, V2], R], *, grace: Duration | None = None,
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: KStream[K, V2], joiner: Callable[[V, V2], R], *, within: Within, grace: Duration = "0ms",
        store: str | None = None, value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: KStream[K, V2], joiner: Callable[[K, V, V2], R], *, within: Within, grace: Duration = "0ms",
        store: str | None = None, value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: GlobalKTable[K2, V2], joiner: Callable[[V, V2], R], *, on: Callable[[V], K2 | None],
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: GlobalKTable[K2, V2], joiner: Callable[[V, V2], R], *, on: Callable[[K, V], K2 | None],
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: GlobalKTable[K2, V2], joiner: Callable[[K, V, V2], R], *, on: Callable[[V], K2 | None],
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def join(
        self, other: GlobalKTable[K2, V2], joiner: Callable[[K, V, V2], R], *, on: Callable[[K, V], K2 | None],
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    def join(
        self, other: KTable[K, Any] | KStream[K, Any] | GlobalKTable[Any, Any], joiner: Callable[..., Any], *,
        on: Callable[..., Any] | None = None, within: Within | None = None,
        grace: Duration | None = None, store: str | None = None, value: Any = None, name: str | None = None,
    ) -> KStream[K, Any]:  # fmt: skip
        """``joiner(mine, other)`` for each pair of equal keys. ``value`` is the result's type.

        With a table: for each record whose key has a row when the record is processed. Only the stream's records give
        results, with their own timestamps; an update of the table gives none. Of a table with ``history`` it is the row of
        the record's time; with ``grace`` records wait so long in stream time for rows that come late.

        With another stream: for each pair that lies within ``within`` of each other, a duration, or ``(before, after)``
        for how far before and after this stream's record the other's may lie (0 and negative ones like ``"-5s"`` too).
        The result has the later timestamp of the two and this side's headers. A record may be late by ``within`` and
        ``grace``, measured by the newest record of both streams; later ones are dropped and counted.

        With a global table: ``on(value)`` (or ``on(key, value)``) gives the row's key; the result keeps this stream's.

        >>> from streamflow import App
        >>> app = App("shop")
        >>> payments = app.stream("payments", key=str, value=int)
        >>> orders = app.stream("orders", key=str, value=int)
        >>> paid = orders.join(payments, lambda due, paid: due - paid, within="1h", value=int, name="paid")
        """
        if on is not None or isinstance(other, GlobalKTable):
            return self._ask("join", other, joiner, on, (within, grace, store), value, name)
        return self._joined("join", other, joiner, within, grace, store, value, name)

    @overload
    def left_join(
        self, other: KTable[K, V2], joiner: Callable[[V, V2 | None], R], *, grace: Duration | None = None,
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: KTable[K, V2], joiner: Callable[[K, V, V2 | None], R], *, grace: Duration | None = None,
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: KStream[K, V2], joiner: Callable[[V, V2 | None], R], *, within: Within, grace: Duration = "0ms",
        store: str | None = None, value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: KStream[K, V2], joiner: Callable[[K, V, V2 | None], R], *, within: Within,
        grace: Duration = "0ms", store: str | None = None, value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: GlobalKTable[K2, V2], joiner: Callable[[V, V2 | None], R], *, on: Callable[[V], K2 | None],
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: GlobalKTable[K2, V2], joiner: Callable[[V, V2 | None], R], *, on: Callable[[K, V], K2 | None],
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: GlobalKTable[K2, V2], joiner: Callable[[K, V, V2 | None], R], *, on: Callable[[V], K2 | None],
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def left_join(
        self, other: GlobalKTable[K2, V2], joiner: Callable[[K, V, V2 | None], R], *, on: Callable[[K, V], K2 | None],
        value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    def left_join(
        self, other: KTable[K, Any] | KStream[K, Any] | GlobalKTable[Any, Any], joiner: Callable[..., Any], *,
        on: Callable[..., Any] | None = None, within: Within | None = None,
        grace: Duration | None = None, store: str | None = None, value: Any = None, name: str | None = None,
    ) -> KStream[K, Any]:  # fmt: skip
        """Like `join`, but this stream's record goes on without the other one too, as ``joiner(mine, None)``.

        With a table: at once. With another stream: once, when the time in which the other one could have come and
        ``grace`` are over (it needs a newer record of either stream to tell). A record without a key goes on at once.
        """
        if on is not None or isinstance(other, GlobalKTable):
            return self._ask("left-join", other, joiner, on, (within, grace, store), value, name)
        return self._joined("left-join", other, joiner, within, grace, store, value, name)

    @overload
    def outer_join(
        self, other: KStream[K, V2], joiner: Callable[[V | None, V2 | None], R], *, within: Within,
        grace: Duration = "0ms", store: str | None = None, value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    @overload
    def outer_join(
        self, other: KStream[K, V2], joiner: Callable[[K, V | None, V2 | None], R], *, within: Within,
        grace: Duration = "0ms", store: str | None = None, value: Typed[R] | None = None, name: str | None = None,
    ) -> KStream[K, R]: ...  # fmt: skip
    def outer_join(
        self, other: KStream[K, Any], joiner: Callable[..., Any], *, within: Within | None = None,
        grace: Duration | None = None, store: str | None = None, value: Any = None, name: str | None = None,
    ) -> KStream[K, Any]:  # fmt: skip
        """Like `left_join` of two streams, for the records of both: ``joiner(mine, None)`` and ``joiner(None, other)``."""
        return self._joined("outer-join", other, joiner, within, grace, store, value, name)

    # --- how it is done

    def _joined(
        self, word: str, other: Any, joiner: Callable[..., Any], within: Within | None, grace: Duration | None,
        store: str | None, value: Any, name: str | None,
    ) -> KStream[K, Any]:  # fmt: skip
        if isinstance(other, JoinWords):
            if within is None:
                raise TopologyError(
                    f"step '{name or word}' joins two streams, and must know how far apart two records may lie: add "
                    f'within=, for example within="5m" or within=("0ms", "1h")'
                )
            return self._meet(word, cast("KStream[K, Any]", other), joiner, within, grace or "0ms", store, value, name)
        if not isinstance(other, KTable):
            raise TopologyError(
                f"a stream joins a table (app.table(...) or .to_table()) or another stream, not {type(other).__name__}"
            )
        if word == "outer-join":
            raise TopologyError(
                f"step '{name or word}': a stream has no outer join with a table, because a row gives no result by "
                f"itself; use left_join, or read the table's topic as a stream"
            )
        for keyword, found in (("within", within), ("store", store)):
            if found is not None:
                raise TopologyError(
                    f"step '{name or word}' joins a stream with a table, which takes no {keyword}=: the row of now is "
                    f"what each record gets; leave it out"
                )
        return self._look_up(word, cast("KTable[K, Any]", other), joiner, value, name, grace)

    def _ask(
        self, word: str, table: Any, joiner: Callable[..., Any], on: Callable[..., Any] | None,
        others: tuple[object, ...], value: Any, name: str | None,
    ) -> KStream[K, Any]:  # fmt: skip
        builder, step = self._builder, self._name(word, name)
        if not isinstance(table, GlobalKTable):
            raise TopologyError(
                f"step '{step}': on= is for a global table (app.global_table(...)); a {type(table).__name__} is joined by "
                f"this stream's own key, so use select_key before the join"
            )
        if on is None:
            raise TopologyError(
                f"step '{step}' joins a global table, and must know which row a record asks for: add on=, for example "
                f"on=lambda value: value.country"
            )
        if any(other is not None for other in others):
            raise TopologyError(f"step '{step}' joins a global table, which takes no within=, grace= or store=")
        same_builder(builder, [table], step)
        known = self._known(value, result(joiner), step, "value")
        f, of = arity(joiner, "joiner", step), arity(on, "key selector", step)
        builder.add(step, StreamGlobalJoin(f, of, table.store, word == "left-join"), self._step)
        return self._at(step, self._key, known)

    def _look_up(
        self, word: str, table: KTable[K, Any], joiner: Callable[..., Any], value: Any, name: str | None,
        grace: Duration | None,
    ) -> KStream[K, Any]:  # fmt: skip
        builder, stream, left = self._builder, self, word == "left-join"
        same_builder(builder, [table], name or word)
        if self._rekeyed:
            step, topic, around = builder.naming.joined(word, self._anchor, name, self._step)
        else:
            step, topic, around = self._name(word, name), "", ("", "", "")
        f = arity(joiner, "joiner", step)
        known = self._known(value, result(joiner), step, "value")
        self._same_keys(table, step, "a table")
        if self._rekeyed:
            stream = self._rerouted(topic, around, user=step)
        builder.copartition(stream._step, table._step)
        kept = builder.materialise(table._step)
        versioned = builder.stores[kept].kind == "versioned"
        if grace is None:
            builder.add(step, StreamTableJoin(f, kept, left, versioned), stream._step)
        else:
            buffer = self._buffer(step, kept, _bound(grace, "grace", step), versioned=versioned)
            builder.add(step, GraceJoin(f, kept, buffer, _bound(grace, "grace", step), left), stream._step)
        if self._rekeyed and name is None:
            builder.unnamed(step)
        return self._at(step, stream._key, known)

    def _buffer(self, step: str, table: str, grace_ms: int, *, versioned: bool) -> str:
        """The store of records that wait for rows that come late."""
        builder = self._builder
        if not versioned:
            raise TopologyError(
                f"step '{step}': a join that waits needs a table that remembers what its rows were: give the table "
                f'history=, for example app.table(..., history="1h")'
            )
        if not 0 <= grace_ms <= (kept := builder.stores[table].retention_ms):
            raise TopologyError(
                f"step '{step}': a grace of {grace_ms} ms must be 0 or more, and no longer than the table's history of "
                f"{kept} ms"
            )
        key = builder.need(self._key, "key", step, "be kept")
        value = with_key(key, headed(builder.need(self._value, "value", step, "be kept")))
        return builder.add_store(StoreSpec(f"{step}-buffer", "key_value", _PLACES, value, timestamped=False))

    def _meet(
        self, word: str, other: KStream[K, Any], joiner: Callable[..., Any], within: Within, grace: Duration,
        store: str | None, value: Any, name: str | None,
    ) -> KStream[K, Any]:  # fmt: skip
        builder = self._builder
        same_builder(builder, [other], name or word)
        parents, rekeyed = (self._step, other._step), (self._rekeyed, other._rekeyed)
        names = builder.naming.met(word, self._anchor, name, store, parents, rekeyed)
        step = names.step
        f = arity(joiner, "joiner", step)
        known = self._known(value, result(joiner), step, "value")
        before, after = _bounds(within, step)
        grace_ms = _bound(grace, "grace", step)
        if grace_ms < 0:
            raise TopologyError(f"step '{step}': a grace of {grace_ms} ms is negative; it must be 0 or more")
        key = self._same_keys(other, step, "a stream")
        values = [headed(builder.need(side._value, "value", step, "be kept")) for side in (self, other)]
        left, right = (
            side._rerouted(topic, around, user=step)._step if sent else side._step
            for side, topic, around, sent in zip((self, other), names.topics, names.around, rekeyed, strict=True)
        )
        builder.copartition(left, right)

        # As long as a record that is not late may meet them, by the time of the side that lags most.
        longest = max(before, after) + grace_ms + 1
        for kept, kind, ahead in zip(names.stores, values, (after, before), strict=True):
            retention = longest + max(ahead, 0)
            builder.add_store(
                StoreSpec(
                    kept, "window", key, kind, timestamped=False, retention_ms=retention, window_ms=before + after,
                    duplicates=True,
                )
            )  # fmt: skip
        waiting = names.waiting if word != "join" else None
        if waiting is not None:
            builder.add_store(
                StoreSpec(waiting, "key_value", _PLACES, of_two_sides(values[0], values[1]), timestamped=False)
            )
        shared = () if waiting is None else (waiting,)
        one = builder.add(names.windowed[0], Keeps((names.stores[0],)), left)
        two = builder.add(names.windowed[1], Keeps((names.stores[1],)), right)
        this = builder.add(names.sides[0], Keeps((names.stores[1], *shared)), one)
        that = builder.add(names.sides[1], Keeps((names.stores[0], *shared)), two)
        meeting = StreamStreamJoin(
            f, names.stores[0], names.stores[1], before, after, grace_ms, waiting,
            left=waiting is not None, right=word == "outer-join",
        )  # fmt: skip
        builder.add(step, meeting, this, that)
        if name is None and store is None:
            builder.unnamed(step)
        return self._at(step, Known(key, step), known, anchor=step)

    def _same_keys(self, other: Any, step: str, what: str) -> Serde[Any]:
        mine = self._builder.need(self._key, "key", step, f"be looked up in {what}")
        theirs = self._builder.need(other._key, "key", step, "be looked up in")
        if mine.name != theirs.name:
            raise TopologyError(
                f"step '{step}' joins a stream keyed by {mine.name} with {what} keyed by {theirs.name}: equal keys "
                f"would not be the same bytes; read both with the same key type, or select_key first"
            )
        return mine


def _bounds(within: Within, step: str) -> tuple[int, int]:
    """``(before, after)`` in milliseconds."""
    if isinstance(within, tuple):
        if len(within) != 2:
            raise TopologyError(f"step '{step}': within is {within!r}; write a duration or (before, after)")
        before, after = (_bound(bound, "within", step) for bound in within)
    else:
        before = after = _bound(within, "within", step)
    if before + after < 0:
        raise TopologyError(
            f"step '{step}': within {before} ms before and {after} ms after there is no time at all; the two must not "
            f"be negative together"
        )
    return before, after


def _bound(bound: Duration, what: str, step: str) -> int:
    """A duration in milliseconds, which may be negative: ``timedelta(seconds=-5)`` or ``"-5s"``."""
    whose = f"step '{step}': {what}"
    if isinstance(bound, timedelta):
        return milliseconds(bound, whose)
    if isinstance(bound, str) and bound.lstrip().startswith("-"):
        return -milliseconds(bound.lstrip()[1:], whose)
    return milliseconds(bound, whose)
