"""Parses 'title::year' of raw films into separate fields."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class RawMovie:
    id: int
    title: str
    genre: str


@dataclass
class Movie:
    id: int
    title: str
    release_year: int
    genre: str


def build() -> App:
    def parsed(raw: RawMovie) -> tuple[int, Movie]:
        title, year = raw.title.split("::")
        return raw.id, Movie(raw.id, title, int(year), raw.genre)

    app = App("movies")
    app.stream("raw-movies", key=str, value=RawMovie).map(parsed).to("movies")
    return app


app = build()
