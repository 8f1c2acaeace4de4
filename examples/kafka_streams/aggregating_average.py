"""Keeps a running average of the ratings of every movie."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class Rating:
    id: str
    rating: float


@dataclass
class CountAndSum:
    count: int = 0
    sum: float = 0.0


def build() -> App:
    app = App("average")
    averages = (
        app.stream("average-input", key=str, value=Rating)
        .map(lambda rating: (rating.id, rating.rating), key=str, value=float)
        .group_by_key()
        .aggregate(CountAndSum, lambda total, r: CountAndSum(total.count + 1, total.sum + r), name="totals")
        .map_values(lambda total: total.sum / total.count, value=float)
    )
    averages.to_stream().to("average-output")
    return app


app = build()
