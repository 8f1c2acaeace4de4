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
from typing import Protocol

from streamflow.errors import TopologyError

_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,200}")

KAFKA_WORDS = {
    "source": "KSTREAM-SOURCE-",
    "sink": "KSTREAM-SINK-",
    "filter": "KSTREAM-FILTER-",
    "filter-not": "KSTREAM-FILTER-",
    "map": "KSTREAM-MAP-",
    "map-values": "KSTREAM-MAPVALUES-",
    "flat-map": "KSTREAM-FLATMAP-",
    "flat-map-values": "KSTREAM-FLATMAPVALUES-",
    "select-key": "KSTREAM-KEY-SELECT-",
    "group-by": "KSTREAM-KEY-SELECT-",
    "peek": "KSTREAM-PEEK-",
    "foreach": "KSTREAM-FOREACH-",
    "print": "KSTREAM-PRINTER-",
    "merge": "KSTREAM-MERGE-",
    "split": "KSTREAM-BRANCH-",
    "branch": "KSTREAM-BRANCHCHILD-",
    "repartition": "KSTREAM-REPARTITION-",
    "to-table": "KSTREAM-TOTABLE-",
    "count": "KSTREAM-AGGREGATE-",
    "aggregate": "KSTREAM-AGGREGATE-",
    "reduce": "KSTREAM-REDUCE-",
    "join": "KSTREAM-JOIN-",
    "left-join": "KSTREAM-LEFTJOIN-",
    "table": "KTABLE-SOURCE-",
    "table-filter": "KTABLE-FILTER-",
    "table-filter-not": "KTABLE-FILTER-",
    "table-map-values": "KTABLE-MAPVALUES-",
    "table-join": "KTABLE-MERGE-",
    "table-join-this": "KTABLE-JOINTHIS-",
    "table-join-other": "KTABLE-JOINOTHER-",
    "to-stream": "KTABLE-TOSTREAM-",
    "table-group-by": "KTABLE-SELECT-",
    "table-count": "KTABLE-AGGREGATE-",
    "table-aggregate": "KTABLE-AGGREGATE-",
    "table-reduce": "KTABLE-REDUCE-",
}
"""A word of the language -> the beginning of Kafka Streams' name for its step."""


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


_STEP_FIRST = {"to-table", "table-join", "table-filter", "table-filter-not", "table-map-values"}
"""Words whose store is named after their step, and not before it; Kafka Streams counts only that of ``to-table``."""


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
        return _around(topic)

    def regrouped(
        self, word: str, anchor: str, name: str | None, store: str | None, topic: str | None
    ) -> tuple[str, str, str, Around]:
        step, kept = self.stateful(word, anchor, name, store)
        topic = kept if topic is None else topic
        return step, kept, topic, ("", *_around(topic)[1:])

    def joined(self, word: str, anchor: str, name: str | None, parent: str) -> tuple[str, str, Around]:
        step = self.step(word, anchor, name)
        return step, step, _around(step)

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
            (_around(topics[0]), _around(topics[1])),
        )

    def tables(self, word: str, anchor: str, name: str | None, store: str | None) -> TableJoinNames:
        step, kept = self.stateful(word, anchor, name, store)
        return TableJoinNames(step, (f"{step}-left", f"{step}-right"), kept)

    def branch(self, split: str, branch: str) -> str:
        return legal(f"{split}{branch}" if split.endswith("-") else f"{split}-{branch}")

    def _free(self, name: str) -> str:
        name = name if len(name) <= 180 else name[-180:].lstrip("-._")
        found, n = name, 1
        while found in self._taken:
            n += 1
            found = f"{name}-{n}"
        return legal(found)


class KafkaStreams:
    """Kafka Streams' names and its counter. A given name uses up the number that it takes the place of."""

    def __init__(self) -> None:
        self._next = 0

    def step(self, word: str, anchor: str, given: str | None = None) -> str:
        number = self._number()
        return legal(given) if given is not None else KAFKA_WORDS[word] + number

    def stateful(self, word: str, anchor: str, name: str | None, store: str | None) -> tuple[str, str]:
        kept = store if store is not None else name
        if word in _STEP_FIRST:
            step = self.step(word, anchor, name)
            kept = kept if kept is not None else self._store(word, counted=word == "to-table", step=step)
        else:
            kept = kept if kept is not None else self._store(word)
            step = self.step(word, anchor, name)
        return step, legal(kept)

    def table(self, topic: str, name: str | None, store: str | None) -> tuple[str, str, str]:
        kept = store if store is not None else name
        if kept is None:
            kept = f"{topic}-STATE-STORE-{self._number()}"
        source = self.step("source", topic, None if name is None else f"{name}-source")
        return source, self.step("table", topic, name), legal(kept)

    def repartition(self, topic: str, given: bool) -> Around:
        sink, dropping, source = self.step("sink", ""), self.step("filter", ""), self.step("source", "")
        return _around(topic) if given else (dropping, sink, source)

    def regrouped(
        self, word: str, anchor: str, name: str | None, store: str | None, topic: str | None
    ) -> tuple[str, str, str, Around]:
        kept = store if store is not None else name
        kept = legal(kept) if kept is not None else self._store(word)
        around = "", self.step("sink", ""), self.step("source", "")
        return self.step(word, anchor, name), kept, kept if topic is None else topic, around

    def joined(self, word: str, anchor: str, name: str | None, parent: str) -> tuple[str, str, Around]:
        topic = parent if name is None else name
        around = self.repartition(topic, name is not None)
        return self.step(word, anchor, name), topic, around

    def met(
        self, word: str, anchor: str, name: str | None, store: str | None, parents: tuple[str, str],
        rekeyed: tuple[bool, bool],
    ) -> JoinNames:  # fmt: skip
        topics = parents if name is None else (f"{name}-left", f"{name}-right")
        left, right = (
            self.repartition(topic, name is not None) if sent else ("", "", "")
            for topic, sent in zip(topics, rekeyed, strict=True)
        )
        outer_this, outer_other = word == "outer-join", word != "join"
        parts = (
            ("this-windowed", "KSTREAM-WINDOWED-"),
            ("other-windowed", "KSTREAM-WINDOWED-"),
            ("outer-this-join", "KSTREAM-OUTERTHIS-") if outer_this else ("this-join", "KSTREAM-JOINTHIS-"),
            ("outer-other-join", "KSTREAM-OUTEROTHER-") if outer_other else ("other-join", "KSTREAM-JOINOTHER-"),
            ("merge", "KSTREAM-MERGE-"),
        )
        generated = [role + self._number() for _, role in parts]
        one, two, this, other, merge = generated if name is None else [f"{legal(name)}-{end}" for end, _ in parts]
        kept = store if store is not None else name
        if kept is None:
            number = generated[2].rsplit("-", 1)[1]
            stores = [f"{made}-store" for made in generated[2:4]] + [f"KSTREAM-OUTERSHARED-{number}-store"]
        else:
            shared = "outer-shared-join" if outer_this else "left-shared-join"
            stores = [f"{legal(kept)}-{end}-store" for end in (parts[2][0], parts[3][0], shared)]
        return JoinNames(merge, (one, two), (this, other), (stores[0], stores[1]), stores[2], topics, (left, right))

    def tables(self, word: str, anchor: str, name: str | None, store: str | None) -> TableJoinNames:
        step, kept = self.stateful("table-join", anchor, name, store)
        this = self.step("table-join-this", anchor, None if name is None else f"{name}-join-this")
        other = self.step("table-join-other", anchor, None if name is None else f"{name}-join-other")
        return TableJoinNames(step, (this, other), kept)

    def branch(self, split: str, branch: str) -> str:
        self._number()
        return legal(split + branch)

    def _store(self, word: str, *, counted: bool = True, step: str = "") -> str:
        return f"{KAFKA_WORDS[word]}STATE-STORE-{self._number()}" if counted else f"{step}-STATE-STORE"

    def _number(self) -> str:
        self._next += 1
        return f"{self._next - 1:010d}"


def _around(topic: str) -> Around:
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
