"""The inventory: reserves stock for orders, and gives it back when an order is refused for another reason.

Orders and decisions meet at their product, so one task owns a product's stock. They come by different ways, and an
order that was decided without us (we were down, and the others did not wait) may come after its decision: what is
decided already reserves nothing. Each order and each decision comes once, so every row of `reservations` goes again.
"""

from dataclasses import dataclass, replace
from typing import Any

from examples.orders.model import Decision, Move, Order, Verdict
from streamflow import App
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record

app = App("inventory")
app.add_store(KeyValueStore("taken", key=str, value=int))
app.add_store(KeyValueStore("reservations", key=str, value=int))
DECIDED = -1


@dataclass
class Event:
    """An order that came in, or one that is decided; ``stock`` is what there was of its product at the beginning."""

    order: Order
    decided: bool = False
    accepted: bool = False
    stock: int = 0


class Warehouse(Processor[str, Event, str, Move]):
    def init(self, context: ProcessorContext[str, Move]) -> None:
        self.context = context
        self.taken: Any = context.store("taken")
        self.reservations: Any = context.store("reservations")

    def process(self, record: Record[str, Event]) -> None:
        event, order = record.value, record.value.order
        reserved: int | None = self.reservations.get(order.id)
        if not event.decided:
            free = event.stock - (self.taken.get(order.product) or 0)
            wanted = order.quantity if reserved is None and 0 < order.quantity <= free else 0
            self.reservations.put(order.id, wanted if reserved is None else None)
            self.move(record, -wanted)
        elif reserved is None:
            self.reservations.put(order.id, DECIDED)
        else:
            self.reservations.delete(order.id)
            if reserved and not event.accepted:
                self.move(record, reserved)

    def move(self, record: Record[str, Event], change: int) -> None:
        order = record.value.order
        taken = (self.taken.get(order.product) or 0) - change
        self.taken.put(order.product, taken)
        self.context.forward(record.replace(value=Move(order.id, order.product, change, record.value.stock - taken)))


def judge(move: Move) -> Verdict:
    return Verdict(move.order, "inventory", move.change < 0, "" if move.change < 0 else "not enough in stock")


stock = app.table("stock", key=str, value=int)
placed = app.stream("orders", key=str, value=Order).map_values(Event, value=Event)
decided = app.stream("decisions", key=str, value=Decision).map_values(
    lambda decision: Event(decision.order, True, decision.accepted), value=Event
)
events = placed.merge(decided).select_key(lambda event: event.order.product, key=str).repartition(name="by-product")
with_stock = events.left_join(stock, lambda event, there: replace(event, stock=there or 0), value=Event)
moves = with_stock.process(Warehouse, stores=["taken", "reservations"], key=str, value=Move)
moves.to("stock-moves")
verdicts = moves.filter(lambda move: move.change <= 0).map_values(judge, value=Verdict)
verdicts.select_key(lambda verdict: verdict.order, key=str).to("verdicts")
