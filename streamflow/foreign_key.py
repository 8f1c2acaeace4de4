"""The steps and the two topics of a foreign-key join (`KTable.join` with ``on=``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from streamflow.builder import Known
from streamflow.functions import arity
from streamflow.naming import ForeignKeyNames
from streamflow.operators.foreign_key import LeftChange, Resolve, RightChange, RightRow, Subscribed
from streamflow.operators.table_join import TableJoinMerge
from streamflow.serdes import Serde, raw
from streamflow.serdes.foreign import response, subscription
from streamflow.serdes.hints import result, told
from streamflow.state.spec import StoreSpec
from streamflow.topology import Repartition, Sink, Source

if TYPE_CHECKING:
    from streamflow.table import KTable

_PLACES: Serde[bytes] = replace(raw, name="place", any_form=True)
_HASHES: Serde[bytes] = replace(raw, name="hash", any_form=True)
_KEYS: Serde[bytes] = replace(raw, name="key of a subscriber")


def joined_by(
    table: KTable[Any, Any],
    other: KTable[Any, Any],
    joiner: Callable[..., Any],
    on: Callable[..., Any],
    value: Any,
    names: ForeignKeyNames,
    *,
    left: bool,
    named: bool,
) -> KTable[Any, Any]:
    """The table of joined rows."""
    from streamflow.table import KTable

    builder, step = table._builder, names.step
    f, of = arity(joiner, "joiner", step), arity(on, "key selector", step)
    known = Known(told(result(joiner)) if value is None else builder.serde(value, step, "value"), step)
    mine, theirs = (
        builder.need(table._key, "key", step, "be sent"),
        builder.need(other._key, "key", step, "be looked up"),
    )
    my_value = builder.need(table._value, "value", step, "be kept")
    their_value = builder.need(other._value, "value", step, "be sent")
    left_store, right_store = builder.materialise(table._step), builder.materialise(other._step)
    builder.add_store(StoreSpec(names.subscriptions, "key_value", _PLACES, subscription))

    leaving = None
    if not left:
        spec = StoreSpec(f"{names.subscriptions}-leaving", "key_value", mine, _HASHES, timestamped=False)
        leaving = builder.add_store(spec)

    def topic(name: str) -> str:
        builder.repartitions[name] = Repartition(name, suffix="topic")
        return f"{name}-topic"

    asking, answering = topic(names.registration), topic(names.response)
    answers = response(their_value)
    builder.add(
        names.change, LeftChange(of, left, mine.serialize, my_value.serialize, leaving), builder.newest(table._step)
    )
    builder.add(names.sink, Sink(asking, theirs, subscription, repartition=names.registration), names.change)
    source = builder.add(names.source, Source((asking,), theirs, subscription, repartition=names.registration))
    builder.add(names.receive, Subscribed(names.subscriptions, theirs.serialize), source)
    builder.add(names.look_up, RightRow(right_store), names.receive)
    builder.add(names.tell, RightChange(names.subscriptions, theirs.serialize), builder.newest(other._step))
    builder.add(
        names.answer_sink,
        Sink(answering, _KEYS, answers, _where_it_asked, repartition=names.response),
        names.look_up,
        names.tell,
    )
    back = builder.add(names.answer_source, Source((answering,), mine, answers, repartition=names.response))
    builder.add(names.resolve, Resolve(f, left_store, left, my_value.serialize, leaving), back)
    builder.add(step, TableJoinMerge(), names.resolve, table=True)
    builder.copartition(source, other._step)
    builder.copartition(back, table._step)
    builder.may_store(step, names.store, table._key, known, named=named)
    if not named:
        builder.unnamed(step)
    return KTable(builder, step, table._key, known, step)


def _where_it_asked(topic: str, key: Any, answer: Any, partitions: int) -> int:
    return int(answer.partition)
