"""The aggregator: an order is decided when all its verdicts are in, or when they did not come in time.

A row lives until the order and all verdicts have come, late ones too. So one that comes after the decision finds it,
changes nothing, and the last of them takes the row away.
"""

import os
from dataclasses import dataclass, field
from typing import Any

from examples.orders.model import CHECKS, Decision, Order, Verdict
from streamflow import App
from streamflow.clock import milliseconds
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record

TIME_OUT = milliseconds(os.environ.get("ORDERS_TIME_OUT", "15s"), "ORDERS_TIME_OUT")


@dataclass
class Open:
    """``since`` is when the order came here, by the clock on the wall."""

    order: Order | None = None
    since: int = 0
    decided: bool = False
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])


@dataclass
class Event:
    """One or the other."""

    order: Order | None = None
    verdict: Verdict | None = None


class Decide(Processor[str, Event, str, Decision]):
    def init(self, context: ProcessorContext[str, Decision]) -> None:
        self.context = context
        self.open: Any = context.store("open")
        context.schedule("1s", "wall_clock", self.give_up)

    def process(self, record: Record[str, Event]) -> None:
        row: Open = self.open.get(record.key) or Open()
        if record.value.order is not None:
            row.order, row.since = record.value.order, self.context.wall_clock
        if (verdict := record.value.verdict) is not None:
            row.verdicts[verdict.check] = verdict
        complete = row.order is not None and len(row.verdicts) == len(CHECKS)
        if complete:
            self.decide(record.key, row, record.timestamp)
        self.open.put(record.key, None if complete else row)

    def give_up(self, now: int) -> None:
        for id, row in list(self.open.all()):
            if row.order is not None and not row.decided and now - row.since > TIME_OUT:
                self.decide(id, row, now)
                self.open.put(id, row)

    def decide(self, id: str, row: Open, timestamp: int) -> None:
        if row.order is None or row.decided:
            return
        missing = [check for check in CHECKS if check not in row.verdicts]
        why = [f"{v.check}: {v.why}" for v in row.verdicts.values() if not v.passed]
        why += [f"{check}: no answer in time" for check in missing]
        self.context.forward(Record(id, Decision(row.order, not why, sorted(why), missing), timestamp))
        row.decided = True


app = App("decide")
app.add_store(KeyValueStore("open", key=str, value=Open))
placed = (
    app.stream("orders", key=str, value=Order).select_key(lambda order: order.id, key=str).repartition(name="by-id")
)
given = app.stream("verdicts", key=str, value=Verdict).map_values(lambda verdict: Event(verdict=verdict), value=Event)
events = placed.map_values(lambda order: Event(order), value=Event).merge(given)
events.process(Decide, stores=["open"], key=str, value=Decision, name="decide").to("decisions")
