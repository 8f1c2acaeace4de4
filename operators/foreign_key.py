"""Joins of two tables where the left row's value names the right row: many left rows to one right one.

A left row lies where its own key belongs, the right one where the foreign key
does, so the two write to each other:

    left side    LeftChange     tells the right row of this foreign key who subscribes, and the former one who left
    right side   Subscribed     keeps the subscriptions, by foreign key and left key
                 RightRow       answers a subscription with the right row of now
                 RightChange    tells every subscriber of a right row that it is another
    left side    Resolve        joins an answer with the left row, if that still is what it was when it asked

A row that is deleted, or loses its foreign key, and changes again before the right side has answered would leave what was
said of it standing: the answer is left aside, and a row that comes without its right row says nothing. So an inner join
remembers what is on its way to be taken back (``leaving``), and of such a row the right side always answers.

The hash of the left row's value travels there and back, so an answer to what a
row was before is left aside: another one is on its way.

    inner  a row that comes without its right row says nothing; one that changes, or whose right row goes, is deleted
    left   every left row has a result; without a right row, or without a foreign key, ``f(left, None)``

Each change of a left row has one result. It bears the later time of the two rows,
one that a right row set off bears that row's time.

Source: Kafka Streams' ForeignKeyJoin processors (KIP-213), by the fixtures of their tests, without the results that
it sends twice (KAFKA-16394), and with a tombstone where an inner join's foreign key becomes null (KAFKA-16407).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamflow.functions import Function
from streamflow.operators.contract import Effect, Emit, Passing, Scope
from streamflow.serdes.foreign import Ask, Response, Subscription, digest

Write = Callable[[Any], bytes | None]

# Plain numbers, for comparing members of an enum takes ten times as long.
_FORGET, _FORGET_AND_ANSWER, _ANSWER, _ANSWER_IF_THERE = map(int, Ask)
GONE = b"\x00"
"""In the place of the hash of a row that is deleted."""
_LENGTH = struct.Struct(">I")


class _New(Passing):
    """A step that makes other keys and values of what it gets."""

    @property
    def key_effect(self) -> Effect:
        return Effect.NEW

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW


@dataclass(frozen=True)
class LeftChange(_New):
    """A change of a left row becomes subscriptions, keyed by foreign key; ``on`` tells it from the row.

    ``leaving`` is the store of rows on their way to be taken back, with the hash that their answer will have; a left join
    needs none.
    """

    on: Function
    left: bool
    write_key: Write
    write_value: Write
    leaving: str | None = None

    @property
    def stores(self) -> Sequence[str]:
        return () if self.leaving is None else (self.leaving,)

    @property
    def unshown(self) -> Sequence[str]:
        """Stores that Kafka Streams' description knows nothing of."""
        return self.stores

    @property
    def reads_key(self) -> bool:
        return self.on.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    def build(self, emit: Emit, scope: Scope) -> Emit:
        on, takes_key, left, context = self.on.fn, self.on.takes_key, self.left, scope.context
        write_key: Write = _itself if scope.key_raw else self.write_key
        write_value = self.write_value
        no_foreign_key = scope.dropped("null_foreign_key")
        leaving = None if self.leaving is None else scope.store(self.leaving)

        def foreign(key: Any, value: Any) -> Any:
            return None if value is None else on(key, value) if takes_key else on(value)

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            if new is None and old is None:
                return
            mine, partition = write_key(key) or b"", context.partition
            hashed = digest(write_value(new)) if new is not None else None

            to, before = foreign(key, new), foreign(key, old)
            if new is not None and to is None and not left:
                no_foreign_key()
            # What was said of it may still stand: its last foreign key is gone, and nobody has taken it back yet.
            leaves = before is None and leaving is not None and leaving.get_pair(key) is not None
            if leaving is not None and to is None and (before is not None or leaves):
                leaving.put_pair(key, hashed or GONE, timestamp)
            if to is None:
                if before is not None:
                    # The row has no right one any more, and the one it had is to say so, after all it said before.
                    emit(before, Subscription(hashed, _FORGET_AND_ANSWER, mine, partition), timestamp)
                elif left or leaves:
                    emit(None, Subscription(hashed, _ANSWER, mine, partition), timestamp)
                return
            if before is not None and before != to:
                emit(before, Subscription(hashed, _FORGET, mine, partition), timestamp)
            # Of an inner join nothing was said of a row that had no foreign key, so there is nothing to take back.
            what = _ANSWER if left or leaves or before is not None else _ANSWER_IF_THERE
            emit(to, Subscription(hashed, what, mine, partition), timestamp)

        return process


@dataclass(frozen=True)
class Subscribed(Passing):
    """Keep who subscribes to which right row in ``store``, then pass the subscription on."""

    store: str
    write_key: Write

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        put_pair = scope.store(self.store).put_pair
        write_key: Write = _itself if scope.key_raw else self.write_key

        def process(key: Any, asked: Subscription, timestamp: int) -> None:
            if key is not None:
                leaves = asked.ask <= _FORGET_AND_ANSWER
                put_pair(_place(write_key(key)) + asked.key, None if leaves else asked, timestamp)
            emit(key, asked, timestamp)

        return process


@dataclass(frozen=True)
class _Answering(_New):
    """A step that makes answers out of what ``store`` keeps."""

    store: str

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,)


@dataclass(frozen=True)
class RightRow(_Answering):
    """Answer a subscription with the right row of now, which ``store`` keeps."""

    def build(self, emit: Emit, scope: Scope) -> Emit:
        get_pair = scope.store(self.store).get_pair

        def process(key: Any, asked: Subscription, timestamp: int) -> None:
            what = asked.ask
            if what == _FORGET:
                return
            value, found = None, None if key is None else get_pair(key)
            if found is not None:
                value, at = found
                timestamp = max(timestamp, at)
            elif what == _ANSWER_IF_THERE:
                return
            if what == _FORGET_AND_ANSWER:
                value = None
            emit(asked.key, Response(asked.hash, value, asked.partition), timestamp)

        return process


@dataclass(frozen=True)
class RightChange(_Answering):
    """Tell the subscribers of a right row, which ``store`` keeps, that it is another, in the order of their keys."""

    write_key: Write

    def build(self, emit: Emit, scope: Scope) -> Emit:
        subscribers = scope.store(self.store).prefix
        write_key: Write = _itself if scope.key_raw else self.write_key

        def process(key: Any, new: Any, old: Any, timestamp: int) -> None:
            for _, asked in subscribers(_place(write_key(key))):
                emit(asked.key, Response(asked.hash, new, asked.partition), timestamp)

        return process


@dataclass(frozen=True)
class Resolve(Passing):
    """Join an answer with the left row, which ``store`` keeps; ``left`` says that it may stand alone. ``leaving`` as for
    `LeftChange`."""

    f: Function
    store: str
    left: bool
    write_value: Write
    leaving: str | None = None

    @property
    def reads_key(self) -> bool:
        return self.f.takes_key

    @property
    def reads_value(self) -> bool:
        return True

    @property
    def value_effect(self) -> Effect:
        return Effect.NEW

    @property
    def stores(self) -> Sequence[str]:
        return (self.store,) if self.leaving is None else (self.store, self.leaving)

    @property
    def unshown(self) -> Sequence[str]:
        """Stores that Kafka Streams' description knows nothing of."""
        return () if self.leaving is None else (self.leaving,)

    def build(self, emit: Emit, scope: Scope) -> Emit:
        get_pair = scope.store(self.store).get_pair
        leaving = None if self.leaving is None else scope.store(self.leaving)
        fn, takes_key, left, write_value = self.f.fn, self.f.takes_key, self.left, self.write_value

        def process(key: Any, answer: Response, timestamp: int) -> None:
            if leaving is not None and answer.value is None:
                awaited = leaving.get_pair(key)
                if awaited is not None and awaited[0] == (answer.hash or GONE):
                    leaving.put_pair(key, None, timestamp)
            found = get_pair(key)
            mine = None if found is None else found[0]
            if (None if mine is None else digest(write_value(mine))) != answer.hash:
                return
            theirs = answer.value
            if mine is None or (theirs is None and not left):
                emit(key, None, None, timestamp)
            else:
                emit(key, fn(key, mine, theirs) if takes_key else fn(mine, theirs), None, timestamp)

        return process


def _place(foreign_key: bytes | None) -> bytes:
    """Where the subscriptions to a right row begin."""
    assert foreign_key is not None
    return _LENGTH.pack(len(foreign_key)) + foreign_key


def _itself(key: Any) -> Any:
    return key
