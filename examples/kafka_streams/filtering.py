"""Keeps the books of one author."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class Book:
    name: str
    title: str


def build() -> App:
    app = App("books")
    books = app.stream("filtering-input", key=str, value=Book)
    books.filter(lambda book: book.name == "George R. R. Martin").to("filtering-output")
    return app


app = build()
