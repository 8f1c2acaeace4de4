"""Counts tickets sold per film and publishes the count as a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App, serdes


@dataclass
class TicketSale:
    title: str
    ticketTotalValue: int


def build() -> App:
    app = App("tickets")
    sales = app.stream("aggregation-count-input", key=str, value=TicketSale)
    sold = sales.map(lambda sale: (sale.title, sale.ticketTotalValue), key=str, value=serdes.int32).group_by_key()
    sentences = sold.count(name="tickets").to_stream().map_values(lambda count: f"{count} tickets sold", value=str)
    sentences.to("aggregation-count-output")
    return app


app = build()
