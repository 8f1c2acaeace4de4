"""Kafka Streams' names of steps, stores and topics: one counter over all steps, in the order its own builder counts.

A given name uses up the number that it takes the place of.
"""

from __future__ import annotations

from streamflow.naming import FOREIGN, Around, CogroupNames, ForeignKeyNames, JoinNames, TableJoinNames, around, legal

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
    "deduplicate": "KSTREAM-PROCESSOR-",
    "map-async": "KSTREAM-PROCESSOR-",
    "process": "KSTREAM-PROCESSOR-",
    "process-values": "KSTREAM-PROCESSVALUES-",
    "table-transform-values": "KTABLE-TRANSFORMVALUES-",
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
    "cogroup": "COGROUPKSTREAM-AGGREGATE-",
    "cogroup-merge": "COGROUPKSTREAM-MERGE-",
    "join": "KSTREAM-JOIN-",
    "left-join": "KSTREAM-LEFTJOIN-",
    "table": "KTABLE-SOURCE-",
    "table-filter": "KTABLE-FILTER-",
    "table-filter-not": "KTABLE-FILTER-",
    "table-map-values": "KTABLE-MAPVALUES-",
    "table-join": "KTABLE-MERGE-",
    "table-join-this": "KTABLE-JOINTHIS-",
    "table-join-other": "KTABLE-JOINOTHER-",
    "table-suppress": "KTABLE-SUPPRESS-",
    "to-stream": "KTABLE-TOSTREAM-",
    "table-group-by": "KTABLE-SELECT-",
    "table-count": "KTABLE-AGGREGATE-",
    "table-aggregate": "KTABLE-AGGREGATE-",
    "table-reduce": "KTABLE-REDUCE-",
}
"""A word of the language -> the beginning of Kafka Streams' name for its step."""


_STEP_FIRST = {
    "to-table",
    "table-suppress",
    "table-join",
    "table-filter",
    "table-filter-not",
    "table-map-values",
    "table-transform-values",
}
"""Words whose store is named after their step, and not before it."""
_COUNTED = {"to-table", "table-suppress"}
"""Those of them whose store uses up a number of its own."""


_FOREIGN_GENERATED = (
    "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-",
    "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-",
    "KTABLE-SINK-",
    "KTABLE-SOURCE-",
    "KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-",
    "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-",
    "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-",
    "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-",
    "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-",
    "KTABLE-SINK-",
    "KTABLE-SOURCE-",
    "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-",
    "KTABLE-FK-JOIN-OUTPUT-",
)
"""The names of a foreign-key join, in the order of `ForeignKeyNames`: behind a name of the user's, and in front of a
number."""


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
            kept = kept if kept is not None else self._store(word, counted=word in _COUNTED, step=step)
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
        return around(topic) if given else (dropping, sink, source)

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

    def cogrouped(self, anchor: str, name: str | None, store: str | None, streams: int) -> CogroupNames:
        kept = store if store is not None else name
        kept = legal(kept) if kept is not None else self._store("cogroup")
        sides = tuple(
            self.step("cogroup", anchor, None if name is None else f"{name}-cogroup-agg-{n}") for n in range(streams)
        )
        merge = self.step("cogroup-merge", anchor, None if name is None else f"{name}-cogroup-merge")
        return CogroupNames(merge, sides, kept)

    def foreign(self, word: str, anchor: str, name: str | None, store: str | None) -> ForeignKeyNames:
        if name is not None:
            names = [f"{legal(name)}-{part}" for part in FOREIGN]
            for _ in _FOREIGN_GENERATED:
                self._number()
            return ForeignKeyNames._make([*names, f"{name}-result", legal(store if store is not None else name)])
        generated = [part + self._number() for part in _FOREIGN_GENERATED]
        kept = legal(store) if store is not None else f"KTABLE-FK-JOIN-OUTPUT-STATE-STORE-{self._number()}"
        return ForeignKeyNames._make([*generated, kept])

    def branch(self, split: str, branch: str) -> str:
        self._number()
        return legal(split + branch)

    def _store(self, word: str, *, counted: bool = True, step: str = "") -> str:
        return f"{KAFKA_WORDS[word]}STATE-STORE-{self._number()}" if counted else f"{step}-STATE-STORE"

    def _number(self) -> str:
        self._next += 1
        return f"{self._next - 1:010d}"
