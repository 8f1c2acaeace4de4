"""Keeps the smallest and largest film takings of every release year."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App, serdes


@dataclass
class FilmSales:
    title: str
    releaseYear: int
    totalSales: int


@dataclass
class YearlySales:
    releaseYear: int = 0
    minTotalSales: int = 2**31 - 1
    maxTotalSales: int = -(2**31)


def build() -> App:
    app = App("minmax")

    def take(year: int, total: YearlySales, film: FilmSales) -> YearlySales:
        sales = film.totalSales
        return YearlySales(year, min(sales, total.minTotalSales), max(sales, total.maxTotalSales))

    films = app.stream("min-max-input", key=str, value=FilmSales)
    by_year = films.group_by(lambda film: film.releaseYear, key=serdes.int32)
    by_year.aggregate(YearlySales, take, name="sales").to_stream().to("min-max-output")
    return app


app = build()
