"""Names of steps, stores and repartition topics that a script does not name itself.

**Stable** names derive from an *anchor*, the nearest source, repartition or
stateful step above, and the word: ``lines-count``, ``lines-filter-2``. What is
stateless in between does not count, so a filter put into a chain renames no
store and no internal topic. Only another unnamed step of the same word below
the same anchor, declared earlier, can.

**Kafka Streams'** names come from one counter over all steps, in the order its
own builder counts; some of its words use up a number that shows nowhere. They
are there for those who take over an application's topics.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from streamflow.errors import TopologyError

_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,200}")

Around = tuple[str, str, str]
"""The filter, the sink and the source around a repartition topic. The changes of a regrouped table have no filter."""


@dataclass(frozen=True)
class JoinNames:
    """The names around a join of two streams; of each pair the first is the left side's.

    ``step`` is where they meet. ``topics`` and ``around`` are for a side that must be repartitioned first.
    """

    step: str
    windowed: tuple[str, str]
    sides: tuple[str, str]
    stores: tuple[str, str]
    waiting: str
    topics: tuple[str, str]
    around: tuple[Around, Around]


@dataclass(frozen=True)
class TableJoinNames:
    """The names of a join of two tables: where they meet, each side's step (the left one's first), and the store."""

    step: str
    sides: tuple[str, str]
    store: str


class ForeignKeyNames(NamedTuple):
    """The names of a foreign-key join: the steps in the order in which a change of the left table passes them, the store
    of subscriptions, the two topics, and the store of the result."""

    registration: str
    change: str
    sink: str
    source: str
    subscriptions: str
    receive: str
    look_up: str
    tell: str
    response: str
    answer_sink: str
    answer_source: str
    resolve: str
    step: str
    store: str


@dataclass(frozen=True)
class CogroupNames:
    """The names of streams that are aggregated together: where they meet, each one's step, and the store."""

    step: str
    sides: tuple[str, ...]
    store: str


FOREIGN = (
    "subscription-registration",
    "subscription-registration-processor",
    "subscription-registration-sink",
    "subscription-registration-source",
    "subscription-store",
    "subscription-receive",
    "subscription-join-foreign",
    "foreign-join-subscription",
    "subscription-response",
    "subscription-response-sink",
    "subscription-response-source",
    "subscription-response-resolver",
)
"""The names of a foreign-key join behind that of its step, in the order of `ForeignKeyNames`."""


class Naming(Protocol):
    """A way to name. What the user gave (``given``, ``name``, ``store``) always wins."""

    def step(self, word: str, anchor: str, given: str | None = None) -> str:
        """A step's name."""
        ...

    def stateful(self, word: str, anchor: str, name: str | None, store: str | None) -> tuple[str, str]:
        """The names of a step and of the store it keeps."""
        ...

    def table(self, topic: str, name: str | None, store: str | None) -> tuple[str, str, str]:
        """The names of a table's source step, of its own step, and of its store."""
        ...

    def repartition(self, topic: str, given: bool) -> Around:
        """The names around the repartition topic ``topic``; ``given`` says that the user named it."""
        ...

    def regrouped(
        self, word: str, anchor: str, name: str | None, store: str | None, topic: str | None
    ) -> tuple[str, str, str, Around]:
        """The aggregation of a regrouped table: its step, its store, its repartition topic and what is around that."""
        ...

    def joined(self, word: str, anchor: str, name: str | None, parent: str) -> tuple[str, str, Around]:
        """A join whose stream is sent through a repartition topic first: its step, that topic and what is around it."""
        ...

    def met(
        self, word: str, anchor: str, name: str | None, store: str | None, parents: tuple[str, str],
        rekeyed: tuple[bool, bool],
    ) -> JoinNames:  # fmt: skip
        """A join of two streams, ``parents``; those ``rekeyed`` are sent through a repartition topic first."""
        ...

    def tables(self, word: str, anchor: str, name: str | None, store: str | None) -> TableJoinNames:
        """A join of two tables."""
        ...

    def cogrouped(self, anchor: str, name: str | None, store: str | None, streams: int) -> CogroupNames:
        """An aggregation of several streams."""
        ...

    def foreign(self, word: str, anchor: str, name: str | None, store: str | None) -> ForeignKeyNames:
        """A foreign-key join."""
        ...

    def branch(self, split: str, branch: str) -> str:
        """The name of one branch of a split."""
        ...


class Stable:
    """Names from the place in the graph. ``taken`` are the names that are in use."""

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken

    def step(self, word: str, anchor: str, given: str | None = None) -> str:
        return legal(given) if given is not None else self._free(f"{anchor}-{word.removeprefix('table-')}")

    def stateful(self, word: str, anchor: str, name: str | None, store: str | None) -> tuple[str, str]:
        step = self.step(word, anchor, name if name is not None else store)
        return step, step if store is None else legal(store)

    def table(self, topic: str, name: str | None, store: str | None) -> tuple[str, str, str]:
        step, kept = self.stateful("table", topic, name, store)
        return self._free(f"{step}-source"), step, kept

    def repartition(self, topic: str, given: bool) -> Around:
        return around(topic)

    def regrouped(
        self, word: str, anchor: str, name: str | None, store: str | None, topic: str | None
    ) -> tuple[str, str, str, Around]:
        step, kept = self.stateful(word, anchor, name, store)
        topic = kept if topic is None else topic
        return step, kept, topic, ("", *around(topic)[1:])

    def joined(self, word: str, anchor: str, name: str | None, parent: str) -> tuple[str, str, Around]:
        step = self.step(word, anchor, name)
        return step, step, around(step)

    def met(
        self, word: str, anchor: str, name: str | None, store: str | None, parents: tuple[str, str],
        rekeyed: tuple[bool, bool],
    ) -> JoinNames:  # fmt: skip
        step, kept = self.stateful(word, anchor, name, store)
        topics = f"{step}-left", f"{step}-right"
        return JoinNames(
            step,
            (f"{step}-left-window", f"{step}-right-window"),
            topics,
            (f"{kept}-left", f"{kept}-right"),
            f"{kept}-unmatched",
            topics,
            (around(topics[0]), around(topics[1])),
        )

    def tables(self, word: str, anchor: str, name: str | None, store: str | None) -> TableJoinNames:
        step, kept = self.stateful(word, anchor, name, store)
        return TableJoinNames(step, (f"{step}-left", f"{step}-right"), kept)

    def cogrouped(self, anchor: str, name: str | None, store: str | None, streams: int) -> CogroupNames:
        step, kept = self.stateful("cogroup", anchor, name, store)
        return CogroupNames(step, tuple(f"{step}-{n}" for n in range(1, streams + 1)), kept)

    def foreign(self, word: str, anchor: str, name: str | None, store: str | None) -> ForeignKeyNames:
        step, kept = self.stateful(word, anchor, name, store)
        return ForeignKeyNames._make([*(f"{step}-{part}" for part in FOREIGN), step, kept])

    def branch(self, split: str, branch: str) -> str:
        return legal(f"{split}{branch}" if split.endswith("-") else f"{split}-{branch}")

    def _free(self, name: str) -> str:
        name = name if len(name) <= 180 else name[-180:].lstrip("-._")
        found, n = name, 1
        while found in self._taken:
            n += 1
            found = f"{name}-{n}"
        return legal(found)


def around(topic: str) -> Around:
    name = f"{topic}-repartition"
    return f"{name}-filter", f"{name}-sink", f"{name}-source"


def legal(name: str) -> str:
    """``name`` itself, if topics and folders can bear it."""
    if isinstance(name, str) and _LEGAL.fullmatch(name) and name not in (".", ".."):
        return name
    raise TopologyError(f"{name!r} cannot be a name; use letters, digits, '.', '_' and '-', at most 200 of them")


def anchor_of(topics: tuple[str, ...], pattern: str | None) -> str:
    """The anchor of a source: its topics, or what of a pattern can be in a name.

    >>> anchor_of(("a", "b"), None), anchor_of((), "orders-.*")
    ('a-b', 'orders')
    """
    text = "-".join(topics) if pattern is None else re.sub(r"[^A-Za-z0-9_]+", "-", pattern)
    return text[:120].strip("-.") or "pattern"
