"""What the fluent words write into: a list of steps that only grows.

The words hold a reference to one builder and the name of the step they stand
for. A step never changes once it is there, but for what only later words
decide: that a table needs a store, or that a repartition topic must carry
values and not only keys.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamflow.errors import TopologyError
from streamflow.naming import Around, Naming, Stable, legal
from streamflow.naming_kafka import KafkaStreams
from streamflow.operators.contract import Operator
from streamflow.operators.deduplicate import Deduplicate
from streamflow.operators.foreign_key import LeftChange
from streamflow.operators.join import StreamTableJoin
from streamflow.operators.map import Map, MapValues, SelectKey
from streamflow.operators.merge import Merge
from streamflow.operators.peek import Peek
from streamflow.operators.repartition_filter import DropNullKeys
from streamflow.operators.stream_join import StreamStreamJoin
from streamflow.operators.table_group import TableSelect
from streamflow.operators.table_join import TableJoinSide
from streamflow.operators.table_ops import TableFilter
from streamflow.operators.versioned import Newest, VersionedTableSource
from streamflow.serdes import Serde, presence, serde_of
from streamflow.settings import NamingStyle
from streamflow.state.spec import StoreSpec
from streamflow.topic import NewTopic
from streamflow.topology import GlobalSource, Repartition, Sink, Source, Step, Topology

_HOME = str(Path(__file__).parent) + os.sep
_PASSES_ALL = (Map, MapValues, SelectKey, Peek, Merge)


@dataclass(frozen=True)
class Known:
    """What is known of the keys or the values on an edge: their serde, or else the step that did not tell."""

    serde: Serde[Any] | None
    step: str


class Builder:
    """The growing graph of one `App`."""

    def __init__(self, style: NamingStyle) -> None:
        self.steps: dict[str, Step] = {}
        self.stores: dict[str, StoreSpec] = {}
        self.repartitions: dict[str, Repartition] = {}
        self.topics: dict[str, NewTopic] = {}
        self.globals: dict[str, GlobalSource] = {}
        self.naming: Naming = Stable(self.steps) if style == "stable" else KafkaStreams()
        self._copartitions: list[frozenset[str]] = []
        self._unnamed: list[str] = []
        self._spares: dict[str, tuple[str, Known, Known, bool]] = {}
        self._stored_at: dict[str, str] = {}
        self._routes: dict[str, tuple[str, str, str]] = {}

    # --- growing

    def add(self, name: str, meaning: Source | Sink | Operator, *parents: str, table: bool = False) -> str:
        """Add a step and give back its name."""
        where = caller()
        if (other := self.steps.get(name)) is not None:
            raise TopologyError(f"two steps are named '{name}': {other.where} and {where}; give one another name=")
        self.steps[name] = Step(name, meaning, parents, table, where=where)
        return name

    def unnamed(self, step: str) -> None:
        """Remember that a stateful step has no name of its own."""
        if step not in self._unnamed:
            self._unnamed.append(step)
            self.steps[step] = replace(self.steps[step], generated=True)

    def add_store(self, spec: StoreSpec) -> str:
        """Add a store and give back its name."""
        where = caller()
        if spec.name in self.stores or spec.name in self.globals:
            first = self._stored_at[spec.name]
            raise TopologyError(f"two stores are named '{spec.name}': {first} and {where}; give one another name=")
        self._stored_at[spec.name] = where
        self.stores[spec.name] = spec
        return spec.name

    def add_global(self, table: GlobalSource) -> None:
        """Add a table that every worker has whole."""
        where = caller()
        name = table.store.name
        if name in self.globals or name in self.stores:
            first = self._stored_at[name]
            raise TopologyError(f"two stores are named '{name}': {first} and {where}; give one another name=")
        self._stored_at[name] = where
        self.globals[name] = replace(table, where=where)

    def may_store(
        self, step: str, store: str, key: Known, value: Known, *, named: bool, by_topic: bool = False
    ) -> None:
        """Remember which store the table ``step`` keeps if somebody needs it; at once if it is ``named``.

        One named ``by_topic`` is never renamed by what stands around it, so it needs no name of the user's.
        """
        self._spares[step] = (store, key, value, named or by_topic)
        if named:
            self.materialise(step)

    def add_topic(self, topic: NewTopic) -> None:
        """Remember how a topic is to be made; declared twice it must be the same."""
        if self.topics.setdefault(topic.name, topic) != topic:
            raise TopologyError(f"topic '{topic.name}' is declared twice, with other partitions or config")

    def copartition(self, *steps: str) -> None:
        """The topics behind these steps must have equal partition counts, for their keys must meet."""
        sources = frozenset(source for step in steps for source in self.sources(step))
        if sources not in self._copartitions:
            self._copartitions.append(sources)

    def repartition(
        self,
        topic: str,
        around: Around,
        parent: str,
        key: Serde[Any],
        value: Serde[Any],
        *,
        partitions: int | None = None,
        partitioner: Any = None,
    ) -> str:
        """Send ``parent``'s records through the repartition topic ``topic``; gives the step that reads it.

        One that is there already, from the same parent, is used again.
        """
        full = f"{legal(topic)}-repartition"
        if topic in self.repartitions:
            return self._again(topic, full, parent, value)
        dropping, sink, source = around
        self.repartitions[topic] = Repartition(topic, partitions)
        above = self.add(dropping, DropNullKeys(), parent) if dropping else parent
        self.add(sink, Sink(full, key, value, partitioner, repartition=topic), above)
        self.add(source, Source((full,), key, value, repartition=topic))
        self._routes[topic] = (parent, sink, source)
        return source

    def _again(self, topic: str, full: str, parent: str, value: Serde[Any]) -> str:
        origin, sink, source = self._routes[topic]
        if origin != parent:
            raise TopologyError(
                f"the repartition topic '{full}' is fed by step '{origin}' and by step '{parent}' ({caller()}); "
                f"give one of the two another name="
            )
        if presence.name not in value.name:  # whoever came first may only have counted; this one needs the values
            for step in (sink, source):
                self.steps[step] = replace(self.steps[step], meaning=_with_value(self.steps[step].meaning, value))
        return source

    # --- asking

    def serde(self, kind: Any, step: str, keyword: str) -> Serde[Any]:
        """The serde of what the user wrote as ``keyword=``."""
        try:
            return serde_of(kind)
        except TopologyError as error:
            raise TopologyError(f"step '{step}', {keyword}=: {error}") from None

    def need(self, known: Known, keyword: str, step: str, what: str) -> Serde[Any]:
        """The serde that is known, or an error that says which step must be told the type."""
        if known.serde is not None:
            return known.serde
        origin = self.steps.get(known.step)
        at = f" ({origin.where})" if origin is not None else f" ({caller()})"
        whose = "its" if known.step == step else "the"
        if origin is not None and isinstance(origin.meaning, Merge):
            raise TopologyError(
                f"step '{step}': the {keyword}s must {what}, but step '{known.step}'{at} merges {keyword}s of different "
                f"types; map them to one type first, or say it with .with_types({keyword}=...) behind the merge"
            )
        raise TopologyError(
            f"step '{step}': {whose} {keyword}s must {what}, but their type is not known; "
            f"add {keyword}= to step '{known.step}'{at}, for example {keyword}=str"
        )

    def sources(self, step: str) -> list[str]:
        """The source steps above a step, in its own sub-topology."""
        found: dict[str, None] = {}
        todo = [step]
        while todo:
            name = todo.pop()
            if isinstance(self.steps[name].meaning, Source):
                found[name] = None
            todo.extend(self.steps[name].parents)
        return sorted(found, key=list(self.steps).index)

    def passes_all_of(self, step: str) -> set[str]:
        """Every external topic each of whose records comes to a step, for nothing on its way can stop it."""
        found: set[str] = set()
        todo = [step]
        while todo:
            above = self.steps[todo.pop()]
            if isinstance(above.meaning, Source):
                if above.meaning.repartition is None:
                    found.update(above.meaning.topics)
                else:
                    todo.append(self._routes[above.meaning.repartition][0])
            elif type(above.meaning) in _PASSES_ALL:
                todo.extend(above.parents)
        return found

    def stored(self, step: str) -> str | None:
        """The store in which the table ``step`` is kept, or None."""
        return getattr(self.steps[step].meaning, "store", None)

    def materialise(self, step: str) -> str:
        """The store in which the table ``step`` is kept; from now on it is, if it was not."""
        if (kept := self.stored(step)) is not None:
            return kept
        store, key, value, named = self._spares[step]
        self._keep_newest_only(step)
        what = f"be kept in the store '{store}'"
        self.add_store(
            StoreSpec(store, "key_value", self.need(key, "key", step, what), self.need(value, "value", step, what))
        )
        if not named:
            self.unnamed(step)
        self.steps[step] = _storing(self.steps[step], store)
        return store

    def newest(self, step: str, *, counted: bool = True) -> str:
        """The step after which only the updates come that are the row of now: all of them, unless a versioned table is
        above, whose late updates are of its history."""
        source = self.steps[self._chain(step)[-1]].meaning
        if not isinstance(source, VersionedTableSource):
            return step
        name = f"{step}-newest" if counted else f"{step}-newest-of-group"
        if name not in self.steps:
            self.add(name, Newest(source.store, counted), step, table=True)
        return name

    def keep_old(self, step: str) -> None:
        """See to it that the table ``step`` can tell old values: the nearest table above that can keep rows does."""
        self.materialise(self._chain(step)[-1])

    def _keep_newest_only(self, step: str) -> None:
        """A table that is to be kept gets no late updates of a versioned one above it."""
        (parent, *_) = self.steps[step].parents
        if not self.steps[parent].table or (above := self.newest(parent)) == parent:
            return
        self.steps[step] = replace(self.steps[step], parents=(above,))
        # Parents stand before their children.
        later = list(self.steps)[list(self.steps).index(step) :]
        for name in later:
            if name != above:
                self.steps[name] = self.steps.pop(name)

    # --- the result

    def freeze(self) -> Topology:
        """The topology as it stands."""
        telling = {name for step in self.steps.values() for name in self._telling(step)}
        keyless = {name for step in self.steps.values() if _takes_null_keys(step) for name in self._fed_by(step)}
        steps = {name: replace(step, sends_old=name in telling) for name, step in self.steps.items()}
        # A left join answers records without a key too, and a step that only passes records on passes them on, so the
        # topics that feed these must not lose them.
        steps |= {name: replace(steps[name], meaning=Merge()) for name in keyless}
        return Topology(
            steps,
            dict(self.stores),
            dict(self.repartitions),
            tuple(self._copartitions),
            dict(self.topics),
            tuple(self._unnamed),
            "kafka_streams" if isinstance(self.naming, KafkaStreams) else "stable",
            dict(self.globals),
        )

    def _telling(self, step: Step) -> list[str]:
        """The table steps that must send old values for the sake of ``step``, for they cost a read.

        A regrouped table takes back what a row gave. A filter without a store needs to know whether a row had
        passed, or it sends a tombstone for each that does not; where nobody above keeps rows, it does that.
        """
        if isinstance(step.meaning, TableSelect | LeftChange) or (
            isinstance(step.meaning, TableJoinSide) and step.meaning.alone
        ):
            return self._chain(step.parents[0])
        if isinstance(step.meaning, TableFilter) and step.meaning.store is None:
            chain = self._chain(step.name)
            return chain if self.stored(chain[-1]) is not None else []
        return []

    def _fed_by(self, step: Step) -> list[str]:
        """The filters in front of the repartition topics that a step's records come from."""
        topics = [source.repartition for name in self.sources(step.name) if (source := _source(self.steps[name]))]
        above = [self._routes[topic][1] for topic in topics if topic in self._routes]
        filters = [parent for sink in above for parent in self.steps[sink].parents]
        return [name for name in filters if isinstance(self.steps[name].meaning, DropNullKeys)]

    def _chain(self, step: str) -> list[str]:
        """A table step and those above it, up to the one that keeps the rows and so knows the old ones."""
        found = [step]
        while self.stored(found[-1]) is None and self.steps[self.steps[found[-1]].parents[0]].table:
            found.append(self.steps[found[-1]].parents[0])
        return found


def _source(step: Step) -> Source | None:
    return step.meaning if isinstance(step.meaning, Source) else None


def _takes_null_keys(step: Step) -> bool:
    if isinstance(step.meaning, Deduplicate):
        return True
    return isinstance(step.meaning, StreamTableJoin | StreamStreamJoin) and step.meaning.left


def _storing(step: Step, store: str) -> Step:
    return replace(step, meaning=replace(step.meaning, store=store))  # type: ignore[type-var]


def _with_value(meaning: Any, value: Serde[Any]) -> Any:
    return replace(meaning, value=value)


def at_least_one(partitions: int | None, whose: str) -> None:
    """Refuse a partition count that no topic can have."""
    if partitions is not None and (not isinstance(partitions, int) or partitions < 1):
        raise TopologyError(f"{whose}: partitions is {partitions!r}; it must be a whole number of at least 1")


def caller() -> str:
    """Where the user's script stands now: ``file:line`` of the nearest frame that is not ours."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HOME):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def same_builder(mine: Builder, theirs: Iterable[Any], step: str) -> None:
    """Refuse to join what was declared on different apps."""
    for each in theirs:
        if each._builder is not mine:
            raise TopologyError(f"step '{step}' puts together streams of two apps; declare both on the same App")
