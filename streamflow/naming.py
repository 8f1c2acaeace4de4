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
    "to-stream": "KTABLE-TOSTREAM-",
    "table-group-by": "KTABLE-SELECT-",
    "table-count": "KTABLE-AGGREGATE-",
    "table-aggregate": "KTABLE-AGGREGATE-",
    "table-reduce": "KTABLE-REDUCE-",
}
"""A word of the language -> the beginning of Kafka Streams' name for its step."""


class Naming(Protocol):
    """A way to name. ``given`` is the user's own name and always wins."""

    def step(self, word: str, anchor: str, given: str | None = None) -> str:
        """A step's name."""
        ...

    def stateful(self, word: str, anchor: str, name: str | None, store: str | None) -> tuple[str, str]:
        """The names of a step and of the store it keeps."""
        ...

    def table(self, topic: str, name: str | None, store: str | None) -> tuple[str, str, str]:
        """The names of a table's source step, of its own step, and of its store."""
        ...

    def repartition(self, name: str, given: bool, filtered: bool = True) -> tuple[str, str, str]:
        """The names of the filter, the sink and the source around the repartition topic ``name``."""
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

    def repartition(self, name: str, given: bool, filtered: bool = True) -> tuple[str, str, str]:
        topic = f"{name}-repartition"
        return f"{topic}-filter", f"{topic}-sink", f"{topic}-source"

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
        if kept is None:
            kept = f"{KAFKA_WORDS[word]}STATE-STORE-{self._number()}"
        return self.step(word, anchor, name), legal(kept)

    def table(self, topic: str, name: str | None, store: str | None) -> tuple[str, str, str]:
        kept = store if store is not None else name
        if kept is None:
            kept = f"{topic}-STATE-STORE-{self._number()}"
        source = self.step("source", topic, None if name is None else f"{name}-source")
        return source, self.step("table", topic, name), legal(kept)

    def repartition(self, name: str, given: bool, filtered: bool = True) -> tuple[str, str, str]:
        sink = self.step("sink", "")
        dropping = self.step("filter", "") if filtered else ""
        source = self.step("source", "")
        if not given:
            return dropping, sink, source
        topic = f"{name}-repartition"
        return f"{topic}-filter", f"{topic}-sink", f"{topic}-source"

    def branch(self, split: str, branch: str) -> str:
        self._number()
        return legal(split + branch)

    def _number(self) -> str:
        self._next += 1
        return f"{self._next - 1:010d}"


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
    text = "-".join(topics) if pattern is None else pattern
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:120].strip("-.") or "pattern"
