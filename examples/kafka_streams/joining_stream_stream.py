"""Joins ratings with movies that arrive within ten minutes of each other."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow import App


@dataclass
class Movie:
    id: str
    title: str
    releaseYear: int


@dataclass
class Rating:
    id: str
    rating: float


@dataclass
class RatedMovie:
    id: str
    title: str
    releaseYear: int
    rating: float


def rated(rating: Rating, movie: Movie) -> RatedMovie:
    return RatedMovie(movie.id, movie.title, movie.releaseYear, rating.rating)


def build() -> App:
    app = App("rated-movies")
    movies = app.stream("movie-input", key=str, value=Movie)
    ratings = app.stream("ratings-input", key=str, value=Rating).select_key(lambda rating: rating.id, key=str)
    ratings.join(movies, rated, within="10m", name="rated").to("rated-movies-output")
    return app


app = build()
